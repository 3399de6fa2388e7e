package http2

import (
	"golang.org/x/net/http2/hpack"
)

// Field is one field of a header list. Its strings never change, so that a list may be kept by copying the slice.
type Field = hpack.HeaderField

const (
	// tableSize is what HPACK's table may hold, in bytes, since nothing else is said in our SETTINGS.
	tableSize = 4096
	// maxPieces is how many frames a header block may come in: with them, empty ones could be sent for ever.
	maxPieces = 64
)

// Blocks reads the header blocks that come on one connection, in their order.
type Blocks struct {
	max    int // size of a header list, as RFC 9113 counts it: 32 bytes for each field more than its text
	dec    *hpack.Decoder
	fields []Field
	size   int
	large  bool
	stream uint32 // of a block that is not whole; 0: none is open
	flags  byte   // of its HEADERS
	pieces int
}

// Block is a header list as it came.
type Block struct {
	Stream   uint32
	End      bool    // nothing follows on the stream
	TooLarge bool    // and so thrown away
	Fields   []Field // valid until the next frame is added
}

// NewBlocks returns a reader of header lists of at most max bytes.
func NewBlocks(max int) *Blocks {
	r := &Blocks{max: max}
	r.dec = hpack.NewDecoder(tableSize, r.field)
	r.dec.SetMaxStringLength(max)
	return r
}

// Open reports whether the next frame must be a CONTINUATION.
func (r *Blocks) Open() bool { return r.stream != 0 }

func (r *Blocks) field(f Field) {
	if r.size += len(f.Name) + len(f.Value) + 32; r.size > r.max {
		r.large = true
		r.dec.SetEmitEnabled(false)
		return
	}
	r.fields = append(r.fields, f)
}

// Add takes a frame. It returns true with the last one of a block. Only HEADERS and CONTINUATION are to be given to it while
// none is open, and every frame while one is. Errors are *ConnError.
func (r *Blocks) Add(f *Frame, b *Block) (bool, error) {
	switch {
	case r.stream == 0 && f.Type == TypeHeaders:
		r.stream, r.flags, r.pieces = f.Stream, f.Flags, 0
		r.fields, r.size, r.large = r.fields[:0], 0, false
		r.dec.SetEmitEnabled(true)
	case r.stream == 0:
		return false, broken(ProtocolError, "CONTINUATION without HEADERS")
	case f.Type != TypeContinuation || f.Stream != r.stream:
		return false, broken(ProtocolError, "a header block is interrupted by a frame of type %d on stream %d", f.Type, f.Stream)
	}
	if r.pieces++; r.pieces > maxPieces {
		return false, broken(EnhanceYourCalm, "a header block of more than %d frames", maxPieces)
	}
	_, err := r.dec.Write(f.Payload) // which keeps the beginning of a field that is not whole
	if err == nil && f.Has(FlagEndHeaders) {
		err = r.dec.Close()
	}
	if err != nil {
		return false, broken(CompressionError, "a header block cannot be read: %v", err)
	}
	if !f.Has(FlagEndHeaders) {
		return false, nil
	}
	*b = Block{Stream: r.stream, End: r.flags&FlagEndStream != 0, TooLarge: r.large}
	if !r.large {
		b.Fields = r.fields
	}
	r.stream = 0
	return true, nil
}

// Encoder writes the header blocks of one connection, in their order.
type Encoder struct {
	enc *hpack.Encoder
	buf buffer
}

type buffer struct{ b []byte }

func (w *buffer) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// NewEncoder returns an encoder for a peer with the table that HPACK begins with.
func NewEncoder() *Encoder {
	e := &Encoder{}
	e.enc = hpack.NewEncoder(&e.buf)
	return e
}

// SetTableSize follows the peer's SETTINGS_HEADER_TABLE_SIZE. No larger table than HPACK's first one is used.
func (e *Encoder) SetTableSize(n uint32) { e.enc.SetMaxDynamicTableSizeLimit(min(n, tableSize)) }

// Begin begins a block.
func (e *Encoder) Begin() { e.buf.b = e.buf.b[:0] }

// Field adds a field to the block, which the peer's table then holds. The first field of a block must be added by it.
func (e *Encoder) Field(f Field) {
	_ = e.enc.WriteField(f) // into a buffer, which takes everything
}

// Once adds a field to the block that nobody need remember, since it is another one each time.
func (e *Encoder) Once(name, value string) { e.buf.b = AppendField(e.buf.b, name, value) }

// OnceBytes is Once for a value in a buffer.
func (e *Encoder) OnceBytes(name string, value []byte) { e.buf.b = AppendField(e.buf.b, name, value) }

// End appends the block as HEADERS, and CONTINUATION where the peer takes no frame of its size, to dst.
func (e *Encoder) End(dst []byte, stream uint32, end bool, maxFrame int) []byte {
	return AppendHeaders(dst, stream, end, e.buf.b, maxFrame)
}

// AppendHeaders appends a header block as HEADERS, and CONTINUATION where the peer takes no frame of its size.
func AppendHeaders(dst []byte, stream uint32, end bool, block []byte, maxFrame int) []byte {
	kind, flags := byte(TypeHeaders), byte(0)
	if end {
		flags = FlagEndStream
	}
	for len(block) > maxFrame {
		dst = append(AppendHead(dst, maxFrame, kind, flags, stream), block[:maxFrame]...)
		block, kind, flags = block[maxFrame:], TypeContinuation, 0
	}
	return append(AppendHead(dst, len(block), kind, flags|FlagEndHeaders, stream), block...)
}

// AppendField appends a field in a form that changes no table (RFC 7541, section 6.2.2), so that it fits into any block.
func AppendField[V string | []byte](dst []byte, name string, value V) []byte {
	return appendString(appendString(append(dst, 0), name), value)
}

// appendString appends a string as it is (RFC 7541, section 5.2).
func appendString[V string | []byte](dst []byte, s V) []byte {
	n := len(s)
	if n < 127 {
		return append(append(dst, byte(n)), s...)
	}
	dst = append(dst, 127)
	for n -= 127; n >= 128; n >>= 7 {
		dst = append(dst, byte(n)|128)
	}
	return append(append(dst, byte(n)), s...)
}

// Status200 is the field ":status: 200" in a header block.
const Status200 = 0x88
