package grpc

import (
	"net"
	"sync"

	"github.com/sluice-mesh/sluice/protocols/http2"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// Mirror starts a server in this process that answers each unary call with the call's own message, and returns its address. It
// allocates next to nothing for a call and costs little: it is for measuring what is in between. Messages of more than
// 16 KiB are too much for it.
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

// mirrored is one connection to a mirror.
type mirrored struct {
	out     []byte
	enc     *http2.Encoder
	blocks  *http2.Blocks
	bodies  map[uint32][]byte
	free    [][]byte
	waiting []uint32 // calls whose answers do not fit into the window
	window  int
	taken   int
}

func mirror(nc net.Conn) {
	defer nc.Close()
	m := &mirrored{enc: http2.NewEncoder(), blocks: http2.NewBlocks(64 << 10), bodies: map[uint32][]byte{}, window: http2.DefaultWindow}
	m.out = http2.AppendSettings(m.out, http2.Setting{ID: http2.SettingWindow, Value: 1 << 20}, http2.Setting{ID: http2.SettingMaxStreams, Value: 1000})
	b := make([]byte, 0, 1<<20)
	greeted := false
	for {
		n, err := nc.Read(b[len(b):cap(b)])
		if err != nil {
			return
		}
		b = b[:len(b)+n]
		off := 0
		if !greeted {
			if len(b) < len(http2.Preface) {
				continue
			}
			greeted, off = true, len(http2.Preface)
		}
		var f http2.Frame
		for {
			n, err := f.Scan(b[off:], http2.DefaultFrame)
			if err != nil {
				return
			}
			if n == 0 {
				break
			}
			off += n
			if m.take(&f) != nil {
				return
			}
		}
		if _, err := nc.Write(m.out); err != nil {
			return
		}
		m.out, b = m.out[:0], b[:copy(b, b[off:])]
	}
}

// take handles a frame.
func (m *mirrored) take(f *http2.Frame) error {
	switch f.Type {
	case http2.TypeHeaders, http2.TypeContinuation:
		var block http2.Block
		_, err := m.blocks.Add(f, &block)
		return err
	case http2.TypeData:
		if m.taken += f.Charged; m.taken >= http2.DefaultWindow/2 {
			m.out = http2.AppendWindow(m.out, 0, uint32(m.taken))
			m.taken = 0
		}
		body, ok := m.bodies[f.Stream]
		if n := len(m.free); !ok && n > 0 {
			body, m.free = m.free[n-1], m.free[:n-1]
		}
		m.bodies[f.Stream] = append(body, f.Payload...)
		if f.Has(http2.FlagEndStream) {
			m.waiting = append(m.waiting, f.Stream)
			m.answer()
		}
	case http2.TypeRSTStream:
		delete(m.bodies, f.Stream)
	case http2.TypeWindowUpdate:
		if f.Stream == 0 {
			m.window += int(f.Uint32())
			m.answer()
		}
	case http2.TypeSettings:
		if !f.Has(http2.FlagAck) {
			m.out = http2.AppendSettingsAck(m.out)
		}
	case http2.TypePing:
		if !f.Has(http2.FlagAck) {
			m.out = http2.AppendPing(m.out, [8]byte(f.Payload), true)
		}
	}
	return nil
}

// answer answers what fits into the window.
func (m *mirrored) answer() {
	n := 0
	for _, id := range m.waiting {
		body, ok := m.bodies[id]
		if len(body) > m.window {
			break
		}
		if n++; !ok {
			continue
		}
		m.window -= len(body)
		m.enc.Begin()
		m.enc.Field(http2.Field{Name: ":status", Value: "200"})
		m.enc.Field(http2.Field{Name: "content-type", Value: "application/grpc"})
		m.out = m.enc.End(m.out, id, false, http2.DefaultFrame)
		m.out = http2.AppendData(m.out, id, false, body)
		m.enc.Begin()
		m.enc.Field(http2.Field{Name: "grpc-status", Value: "0"})
		m.enc.Field(http2.Field{Name: "grpc-message", Value: ""})
		m.out = m.enc.End(m.out, id, true, http2.DefaultFrame)
		delete(m.bodies, id)
		m.free = append(m.free, body[:0])
	}
	m.waiting = m.waiting[:copy(m.waiting, m.waiting[n:])]
}
