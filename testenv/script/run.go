package script

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/testenv/load/resp"
)

// TB is the part of testing.TB that this package uses.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Env is what a script runs against.
type Env struct {
	Address string // where clients connect: "127.0.0.1:6380" or "unix:/path"
	TLS     *tls.Config
	// Servers are the listeners of the fake servers, by actor name. Run closes them.
	Servers map[string]net.Listener
	Vars    map[string]string // values of $(NAME)
	Timeout time.Duration     // of every wait; default 5 s
}

// Run loads and runs a script file and fails the test with the line that went wrong.
func Run(t TB, path string, env Env) {
	t.Helper()
	s, err := Load(path, env.vars())
	if err != nil {
		for _, ln := range env.Servers {
			ln.Close()
		}
		t.Fatalf("%v", err)
	}
	if err := s.Run(env); err != nil {
		t.Fatalf("%v", err)
	}
}

// Files returns the scripts that match a pattern, sorted; none is an error, since then nothing would be tested.
func Files(pattern string) ([]string, error) {
	files, err := filepath.Glob(pattern)
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no script matches %s", pattern)
	}
	return files, err
}

// vars are the values of $(NAME): Vars and the addresses of the servers.
func (env Env) vars() map[string]string {
	vars := maps.Clone(env.Vars)
	if vars == nil {
		vars = map[string]string{}
	}
	for name, ln := range env.Servers {
		vars[name+".addr"] = ln.Addr().String()
	}
	return vars
}

// runner is one run of a script.
type runner struct {
	env     Env
	servers map[string]*fakeServer
	actors  map[string]*conn
	clients sync.WaitGroup
}

// Run runs the script once. The error begins with NAME:LINE.
func (s *Script) Run(env Env) error {
	if env.Timeout == 0 {
		env.Timeout = 5 * time.Second
	}
	r := &runner{env: env, servers: map[string]*fakeServer{}, actors: map[string]*conn{}}
	for name, ln := range env.Servers {
		r.servers[name] = newFakeServer(ln)
	}
	defer r.close()
	last := 0
	for _, st := range s.steps {
		last = st.line
		if err := r.step(st); err != nil {
			return fmt.Errorf("%s:%d: %w", s.Name, st.line, err)
		}
	}
	if err := r.leftovers(); err != nil {
		return fmt.Errorf("%s:%d: at the end: %w", s.Name, last, err)
	}
	return nil
}

func (r *runner) close() {
	for _, c := range r.actors {
		if c.srv == nil {
			c.Close()
		}
	}
	r.clients.Wait()
	for _, s := range r.servers {
		s.close()
	}
}

func (r *runner) step(st step) error {
	switch {
	case st.sign == 'w':
		time.Sleep(st.pause)
		return nil
	case st.sign == '?':
		srv, err := r.server(st.actor)
		if err == nil {
			srv.addRule(rule{st.data, st.answer})
		}
		return err
	case st.sign == '!' && (st.text == "connect" || st.text == "accept"):
		if old := r.actors[st.actor]; old != nil && st.text == "connect" {
			old.Close()
		}
		delete(r.actors, st.actor)
		_, err := r.actor(st)
		return err
	}
	c, err := r.actor(st)
	if err != nil {
		return err
	}
	switch st.sign {
	case '>':
		if err := c.SetWriteDeadline(time.Now().Add(r.env.Timeout)); err != nil {
			return fmt.Errorf("%s: %w", st.actor, err)
		}
		_, err = c.Write(st.data)
		c.resume()
	case '<':
		c.resume()
		return r.expect(st, c)
	case '~':
		c.resume()
		return r.match(st, c)
	case '!':
		err = c.finish(st.text)
		if err == nil && st.text != "shut" && c.srv != nil {
			delete(r.actors, st.actor) // the next line of this server is about another connection
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", st.actor, err)
	}
	return nil
}

// actor returns the connection of an actor; a client connects, a server waits for a connection with bytes.
func (r *runner) actor(st step) (*conn, error) {
	if c := r.actors[st.actor]; c != nil {
		return c, nil
	}
	var c *conn
	if st.isClient() {
		ctx, cancel := context.WithTimeout(context.Background(), r.env.Timeout)
		defer cancel()
		nc, err := resp.Dial(ctx, r.env.Address, r.env.TLS)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", st.actor, err)
		}
		c = newConn(nc, nil)
		r.clients.Go(c.read)
	} else {
		srv, err := r.server(st.actor)
		if err != nil {
			return nil, err
		}
		if c = srv.claim(r.env.Timeout); c == nil {
			return nil, fmt.Errorf("%s: no connection brought bytes within %v%s", st.actor, r.env.Timeout, wanted(st))
		}
	}
	r.actors[st.actor] = c
	return c, nil
}

