package series

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"sync"
)

// A file holds the blocks of an hour or a day of one level, each after a header of 24 bytes, little-endian:
//
//	magic, start (Unix time, s), length of the index, length of the body, CRC-32C of the index, CRC-32C of the header so far
const (
	headerLen = 24
	magic     = 0x53_4c_53_31 // "1SLS" in the file
	maxBody   = 1 << 30
)

type header struct {
	start    int64
	indexLen uint32
	bodyLen  uint32
	indexCRC uint32
}

func (h *header) append(dst []byte) []byte {
	at := len(dst)
	for _, v := range []uint32{magic, uint32(h.start), h.indexLen, h.bodyLen, h.indexCRC} {
		dst = binary.LittleEndian.AppendUint32(dst, v)
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli))
}

func (h *header) size() int64 { return headerLen + int64(h.indexLen) + int64(h.bodyLen) }

func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < headerLen || binary.LittleEndian.Uint32(b) != magic ||
		crc32.Checksum(b[:headerLen-4], castagnoli) != binary.LittleEndian.Uint32(b[headerLen-4:]) {
		return h, false
	}
	h.start = int64(binary.LittleEndian.Uint32(b[4:]))
	h.indexLen = binary.LittleEndian.Uint32(b[8:])
	h.bodyLen = binary.LittleEndian.Uint32(b[12:])
	h.indexCRC = binary.LittleEndian.Uint32(b[16:])
	return h, h.indexLen <= maxIndex && h.bodyLen <= maxBody
}

// block says where a closed slot is.
type block struct {
	header
	file   *file
	offset int64  // of the header
	data   []byte // index and body, when file is nil
}

// index reads the index of the block.
func (b *block) index() ([]byte, error) {
	if b.file == nil {
		return b.data[:b.indexLen], nil
	}
	index := make([]byte, b.indexLen)
	if err := b.file.readAt(index, b.offset+headerLen); err != nil {
		return nil, err
	}
	if crc32.Checksum(index, castagnoli) != b.indexCRC {
		return nil, errDamaged
	}
	return index, nil
}

// chunk reads a chunk of the block, into buf if that is large enough.
func (b *block) chunk(ref *chunkRef, buf []byte) ([]byte, error) {
	if b.file == nil {
		from := int64(b.indexLen) + ref.offset
		return b.data[from : from+int64(ref.packed)], nil
	}
	if cap(buf) < ref.packed {
		buf = make([]byte, ref.packed)
	}
	buf = buf[:ref.packed]
	return buf, b.file.readAt(buf, b.offset+headerLen+int64(b.indexLen)+ref.offset)
}

// file is appended to by one goroutine and read by any.
type file struct {
	path  string
	start int64 // Unix time, s: of the hour or day

	mu   sync.RWMutex // guards f: closed while nobody reads
	f    *os.File     // nil once it is closed
	size int64        // of whole blocks; changed by the one that appends
}

var errGone = errors.New("the file is gone")

func (f *file) readAt(b []byte, at int64) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.f == nil {
		return errGone
	}
	_, err := f.f.ReadAt(b, at)
	return err
}

// openFile opens or makes a file and returns its blocks. What is not a whole block is cut off its end, or passed over
// in its middle, and said so.
func openFile(path string, start int64, log *slog.Logger) (*file, []block, error) {
	h, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, err
	}
	f := &file{path: path, start: start, f: h}
	blocks, err := f.load(log)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, err), h.Close())
	}
	return f, blocks, nil
}

func (f *file) load(log *slog.Logger) (blocks []block, err error) {
	info, err := f.f.Stat()
	if err != nil {
		return nil, err
	}
	total := info.Size()
	buf := make([]byte, headerLen)
	for at := int64(0); at < total; {
		n, err := f.f.ReadAt(buf, at)
		if err != nil && err != io.EOF {
			return nil, err
		}
		h, ok := parseHeader(buf[:n])
		if ok && at+h.size() <= total {
			blocks = append(blocks, block{header: h, file: f, offset: at})
			at += h.size()
			f.size = at
			continue
		}
		next, err := f.resync(at+1, total)
		if err != nil {
			return nil, err
		}
		log.Warn("history is damaged: a part of it is passed over", "file", f.path, "offset", at, "bytes", next-at)
		at = next
	}
	// The kernel may have kept the length of the last block and lost its bytes.
	for len(blocks) > 0 && !blocks[len(blocks)-1].whole() {
		f.size = blocks[len(blocks)-1].offset
		log.Warn("the last block of a history file is damaged: it is cut off", "file", f.path, "offset", f.size)
		blocks = blocks[:len(blocks)-1]
	}
	if f.size < total {
		err = f.f.Truncate(f.size)
	}
	return blocks, err
}

// resync returns where the next whole block starts, or the end.
func (f *file) resync(at, total int64) (int64, error) {
	const window = 1 << 20
	buf := make([]byte, min(window, total-at))
	for at < total {
		n, err := f.f.ReadAt(buf[:min(int64(len(buf)), total-at)], at)
		if err != nil && err != io.EOF {
			return 0, err
		}
		for i := 0; i+headerLen <= n; i++ {
			if h, ok := parseHeader(buf[i : i+headerLen]); ok && at+int64(i)+h.size() <= total {
				return at + int64(i), nil
			}
		}
		if n < headerLen {
			return total, nil
		}
		at += int64(n - headerLen + 1)
	}
	return total, nil
}

// whole reports whether the block's bytes are those that were written.
func (b *block) whole() bool {
	index, err := b.index()
	if err != nil {
		return false
	}
	refs, _, err := readIndex(index, int64(b.bodyLen), newOutcomes())
	if err != nil {
		return false
	}
	var buf []byte
	for i := range refs {
		if buf, err = b.chunk(&refs[i], buf); err != nil || crc32.Checksum(buf, castagnoli) != refs[i].crc {
			return false
		}
	}
	return true
}

// append writes a block. After an error the file is as it was before, as far as the disk allows.
func (f *file) append(h header, index, body []byte) (block, error) {
	record := h.append(make([]byte, 0, h.size()))
	record = append(append(record, index...), body...)
	if _, err := f.f.WriteAt(record, f.size); err != nil {
		return block{}, errors.Join(err, f.f.Truncate(f.size))
	}
	b := block{header: h, file: f, offset: f.size}
	f.size += int64(len(record))
	return b, nil
}

// close ends the use of the file, once nobody reads it.
func (f *file) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}
