package consul

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/resources"
)

// DefaultTTL is that of Java's servers.
const DefaultTTL = 30 * time.Second

// Options say where Consul is and how to use it.
type Options struct {
	// Agents are the HTTP interfaces of Consul's agents, host:port, at least one. The first that answers is used: what is
	// announced belongs to it.
	Agents     []string
	Datacenter string           // where nodes and commands are read, if not that of the agents; nothing is announced then
	TTL        time.Duration    // 1s at least; default DefaultTTL: how long an agent that is not heard of stays
	Token      resources.Secret // for Consul's access lists; followed for each request
	TLS        *tls.Config      // nil: plain HTTP
	Log        *slog.Logger     // nil: nowhere
}

// Source is a discovery.Source and a discovery.Commander in Consul.
type Source struct {
	opt    Options
	log    *slog.Logger
	owner  string // of what this source announces
	health *discovery.Health
	nodes  *discovery.Announcements
	http   *http.Client

	life context.Context // ends with Close
	kill context.CancelFunc
	run  sync.WaitGroup // the keeper, and a reader for each group
	once sync.Once

	renew chan struct{} // the connection is said to be gone: for the keeper

	mu      sync.Mutex
	agent   int                // guarded by mu: which of Options.Agents is used
	up      chan struct{}      // guarded by mu: closed while there is a connection
	epoch   context.Context    // guarded by mu: ends when the connection is lost
	lost    context.CancelFunc // guarded by mu: ends epoch
	session int                // guarded by mu: 0 before the first one
	heard   time.Time          // guarded by mu: what is announced has been prolonged then, or later
	entries map[string]*entry  // guarded by mu: by ID
	groups  map[string]*group  // guarded by mu: those that are watched
}

var (
	_ discovery.Source    = (*Source)(nil)
	_ discovery.Commander = (*Source)(nil)
)

// Open makes a source, which connects in the background and for as long as it takes. The error is for options that can never
// work.
func Open(o Options) (*Source, error) {
	if len(o.Agents) == 0 {
		return nil, errors.New("no agent of Consul is given: write at least one, such as 127.0.0.1:8500")
	}
	for _, a := range o.Agents {
		if host, _, err := net.SplitHostPort(a); err != nil || host == "" {
			return nil, fmt.Errorf("%q is no address: write host:port", a)
		}
	}
	o.TTL = cmp.Or(o.TTL, DefaultTTL)
	if o.TTL < time.Second || o.TTL > time.Hour {
		return nil, fmt.Errorf("a TTL of %v is not between 1s and 1h", o.TTL)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Source{
		opt:     o,
		log:     o.Log,
		owner:   rand.Text(),
		health:  discovery.NewHealth(),
		http:    &http.Client{Transport: transport(o.TLS)},
		renew:   make(chan struct{}, 1),
		up:      make(chan struct{}),
		entries: make(map[string]*entry),
		groups:  make(map[string]*group),
	}
	s.life, s.kill = context.WithCancel(context.Background())
	s.epoch, s.lost = context.WithCancel(s.life)
	s.nodes = discovery.NewAnnouncements(back{s}, o.Log)
	s.run.Go(s.keep)
	return s, nil
}

// Register is the method of discovery.Source.
func (s *Source) Register(n discovery.Node) (*discovery.Registration, error) {
	if s.opt.Datacenter != "" {
		return nil, fmt.Errorf("%s cannot be announced in datacentre %s: what is announced belongs to the agent of Consul that is asked, and to its "+
			"datacentre; leave /%s out of the address", n, s.opt.Datacenter, s.opt.Datacenter)
	}
	return s.nodes.Register(n)
}

// Status is the method of discovery.Source.
func (s *Source) Status() discovery.Status {
	st := s.health.Status()
	st.Announced = s.nodes.List()
	return st
}

// Close withdraws all nodes that can be withdrawn within a second; the others go when their checks expire.
func (s *Source) Close() error {
	s.once.Do(func() {
		s.nodes.Close()
		s.mu.Lock()
		s.kill() // no group is joined from here on
		s.lost()
		s.mu.Unlock()
		s.run.Wait()
		s.leave()
		s.http.CloseIdleConnections()
	})
	return nil
}

// await waits for a connection, and returns a context that ends with it or with ctx.
func (s *Source) await(ctx context.Context) (connected context.Context, done func(), err error) {
	for {
		s.mu.Lock()
		up, epoch := s.up, s.epoch
		s.mu.Unlock()
		select {
		case <-up:
		case <-ctx.Done():
		case <-s.life.Done():
		}
		switch {
		case s.life.Err() != nil:
			return nil, nil, discovery.ErrClosed
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case epoch.Err() != nil:
			continue // it went meanwhile
		}
		connected, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(epoch, cancel)
		return connected, func() { stop(); cancel() }, nil
	}
}

// addr is the agent of Consul that is used.
func (s *Source) addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opt.Agents[s.agent]
}