func wanted(st step) string {
	if len(st.data) == 0 {
		return ""
	}
	return fmt.Sprintf("; expected %q", st.data)
}

func (r *runner) server(actor string) (*fakeServer, error) {
	name, _, _ := strings.Cut(actor, "/")
	srv := r.servers[name]
	if srv == nil {
		return nil, fmt.Errorf("%s: there is no server %q", actor, name)
	}
	return srv, nil
}

// expect handles '<'.
func (r *runner) expect(st step, c *conn) error {
	switch st.text {
	case "EOF", "RESET":
		c.await(r.env.Timeout, func(buf []byte, err error) bool { return err != nil || len(buf) > 0 })
		if buf, err := c.state(); len(buf) > 0 || endOf(err) != st.text {
			return fmt.Errorf("%s: expected %s, got %s", st.actor, st.text, received(buf, err))
		}
		return nil
	case "NOTHING":
		if c.await(st.pause, func(buf []byte, err error) bool { return len(buf) > 0 || err != nil }) {
			buf, err := c.state()
			return fmt.Errorf("%s: expected nothing for %v, got %s", st.actor, st.pause, received(buf, err))
		}
		return nil
	}
	// Bytes that differ settle it at once; waiting for the rest would only cost time.
	c.await(r.env.Timeout, func(buf []byte, err error) bool {
		n := min(len(buf), len(st.data))
		return n == len(st.data) && bytes.Equal(buf[:n], st.data) || err != nil || !bytes.Equal(buf[:n], st.data[:n]) && !c.partOfRule()
	})
	buf, err := c.state()
	if bytes.HasPrefix(buf, st.data) {
		c.take(len(st.data))
		return nil
	}
	return fmt.Errorf("%s: %s", st.actor, difference(st.data, buf, err))
}

// match handles '~'.
func (r *runner) match(st step, c *conn) error {
	c.await(r.env.Timeout, func(buf []byte, err error) bool { return err != nil || bytes.IndexByte(buf, '\n') >= 0 })
	buf, err := c.state()
	end := bytes.IndexByte(buf, '\n')
	if end < 0 {
		return fmt.Errorf("%s: expected a line that matches %s, got %s", st.actor, st.text, received(buf, err))
	}
	line := bytes.TrimSuffix(c.take(end+1), []byte("\n"))
	if line = bytes.TrimSuffix(line, []byte("\r")); !st.expr.Match(line) {
		return fmt.Errorf("%s: expected a line that matches %s, got %q", st.actor, st.text, line)
	}
	return nil
}

// leftovers reports bytes that came and that no line expected.
func (r *runner) leftovers() error {
	for name, c := range r.actors {
		c.resume()
		if buf, err := c.state(); len(buf) > 0 {
			return fmt.Errorf("%s got bytes that no line expects: %s", name, received(buf, err))
		}
	}
	for name, srv := range r.servers {
		for _, c := range srv.all() {
			c.mu.Lock()
			taken := c.taken
			c.mu.Unlock()
			if buf, err := c.state(); !taken && len(buf) > 0 {
				return fmt.Errorf("a connection of %s got bytes that no line expects: %s", name, received(buf, err))
			}
		}
	}
	return nil
}
