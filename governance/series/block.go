package series

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"
)

// A block is a closed slot:
//
//	index   outcomes: how many, then their names; chunks: how many, then for each
//	        cube, kind, resource, bytes packed, bytes unpacked (uvarints and texts), CRC-32C of what is packed (4 bytes)
//	chunks  one after the other, each packed with DEFLATE
//
// Unpacked, a chunk is its keys in order, each: how many bytes it shares with the one before, how many follow, these,
// and the length and the bytes of its sum. Nothing in a block refers to anything outside of it.

const (
	maxChunk  = 64 << 20 // bytes, unpacked; 10,000 agents take 3 MB
	maxIndex  = 4 << 20
	maxKeyLen = 1024 // bytes: three label values and what separates them
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// packer makes blocks. Its memory is used again.
type packer struct {
	raw, packed, index, keyed []byte
	flate                     *flate.Writer
	out                       bytes.Buffer
	sorted                    []string
}

// block encodes a slot. The results are valid until the next call.
func (p *packer) block(s *slot, names *outcomes) (index, body []byte, err error) {
	if p.flate == nil {
		if p.flate, err = flate.NewWriter(&p.out, flate.BestSpeed); err != nil {
			return nil, nil, err
		}
	}
	p.packed = p.packed[:0]
	words := names.list()
	p.index = binary.AppendUvarint(p.index[:0], uint64(len(words)))
	for _, n := range words {
		p.index = appendText(p.index, n)
	}
	ids := s.ids()
	p.index = binary.AppendUvarint(p.index, uint64(len(ids)))
	for _, id := range ids {
		c := s.chunks[id]
		p.chunk(c)
		p.out.Reset()
		p.flate.Reset(&p.out)
		if _, err := p.flate.Write(p.raw); err != nil {
			return nil, nil, err
		}
		if err := p.flate.Close(); err != nil {
			return nil, nil, err
		}
		p.index = append(p.index, byte(id.cube))
		p.index = appendText(p.index, c.kind)
		p.index = appendText(p.index, id.resource)
		p.index = binary.AppendUvarint(p.index, uint64(p.out.Len()))
		p.index = binary.AppendUvarint(p.index, uint64(len(p.raw)))
		p.index = binary.LittleEndian.AppendUint32(p.index, crc32.Checksum(p.out.Bytes(), castagnoli))
		p.packed = append(p.packed, p.out.Bytes()...)
	}
	return p.index, p.packed, nil
}

func (p *packer) chunk(c *chunk) {
	p.raw, p.sorted = p.raw[:0], p.sorted[:0]
	for k := range c.keys {
		p.sorted = append(p.sorted, k)
	}
	slices.Sort(p.sorted)
	last := ""
	for _, k := range p.sorted {
		shared := 0
		for shared < min(len(k), len(last)) && k[shared] == last[shared] {
			shared++
		}
		p.raw = binary.AppendUvarint(p.raw, uint64(shared))
		p.raw = appendText(p.raw, k[shared:])
		p.keyed = c.keys[k].append(p.keyed[:0])
		p.raw = binary.AppendUvarint(p.raw, uint64(len(p.keyed)))
		p.raw = append(p.raw, p.keyed...)
		last = k
	}
	clear(p.sorted) // keeps no text alive
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// reader takes numbers and texts from bytes; after the first error it returns zeros.
type reader struct {
	src []byte
	err error
}

func (r *reader) number(most uint64) uint64 {
	n, w := binary.Uvarint(r.src)
	switch {
	case r.err != nil:
		return 0
	case w <= 0:
		r.err = errShort
		return 0
	case n > most:
		r.err = fmt.Errorf("%d, of at most %d", n, most)
		return 0
	}
	r.src = r.src[w:]
	return n
}

func (r *reader) bytes(n uint64) []byte {
	if r.err == nil && n > uint64(len(r.src)) {
		r.err = errShort
	}
	if r.err != nil {
		return nil
	}
	b := r.src[:n]
	r.src = r.src[n:]
	return b
}

func (r *reader) text() string { return string(r.bytes(r.number(maxKeyLen))) }

// chunkRef is a chunk in a block.
type chunkRef struct {
	chunkID
	kind     string
	offset   int64 // in the body
	packed   int
	unpacked int
	crc      uint32
}

// readIndex takes an index apart. Outcomes that this process does not know yet are numbered by names.
func readIndex(index []byte, bodyLen int64, names *outcomes) (refs []chunkRef, t *translation, err error) {
	r := reader{src: index}
	t = new(translation)
	for i := range t {
		t[i] = maxOutcomes - 1
	}
	for i := range r.number(maxOutcomes) {
		name := r.text()
		if r.err != nil {
			break
		}
		t[i] = names.number(name)
	}
	var offset int64
	for range r.number(uint64(len(r.src))) {
		kind := r.bytes(1)
		if r.err != nil {
			break
		}
		ref := chunkRef{offset: offset}
		ref.cube = cube(kind[0])
		ref.kind = r.text()
		ref.resource = r.text()
		ref.packed = int(r.number(uint64(maxChunk)))
		ref.unpacked = int(r.number(uint64(maxChunk)))
		if crc := r.bytes(4); crc != nil {
			ref.crc = binary.LittleEndian.Uint32(crc)
		}
		offset += int64(ref.packed)
		refs = append(refs, ref)
	}
	if r.err == nil && (len(r.src) > 0 || offset != bodyLen) {
		r.err = fmt.Errorf("chunks of %d bytes in a body of %d, %d bytes left", offset, bodyLen, len(r.src))
	}
	if r.err != nil {
		return nil, nil, fmt.Errorf("index of a block: %w", r.err)
	}
	return refs, t, nil
}

var errDamaged = errors.New("the bytes are not those that were written")

// unpacker reads chunks. Its memory is used again.
type unpacker struct {
	src    bytes.Reader
	packed []byte // of blocks on disk
	flate  io.ReadCloser
	raw    []byte
	key    []byte
}

// unpackers are shared by queries.
var unpackers = sync.Pool{New: func() any { return new(unpacker) }}

// each calls visit for every key of a packed chunk, with its encoded sum. Both are valid during the visit.
func (u *unpacker) each(ref *chunkRef, packed []byte, visit func(key, sum []byte) error) error {
	if crc32.Checksum(packed, castagnoli) != ref.crc {
		return errDamaged
	}
	u.src.Reset(packed)
	if u.flate == nil {
		u.flate = flate.NewReader(&u.src)
	} else if err := u.flate.(flate.Resetter).Reset(&u.src, nil); err != nil {
		return err
	}
	var err error
	if u.raw, err = readAll(u.raw[:0], u.flate, ref.unpacked); err != nil {
		return err
	}
	return u.keys(visit)
}

// keys takes an unpacked chunk apart.
func (u *unpacker) keys(visit func(key, sum []byte) error) error {
	r := reader{src: u.raw}
	u.key = u.key[:0]
	for len(r.src) > 0 {
		shared := r.number(uint64(len(u.key)))
		rest := r.bytes(r.number(maxKeyLen))
		sum := r.bytes(r.number(maxChunk))
		if r.err != nil {
			return r.err
		}
		u.key = append(u.key[:shared], rest...)
		if err := visit(u.key, sum); err != nil {
			return err
		}
	}
	return nil
}

// readAll reads exactly n bytes. Memory grows with what comes, whatever n says.
func readAll(dst []byte, from io.Reader, n int) ([]byte, error) {
	for len(dst) < n {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, min(n-len(dst), max(64<<10, len(dst))))
		}
		got, err := from.Read(dst[len(dst):min(cap(dst), n)])
		dst = dst[:len(dst)+got]
		if err != nil && len(dst) < n {
			return dst, errDamaged
		}
	}
	return dst, nil
}
