package motan1

import "encoding/binary"

// The tokens of Java's object serialization that there may be.
const (
	tokenNull      = 0x70
	tokenReference = 0x71
	tokenClass     = 0x72
	tokenArray     = 0x75
	tokenBlock     = 0x77 // u8 length
	tokenBlockLong = 0x7a // u32 length
)

// maxBlock is the length of all blocks of a run but the last.
const maxBlock = 1024

// streamMagic begins a stream: its magic number and version.
const streamMagic = "\xac\xed\x00\x05"

// byteArrayClass describes the class of byte[]: its name, its serialVersionUID, that it is serializable, without fields,
// annotations and superclass. It is the first thing in a stream that can be referred to.
const (
	byteArrayClass     = "\x72\x00\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\x00\x00\x78\x70"
	byteArrayReference = "\x71\x00\x7e\x00\x00"
)

// keepSpill is the most that is kept of a buffer for the next frame, in bytes.
const keepSpill = 64 << 10

// stream walks over a body.
type stream struct {
	b         []byte
	at        int
	described bool // the class of byte[] was
}

// open checks how the body of a frame begins. gzip says that it is compressed, and that this is all that can be said.
func (s *stream) open(frame []byte, h Header) (gzip bool, err error) {
	if h.Size < HeaderLen || h.Size > len(frame) {
		return false, malformed("%d bytes for a frame of %d", len(frame), h.Size)
	}
	*s = stream{b: frame[HeaderLen:h.Size]}
	if h.Version == Compress && len(s.b) >= 2 && s.b[0] == 0x1f && s.b[1] == 0x8b {
		return true, nil
	}
	if len(s.b) < len(streamMagic) || string(s.b[:len(streamMagic)]) != streamMagic {
		return false, malformed("body begins with % x, want % x", s.b[:min(len(s.b), 4)], streamMagic)
	}
	s.at = len(streamMagic)
	return false, nil
}

// token returns the next token without taking it; 0 at the end.
func (s *stream) token() byte {
	if s.at == len(s.b) {
		return 0
	}
	return s.b[s.at]
}

// take returns the next n bytes.
func (s *stream) take(n int) ([]byte, error) {
	if n < 0 || n > len(s.b)-s.at {
		return nil, malformed("%d bytes wanted at %d of the body, %d are left", n, s.at, len(s.b)-s.at)
	}
	s.at += n
	return s.b[s.at-n : s.at : s.at], nil
}

// block reads a block of data.
func (s *stream) block() ([]byte, error) {
	token := s.token()
	head := 2
	if token == tokenBlockLong {
		head = 5
	} else if token != tokenBlock {
		return nil, malformed("token %#x at %d of the body, want data", token, s.at)
	}
	h, err := s.take(head)
	if err != nil {
		return nil, err
	}
	if head == 2 {
		return s.take(int(h[1]))
	}
	n := binary.BigEndian.Uint32(h[1:])
	if uint64(n) > uint64(len(s.b)-s.at) {
		return nil, malformed("block of %d bytes at %d of the body, %d are left", n, s.at, len(s.b)-s.at)
	}
	return s.take(int(n))
}

// run reads all blocks up to the next object or the end: where they lie if there is one, else put together in spill.
func (s *stream) run(spill []byte) (data, spilled []byte, err error) {
	if data, err = s.block(); err != nil {
		return nil, spill, err
	}
	if t := s.token(); t != tokenBlock && t != tokenBlockLong {
		return data, spill, nil
	}
	from := len(spill)
	spill = append(spill, data...)
	for s.token() == tokenBlock || s.token() == tokenBlockLong {
		if data, err = s.block(); err != nil {
			return nil, spill, err
		}
		spill = append(spill, data...)
	}
	return spill[from:len(spill):len(spill)], spill, nil
}

// array reads a byte array; nil if it is null, and not nil if it is empty.
func (s *stream) array() ([]byte, error) {
	token := s.token()
	if token == tokenNull {
		s.at++
		return nil, nil
	}
	if token != tokenArray {
		return nil, malformed("token %#x at %d of the body, want a byte array", token, s.at)
	}
	s.at++
	class := byteArrayClass
	if s.described {
		class = byteArrayReference
	}
	got, err := s.take(len(class))
	if err != nil {
		return nil, err
	}
	if string(got) != class {
		return nil, malformed("array at %d of the body is not one of bytes", s.at)
	}
	s.described = true
	size, err := s.take(4)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size)
	if uint64(n) > uint64(len(s.b)-s.at) {
		return nil, malformed("array of %d bytes at %d of the body, %d are left", n, s.at, len(s.b)-s.at)
	}
	return s.take(int(n))
}

// end checks that nothing follows.
func (s *stream) end() error {
	if s.at < len(s.b) {
		return malformed("%d bytes behind the end of the body", len(s.b)-s.at)
	}
	return nil
}

// cutUTF takes a string with its length off the beginning of data.
func cutUTF(data []byte) (s, rest []byte, err error) {
	if len(data) < 2 {
		return nil, nil, malformed("data ends inside the length of a string")
	}
	n := int(binary.BigEndian.Uint16(data))
	if n > len(data)-2 {
		return nil, nil, malformed("string of %d bytes, %d are left", n, len(data)-2)
	}
	return data[2 : 2+n : 2+n], data[2+n:], nil
}

// Attachments are the attachments of a frame, in their order. They are valid as long as what they were read from.
type Attachments struct {
	n    int
	data []byte // keys and values, each with its length
}

// cutAttachments reads data that must be attachments from its beginning to its end.
func cutAttachments(data []byte, v Version) (Attachments, error) {
	width := 4
	if v == Compress {
		width = 2
	}
	if len(data) < width {
		return Attachments{}, malformed("%d bytes of attachments, their number alone has %d", len(data), width)
	}
	n := uint64(binary.BigEndian.Uint16(data))
	if width == 4 {
		n = uint64(binary.BigEndian.Uint32(data))
	}
	a := Attachments{data: data[width:]}
	if n > uint64(len(a.data)/4) {
		return Attachments{}, malformed("%d attachments in %d bytes", n, len(a.data))
	}
	a.n = int(n)
	rest := a.data
	for range 2 * a.n {
		var err error
		if _, rest, err = cutUTF(rest); err != nil {
			return Attachments{}, err
		}
	}
	if len(rest) > 0 {
		return Attachments{}, malformed("%d bytes behind the last attachment", len(rest))
	}
	return a, nil
}

// Len returns how many there are.
func (a Attachments) Len() int { return a.n }

// Get returns the value of the last attachment with this key, which is the one that Java keeps. Keys and values are in
// Java's modified UTF-8.
func (a Attachments) Get(key string) (value []byte, ok bool) {
	a.Each(func(k, v []byte) bool {
		if string(k) == key {
			value, ok = v, true
		}
		return true
	})
	return value, ok
}

// Each calls f for each attachment until it returns false.
func (a Attachments) Each(f func(key, value []byte) bool) {
	rest := a.data
	for range a.n {
		var k, v []byte
		k, rest, _ = cutUTF(rest)
		v, rest, _ = cutUTF(rest)
		if !f(k, v) {
			return
		}
	}
}

// reuse returns spill for the next frame, without what is in it.
func reuse(spill []byte) []byte {
	if cap(spill) > keepSpill {
		return nil
	}
	return spill[:0]
}
