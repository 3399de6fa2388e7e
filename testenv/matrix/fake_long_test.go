//go:build long

package matrix

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluice-mesh/sluice/testenv/load/resp"
)

// fake is a server that answers commands as the row wants it to.
type fake struct {
	Addr   string
	answer func(args []string) string // raw reply; "" closes the connection
	calls  atomic.Int64
	ln     net.Listener
	work   sync.WaitGroup

	mu    sync.Mutex // guards conns
	conns map[net.Conn]bool
}

// startFake listens on addr, or on a free port of 127.0.0.1 when addr is empty.
func startFake(t *testing.T, addr string, answer func(args []string) string) *fake {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{Addr: ln.Addr().String(), answer: answer, ln: ln, conns: map[net.Conn]bool{}}
	f.work.Go(f.accept)
	t.Cleanup(f.end)
	return f
}

func (f *fake) accept() {
	for {
		c, err := f.ln.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns[c] = true
		f.mu.Unlock()
		f.work.Go(func() {
			f.serve(c)
			c.Close()
			f.mu.Lock()
			delete(f.conns, c)
			f.mu.Unlock()
		})
	}
}

func (f *fake) serve(c net.Conn) {
	r := resp.NewReader(c)
	for {
		v, err := r.Next()
		if err != nil {
			return
		}
		var args []string
		for _, e := range v.Elem {
			args = append(args, string(e.Str))
		}
		if len(args) == 0 {
			return
		}
		args[0] = strings.ToUpper(args[0])
		f.calls.Add(1)
		b := f.answer(args)
		if b == "" {
			return
		}
		if _, err := c.Write([]byte(b)); err != nil {
			return
		}
	}
}

// end closes the listener and all connections. It may be called again.
func (f *fake) end() {
	f.ln.Close()
	f.mu.Lock()
	for c := range f.conns {
		c.Close()
	}
	f.mu.Unlock()
	f.work.Wait()
}

const roleReply = "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"

// array encodes strings as a RESP array of bulk strings.
func array(items ...string) string { return string(resp.AppendCommand(nil, items...)) }

// logged reports whether the agent's log has a line with all of the parts.
func (l *lab) logged(parts ...string) bool {
	for line := range strings.Lines(l.agent.Output()) {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			return true
		}
	}
	return false
}
