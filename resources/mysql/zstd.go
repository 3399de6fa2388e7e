package mysql

import (
	"github.com/klauspost/compress/zstd"

	"github.com/sluice-mesh/sluice/protocols/mysql"
)

// zstdWindow bounds the memory that decompressing one frame takes: a frame of the protocol holds at most 16 MiB.
const zstdWindow = 16 << 20

// newZstd returns the codec of clients that compress with zstd, as MySQL 8's can (ClientZstd). Nothing runs beside its
// caller.
func newZstd() *mysql.Codec {
	return mysql.NewCodec(
		func() mysql.Decompressor {
			d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
				zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderMaxMemory(zstdWindow))
			if err != nil {
				panic(err) // the options are constant
			}
			return d
		},
		func() mysql.Compressor {
			e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderLevel(zstd.SpeedFastest))
			if err != nil {
				panic(err) // the options are constant
			}
			return e
		})
}
