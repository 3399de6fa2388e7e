package motan

import (
	"net"
	"sync"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// Mirror starts a server in this process that answers each request in Motan2 with the request's own bytes, and returns its
// address. It allocates nothing for a request and costs little: it is for measuring what is in between.
func Mirror(t server.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	var accepting sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		accepting.Wait()
	})
	accepting.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go mirror(nc) // until its client goes
		}
	})
	return ln.Addr().String()
}

func mirror(nc net.Conn) {
	defer nc.Close()
	b := make([]byte, 0, 1<<20)
	var f motan2.Frame
	for {
		n, err := nc.Read(b[len(b):cap(b)])
		if err != nil {
			return
		}
		b = b[:len(b)+n]
		off := 0
		for {
			ok, err := f.Scan(b[off:], motan2.DefaultMax)
			if err != nil {
				return
			}
			if !ok {
				break
			}
			b[off+2] |= motan2.TypeResponse
			off += f.Size
		}
		if _, err := nc.Write(b[:off]); err != nil {
			return
		}
		b = b[:copy(b, b[off:])]
	}
}
