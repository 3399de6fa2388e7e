package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/governance/auth"
	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/governance/store/bolt"
	"github.com/sluice-mesh/sluice/protocols/control"
	sim "github.com/sluice-mesh/sluice/testenv/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nothing is a fleet.Source without resources.
type nothing struct{}

func (nothing) Revision() int64 { return 1 }
func (nothing) Resource(string, *fleet.Agent) (json.RawMessage, string, int64, bool) {
	return nil, "", 0, false
}
func (nothing) Secrets(string, json.RawMessage) []control.Secret { return nil }
func (nothing) Commands(string, *fleet.Agent) []json.RawMessage  { return nil }

// mesh is a store with its centres, which share a process and speak over loopback by TLS.
type mesh struct {
	*testing.T
	store store.Store
	ca    *auth.CA
	dir   string

	mu    sync.Mutex
	alive map[string]bool // what the store says
}

func newMesh(t *testing.T) *mesh {
	t.Helper()
	s, err := bolt.Open(t.TempDir(), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	dir := t.TempDir()
	a, err := auth.Open(t.Context(), auth.Options{Store: s, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return &mesh{T: t, store: s, ca: a.CA(), dir: dir, alive: map[string]bool{}}
}

func (m *mesh) lives(name string, yes bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.alive[name] = yes
}

// center is one centre of a mesh.
type center struct {
	m    *mesh
	name string
	p    *Peers
	f    *fleet.Fleet
	http *http.Server
	ends []func()
	deaf atomic.Bool // it takes no links
	once sync.Once   // it stops

	mu      sync.Mutex
	links   []net.Conn     // that others have to it
	reports map[string]int // how often a report came, by agent and text
	lost    int            // calls of OnMissing
}

// start starts a centre.
func (m *mesh) start(name string, change func(o *Options)) *center {
	m.Helper()
	c := &center{m: m, name: name, reports: map[string]int{}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.Fatal(err)
	}
	config, err := m.ca.PeerConfig(name)
	if err != nil {
		m.Fatal(err)
	}
	o := Options{
		Store: m.store, TLS: config, Me: name, Address: ln.Addr().String(), File: filepath.Join(m.dir, name), Log: slog.New(slog.DiscardHandler),
		Alive: func(_ context.Context, name string) (bool, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.alive[name], nil
		},
		OnReport: func(a fleet.Agent, payload []byte, _, _ time.Time) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.reports[a.Name+" "+string(payload)]++
		},
		OnMissing: func(_, _ time.Time) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.lost++
		},
		Answer: func(_ context.Context, path string, body []byte) ([]byte, error) {
			if path != "echo" {
				return nil, errors.New("what?")
			}
			return body, nil
		},
		Beat: 20 * time.Millisecond, Quiet: 2 * time.Second, Look: 20 * time.Millisecond,
	}
	if change != nil {
		change(&o)
	}
	c.p = New(o)
	if c.f, err = fleet.New(fleet.Options{Source: nothing{}, Name: name, Cluster: m.store.Cluster(), Elsewhere: c.p, Report: 20 * time.Millisecond,
		OnReport: c.p.Report}); err != nil {
		m.Fatal(err)
	}
	c.http = &http.Server{Handler: http.HandlerFunc(c.serve), TLSConfig: m.ca.ServerConfig(), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go c.http.ServeTLS(ln, "", "")
	m.lives(name, true)
	if err := c.p.Start(m.Context(), c.f); err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { c.stop() })
	return c
}

func (c *center) serve(w http.ResponseWriter, r *http.Request) {
	name := auth.CenterOf(r.TLS)
	if name == "" || c.deaf.Load() {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	conn.SetDeadline(time.Time{})
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", Upgrade)
	c.mu.Lock()
	c.links = append(c.links, conn)
	c.mu.Unlock()
	c.p.Serve(context.Background(), conn, name)
}

// cut breaks all links that others have to a centre.
func (c *center) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.links {
		conn.Close()
	}
	c.links = nil
}

// stop ends a centre as one that is told to.
func (c *center) stop() {
	c.once.Do(func() {
		for _, end := range c.ends {
			end()
		}
		c.f.Close(context.Background())
		if err := c.p.Close(); err != nil {
			c.m.Error(err)
		}
		c.http.Close()
		c.m.lives(c.name, false)
	})
}

// agent links an agent, which reports what next returns, if anything. stop unlinks it.
func (c *center) agent(name string, next func() []byte, answer func(control.Ask, func(control.Answer) error) error) (stop func()) {
	a := &sim.Agent{Hello: control.Hello{Name: name, Boot: "of-" + name, Wants: []string{"cache"}, Started: 1}, Report: next, Answer: answer,
		Dial: func(context.Context) (net.Conn, error) {
			near, far := net.Pipe()
			go c.f.Serve(context.Background(), far, name)
			return near, nil
		}}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { a.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		run.Wait()
	})
	c.ends = append(c.ends, stop)
	return stop
}

// numbers makes reports with one number after the other, and says how many it made.
func numbers() (next func() []byte, made func() int) {
	var n atomic.Int64
	return func() []byte { return fmt.Append(nil, n.Add(1)) }, func() int { return int(n.Load()) }
}

// knows waits until a centre lists agents as "name@centre", with a minus before those that are not connected.
func (c *center) knows(want string) {
	c.m.Helper()
	c.m.await("centre "+c.name+" to know "+want, func() error {
		var out []string
		for _, a := range c.f.Agents() {
			if a.Connected {
				out = append(out, a.Name+"@"+a.Center)
			} else {
				out = append(out, "-"+a.Name)
			}
		}
		if got := strings.Join(out, " "); got != want {
			return fmt.Errorf("it knows %q; %+v", got, c.p.Centers())
		}
		return nil
	})
}

// came returns how many of an agent's reports came, and fails the test if one came twice.
func (c *center) came(agent string) (n int) {
	c.m.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(c.reports)) {
		if strings.HasPrefix(k, agent+" ") {
			n++
			if c.reports[k] != 1 {
				c.m.Errorf("report %q came %d times to %s", k, c.reports[k], c.name)
			}
		}
	}
	return n
}

// told returns the reports that came, in order.
func (c *center) told() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.reports))
}

func (c *center) losses() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

func (m *mesh) await(what string, cond func() error) {
	m.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		err := cond()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			m.Fatalf("waited for %s: %v", what, err)
		}
	}
}
