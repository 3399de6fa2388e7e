package mysql

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"sync"
)

// Decompressor undoes the compression of one frame after another. The readers of klauspost/compress/zstd are such.
type Decompressor interface {
	io.Reader
	Reset(r io.Reader) error // begins a new frame, whose bytes r has
}

// Compressor compresses one frame after another. The writers of compress/zlib and klauspost/compress/zstd are such.
type Compressor interface {
	io.WriteCloser
	Reset(w io.Writer) // begins a new frame, whose bytes go to w
}

// Codec is a way to compress, with a pool of what it takes. One Codec serves any number of connections at once: an
// [Inflater] or [Deflater] takes from the pool only while it works on a frame.
type Codec struct {
	readers sync.Pool // of *frameReader
	writers sync.Pool // of *frameWriter
}

// frameReader is a Decompressor with what it reads from, so that in the pool it refers to no connection.
type frameReader struct {
	dec Decompressor
	src bytes.Reader
}

// frameWriter is a Compressor with what it writes to.
type frameWriter struct {
	comp Compressor
	out  []byte
}

func (w *frameWriter) Write(p []byte) (int, error) {
	w.out = append(w.out, p...)
	return len(p), nil
}

// NewCodec returns a Codec that makes its parts with the two functions when its pool is empty. zstd is added so:
//
//	mysql.NewCodec(
//		func() mysql.Decompressor { d, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), ...); return d },
//		func() mysql.Compressor { e, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), ...); return e })
func NewCodec(reader func() Decompressor, writer func() Compressor) *Codec {
	c := &Codec{}
	c.readers.New = func() any { return &frameReader{dec: reader()} }
	c.writers.New = func() any { return &frameWriter{comp: writer()} }
	return c
}

// NewZlib returns the Codec for ClientCompress. level is one of compress/zlib's: 1 (fast) to 9, -1 for its default,
// which is what the servers use; levels below -2 and above 9 are an error.
func NewZlib(level int) (*Codec, error) {
	if _, err := zlib.NewWriterLevel(io.Discard, level); err != nil {
		return nil, fmt.Errorf("mysql: zlib level %d, want -2 to 9: %w", level, err)
	}
	return NewCodec(
		func() Decompressor { return new(zlibReader) },
		func() Compressor {
			w, _ := zlib.NewWriterLevel(io.Discard, level) // the level was good before
			return w
		}), nil
}

// zlibReader makes its reader with the first frame, as zlib.NewReader wants to see one.
type zlibReader struct{ io.Reader }

func (z *zlibReader) Reset(r io.Reader) (err error) {
	if z.Reader == nil {
		z.Reader, err = zlib.NewReader(r)
		return err
	}
	return z.Reader.(zlib.Resetter).Reset(r, nil)
}
