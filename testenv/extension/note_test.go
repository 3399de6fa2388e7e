package extension

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// noteServer is a real server of the kind note, which says its name when it is asked for the key `who`, and keeps the key `slow`
// when it is let go.
type noteServer struct {
	addr     string
	slow     chan struct{} // closed: `slow` is kept
	waiting  atomic.Int32  // requests for `slow`
	executed atomic.Int32  // requests but pings

	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
}

func newNoteServer(t *testing.T, name string) *noteServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &noteServer{addr: l.Addr().String(), listener: l, slow: make(chan struct{})}
	t.Cleanup(s.kill)
	values := &sync.Map{}
	values.Store("who", name)
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, nc)
			s.mu.Unlock()
			go s.serve(nc, values)
		}
	}()
	return s
}

func (s *noteServer) serve(nc net.Conn, values *sync.Map) {
	defer nc.Close()
	for in := bufio.NewScanner(nc); in.Scan(); {
		words := strings.SplitN(in.Text(), " ", 3)
		if words[0] != "ping" {
			s.executed.Add(1)
		}
		switch {
		case words[0] == "ping":
			fmt.Fprint(nc, "=pong\n")
		case words[0] == "put" && len(words) == 3:
			if words[1] == "slow" {
				s.waiting.Add(1)
				<-s.slow
			}
			values.Store(words[1], words[2])
			fmt.Fprint(nc, "=ok\n")
		case words[0] == "get" && len(words) == 2:
			if v, ok := values.Load(words[1]); ok {
				fmt.Fprintf(nc, "=%v\n", v)
			} else {
				fmt.Fprint(nc, "-none\n")
			}
		default:
			fmt.Fprint(nc, "-what?\n")
		}
	}
}

// kill ends the server and all its connections.
func (s *noteServer) kill() {
	s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
}

// noteClient is a client of the kind.
type noteClient struct {
	net.Conn
	in *bufio.Reader
}

func dialNote(t *testing.T, addr string) *noteClient {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(2 * time.Minute))
	return &noteClient{nc, bufio.NewReader(nc)}
}

// ask returns the answer to a request, or the error in words.
func (c *noteClient) ask(request string) string {
	if _, err := io.WriteString(c, request+"\n"); err != nil {
		return err.Error()
	}
	line, err := c.in.ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(line, "\n")
}
