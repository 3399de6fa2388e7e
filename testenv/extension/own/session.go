package own

import (
	"bufio"
	"context"
	"hash/fnv"
	"io"
	"net"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// session serves one client, on one goroutine.
type session struct {
	*store
	s       *resources.Session
	client  *resources.Client
	line    string // the request, which the session is the resources.View of
	servers map[*resources.Endpoint]*link
}

// Serve implements resources.Server.
func (r *store) Serve(conn net.Conn, s *resources.Session) {
	r.clients.Serve(r.rt, conn, s, func(c *resources.Client) {
		n := &session{store: r, s: s, client: c, servers: make(map[*resources.Endpoint]*link)}
		defer n.leave(func(*resources.Endpoint) bool { return true })
		in := bufio.NewReaderSize(c, r.longest)
		for c.Wait() {
			line, err := in.ReadSlice('\n')
			long := err == bufio.ErrBufferFull
			for err == bufio.ErrBufferFull {
				_, err = in.ReadSlice('\n')
			}
			if err != nil {
				return // the client left, or the resource drains
			}
			c.Busy()
			answer := r.tooLong
			if !long {
				answer = n.answer(string(line))
			}
			if _, err := c.Write(answer); err != nil || r.rt.Boundary(s, nil) == resources.Drain {
				return
			}
			n.leave((*resources.Endpoint).Gone)
		}
	})
}

// answer makes a call of a request and returns its answer.
func (n *session) answer(line string) []byte {
	n.line = line
	name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	op, _ := n.rt.Ops().Lookup(name)
	info := n.rt.Ops().Info(op)
	c := &resources.Call{Session: n.s, View: n, Op: op, Class: info.Class, Retry: info.Retry, Primary: info.Class == resources.ClassWrite,
		Start: resources.Now(), ReqBytes: int64(len(line))}
	if key, _, _ := strings.Cut(rest, " "); key != "" {
		h := fnv.New64a()
		_, _ = io.WriteString(h, key)
		c.OnlyKey, c.Key, c.HasKey = []byte(key), h.Sum64(), true
	}
	n.s.Calls.Add(1)
	n.s.LastOp.Store(uint32(op))

	if stop := n.rt.Begin(c); stop != nil {
		c.Outcome, c.Fault = stop.Outcome, stop.Fault
		return n.end(c, n.AppendStop(nil, c, stop))
	}
	if !n.hold(time.Duration(c.Delay)) {
		c.Outcome = resources.OutcomeCanceled
		return n.end(c, nil)
	}
	if _, fault := n.rt.Route(c); fault != nil {
		return n.refuse(c, fault)
	}
	for {
		answer, fault := n.try(c)
		if fault == nil {
			if strings.HasPrefix(answer, "-") {
				c.Outcome = resources.OutcomeError
			}
			return n.end(c, []byte(answer))
		}
		c.Outcome, c.Fault, c.Now = resources.OutcomeOf(fault), fault, resources.Now()
		if n.rt.End(c) == resources.Done {
			return n.AppendStop(nil, c, &resources.Stop{Fault: c.Fault})
		}
	}
}

// try sends the request to the endpoint that the runtime chose.
func (n *session) try(c *resources.Call) (string, *resources.Fault) {
	c.Outcome, c.Fault, c.Sent = resources.OutcomeOK, nil, resources.SentNothing
	l := n.servers[c.Endpoint]
	if l == nil {
		var fault *resources.Fault
		if l, fault = n.dial(n.client.Context, c.Endpoint); fault != nil {
			return "", fault
		}
		n.servers[c.Endpoint] = l
	}
	var end time.Time
	if c.Deadline > 0 {
		end = resources.Wall(c.Deadline)
	}
	answer, sent, err := l.ask(n.line, end)
	if err == nil {
		return answer, nil
	}
	l.close()
	delete(n.servers, c.Endpoint)
	c.Sent = sent
	code := resources.Unknown
	switch {
	case c.Deadline > 0 && resources.Now() >= c.Deadline:
		code = resources.Timeout
	case sent == resources.SentNothing:
		code = resources.Unavailable
	}
	return "", resources.NewFault(code, resources.FromUpstream, n.rt.Name(), c.Endpoint.Address+": "+err.Error())
}

// end ends a call for good.
func (n *session) end(c *resources.Call, answer []byte) []byte {
	c.Now, c.RespBytes = resources.Now(), int64(len(answer))
	n.rt.End(c)
	return answer
}

// refuse ends a call that has no endpoint.
func (n *session) refuse(c *resources.Call, fault *resources.Fault) []byte {
	c.Outcome, c.Fault = resources.OutcomeOf(fault), fault
	return n.end(c, n.AppendStop(nil, c, &resources.Stop{Fault: fault}))
}

// hold waits as a fault command wants it; false when the client is cut meanwhile.
func (n *session) hold(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-n.client.Context.Done():
		return false
	}
}

// leave closes connections to servers.
func (n *session) leave(which func(*resources.Endpoint) bool) {
	for ep, l := range n.servers {
		if which(ep) {
			l.close()
			delete(n.servers, ep)
		}
	}
}

// Key implements resources.View.
func (n *session) Key(i int) ([]byte, bool) {
	fields := strings.Fields(n.line)
	if i > 0 || len(fields) < 2 {
		return nil, false
	}
	return []byte(fields[1]), true
}

// AppendText implements resources.View: up to the capacity of dst.
func (n *session) AppendText(dst []byte) []byte {
	text := strings.TrimSpace(n.line)
	return append(dst, text[:min(len(text), cap(dst)-len(dst))]...)
}

// Digest implements resources.View.
func (*session) Digest() uint64 { return 0 }

// link is a connection to a server.
type link struct {
	net.Conn
	r  *store
	ep *resources.Endpoint
	in *bufio.Reader
}

func (r *store) dial(ctx context.Context, ep *resources.Endpoint) (*link, *resources.Fault) {
	nc, fault := r.rt.Dial(ctx, ep)
	if fault != nil {
		return nil, fault
	}
	r.rt.Connections(ep, "paired", 1)
	return &link{Conn: nc, r: r, ep: ep, in: bufio.NewReaderSize(nc, r.longest)}, nil
}

func (l *link) close() {
	l.Close()
	l.r.rt.Connections(l.ep, "paired", -1)
}

// ask sends a line and returns the one that answers it, or how far it got. A zero end is none.
func (l *link) ask(line string, end time.Time) (string, resources.Sent, error) {
	if err := l.SetDeadline(end); err != nil {
		return "", resources.SentNothing, err
	}
	if n, err := io.WriteString(l, line); err != nil {
		if n == 0 {
			return "", resources.SentNothing, err
		}
		return "", resources.SentSome, err
	}
	answer, err := l.in.ReadSlice('\n')
	return string(answer), resources.SentSome, err
}
