package grpc

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// rawServer is a server whose answers are written frame by frame, by another codec than ours.
type rawServer struct {
	t    testing.TB
	addr string
	work sync.WaitGroup

	mu      sync.Mutex
	conns   []net.Conn
	streams int // that were begun
	resets  []http2.ErrCode
	pings   int
}

// rawConn is one connection to it.
type rawConn struct {
	*rawServer
	*http2.Framer
	nc  net.Conn
	enc *hpack.Encoder
	buf *bytes.Buffer
}

// newRawServer starts a server. Once a stream has ended for the client, do decides what becomes of it; false closes the connection.
func newRawServer(t testing.TB, settings []http2.Setting, do func(c *rawConn, stream uint32, path string) bool) *rawServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{t: t, addr: ln.Addr().String()}
	s.work.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, nc)
			s.mu.Unlock()
			s.work.Go(func() { defer nc.Close(); s.serve(nc, settings, do) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		s.cut()
		s.work.Wait()
	})
	return s
}

func (s *rawServer) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, nc := range s.conns {
		nc.Close()
	}
}

// begun returns how many streams there were, and how many connections.
func (s *rawServer) begun() (streams, conns int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams, len(s.conns)
}

func (s *rawServer) serve(nc net.Conn, settings []http2.Setting, do func(*rawConn, uint32, string) bool) {
	if _, err := io.ReadFull(nc, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	c := &rawConn{rawServer: s, Framer: http2.NewFramer(nc, nc), nc: nc, buf: &bytes.Buffer{}}
	c.enc = hpack.NewEncoder(c.buf)
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if c.WriteSettings(settings...) != nil {
		return
	}
	paths := map[uint32]string{}
	for {
		f, err := c.ReadFrame()
		if err != nil {
			return
		}
		ended := false
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.WriteSettingsAck()
			}
		case *http2.PingFrame:
			s.mu.Lock()
			s.pings++
			s.mu.Unlock()
			_ = c.WritePing(true, f.Data)
		case *http2.RSTStreamFrame:
			s.mu.Lock()
			s.resets = append(s.resets, f.ErrCode)
			s.mu.Unlock()
		case *http2.MetaHeadersFrame:
			s.mu.Lock()
			s.streams++
			s.mu.Unlock()
			paths[f.StreamID] = f.PseudoValue("path")
			ended = f.StreamEnded()
		case *http2.DataFrame:
			ended = f.StreamEnded()
			if n := f.Header().Length; n > 0 {
				_ = c.WriteWindowUpdate(0, n) // of the stream itself, nothing is taken
			}
		}
		id := f.Header().StreamID
		if ended && !do(c, id, paths[id]) {
			return
		}
	}
}

// block writes headers: pairs of names and values.
func (c *rawConn) block(stream uint32, end bool, pairs ...string) {
	c.buf.Reset()
	for i := 0; i < len(pairs); i += 2 {
		_ = c.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.buf.Bytes(), EndHeaders: true, EndStream: end})
}

// ok answers with an empty message.
func (c *rawConn) ok(stream uint32) {
	c.block(stream, false, ":status", "200", "content-type", "application/grpc")
	_ = c.WriteData(stream, false, make([]byte, 5))
	c.block(stream, true, "grpc-status", "0")
}

// rawClient is a client of the door that says what no library would.
type rawClient struct {
	t testing.TB
	*http2.Framer
	nc   net.Conn
	next uint32
	buf  bytes.Buffer
	enc  *hpack.Encoder
}

func (w *world) raw() *rawClient {
	w.T.Helper()
	nc, err := net.Dial("tcp", w.Addr)
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	c := &rawClient{t: w.T, Framer: http2.NewFramer(nc, nc), nc: nc, next: 1}
	c.enc = hpack.NewEncoder(&c.buf)
	c.AllowIllegalWrites = true
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return c
}

// hello greets.
func (c *rawClient) hello() *rawClient {
	c.t.Helper()
	if _, err := io.WriteString(c.nc, http2.ClientPreface); err != nil {
		c.t.Fatal(err)
	}
	if err := c.WriteSettings(); err != nil {
		c.t.Fatal(err)
	}
	return c
}

// call begins a call with pairs of headers in the place of the usual ones, or behind them, and returns its stream.
func (c *rawClient) call(end bool, pairs ...string) uint32 {
	id := c.next
	c.next += 2
	fields := [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", unary}, {":authority", "svc"}, {"content-type", "application/grpc"}, {"te", "trailers"}}
next:
	for i := 0; i < len(pairs); i += 2 {
		for k := range fields {
			if fields[k][0] == pairs[i] {
				fields[k][1] = pairs[i+1]
				continue next
			}
		}
		fields = append(fields, [2]string{pairs[i], pairs[i+1]})
	}
	c.buf.Reset()
	for _, f := range fields {
		if f[1] != "" {
			_ = c.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
	}
	_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.buf.Bytes(), EndHeaders: true, EndStream: end})
	return id
}

// want reads until a stream has ended, and checks how: "grpc STATUS: TEXT", "http STATUS", "reset CODE", or, for the whole
// connection, "gone CODE". A text need only be contained.
func (c *rawClient) want(stream uint32, how string) {
	c.t.Helper()
	for {
		f, err := c.ReadFrame()
		if err != nil {
			c.t.Fatalf("stream %d, which should have ended with %q: %v", stream, how, err)
		}
		got := ""
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.WriteSettingsAck()
			}
		case *http2.GoAwayFrame:
			got = "gone " + f.ErrCode.String()
		case *http2.RSTStreamFrame:
			if f.StreamID == stream {
				got = "reset " + f.ErrCode.String()
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID == stream && f.StreamEnded() {
				got = "http " + f.PseudoValue("status")
				var text string
				for _, h := range f.RegularFields() {
					switch h.Name {
					case "grpc-status":
						got = "grpc " + h.Value
					case "grpc-message":
						text = h.Value
					}
				}
				got += " " + text
			}
		}
		if got == "" {
			continue
		}
		kind, text, _ := strings.Cut(how, ": ")
		if !strings.HasPrefix(got+" ", kind+" ") || !strings.Contains(got, text) {
			c.t.Fatalf("stream %d ended with %q, not %q", stream, got, how)
		}
		return
	}
}

func field(name, value string) hpack.HeaderField { return hpack.HeaderField{Name: name, Value: value} }
