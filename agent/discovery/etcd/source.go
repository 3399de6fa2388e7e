package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/resources"
)

// Defaults of Options.
const (
	DefaultPrefix = "sluice-discovery"
	DefaultLease  = 10 * time.Second
)

const (
	requestTimeout = 5 * time.Second // of reading and writing
	revokeTimeout  = time.Second     // of giving up the lease, which ends by itself otherwise
)

// Options say where etcd is and how to use it.
type Options struct {
	Endpoints []string         // "https://10.0.0.1:2379", or host:port, of some or all members; at least one
	Prefix    string           // of all keys, without its slash; default DefaultPrefix
	Lease     time.Duration    // whole seconds, 2 at least; default DefaultLease: how long an agent that is not heard of stays
	Username  string           // with Password, where etcd wants them
	Password  resources.Secret // followed when the connection is made
	TLS       *tls.Config      // for endpoints that begin with https
	Log       *slog.Logger     // nil: nowhere
}

// Source is a discovery.Source and a discovery.Commander in etcd.
type Source struct {
	opt    Options
	log    *slog.Logger
	prefix string // with its slash
	health *discovery.Health
	nodes  *discovery.Announcements

	life context.Context // ends with Close
	kill context.CancelFunc
	run  sync.WaitGroup
	once sync.Once

	ready  chan struct{} // closed when client is there
	client *clientv3.Client
	room   chan struct{} // holds one for each list that is being read
	renew  chan struct{} // the lease is said to be gone: for the keeper

	mu    sync.Mutex
	lease clientv3.LeaseID            // guarded by mu: 0 for none
	stood map[string]clientv3.LeaseID // guarded by mu: by key, the lease with which it was as it should be
}

var (
	_ discovery.Source    = (*Source)(nil)
	_ discovery.Commander = (*Source)(nil)
)

// Open makes a source, which connects in the background and for as long as it takes. The error is for options that can never
// work.
func Open(o Options) (*Source, error) {
	if len(o.Endpoints) == 0 {
		return nil, errors.New("no etcd endpoint is given: write at least one, such as https://10.0.0.1:2379")
	}
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.Lease == 0 {
		o.Lease = DefaultLease
	}
	if o.Lease < 2*time.Second || o.Lease > time.Hour || o.Lease%time.Second != 0 {
		return nil, fmt.Errorf("a lease of %v: write whole seconds, from 2s to 1h", o.Lease)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Source{
		opt:    o,
		log:    o.Log,
		prefix: strings.TrimSuffix(o.Prefix, "/") + "/",
		health: discovery.NewHealth(),
		ready:  make(chan struct{}),
		room:   make(chan struct{}, lists),
		renew:  make(chan struct{}, 1),
		stood:  make(map[string]clientv3.LeaseID),
	}
	s.life, s.kill = context.WithCancel(context.Background())
	s.nodes = discovery.NewAnnouncements(back{s}, o.Log)
	s.run.Go(s.keep)
	return s, nil
}

// Register is the method of discovery.Source.
func (s *Source) Register(n discovery.Node) (*discovery.Registration, error) {
	return s.nodes.Register(n)
}

// Status is the method of discovery.Source.
func (s *Source) Status() discovery.Status {
	st := s.health.Status()
	st.Announced = s.nodes.List()
	return st
}

// Close gives up the lease, and with it all nodes, if etcd answers within a second.
func (s *Source) Close() error {
	s.once.Do(func() {
		s.nodes.Close()
		s.kill()
		s.run.Wait() // the keeper closes the client
	})
	return nil
}

// connect makes the client. Where a password is needed that asks etcd, and may fail.
func (s *Source) connect() error {
	c := clientv3.Config{
		Endpoints:            s.opt.Endpoints,
		Username:             s.opt.Username,
		TLS:                  s.opt.TLS,
		DialTimeout:          3 * time.Second,
		DialKeepAliveTime:    10 * time.Second, // the least that grpc takes
		DialKeepAliveTimeout: 3 * time.Second,
		Logger:               zap.NewNop(), // what it would say comes back as errors
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{ // grpc's own pauses grow to two minutes
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.5, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 3 * time.Second,
		})},
	}
	if s.opt.Username != "" {
		password, err := s.opt.Password.Reveal()
		if err != nil {
			return fmt.Errorf("the password for etcd: %w", err)
		}
		c.Password = password
	}
	client, err := clientv3.New(c)
	if err != nil {
		return err
	}
	s.client = client
	close(s.ready)
	return nil
}

// await waits for the client.
func (s *Source) await(ctx context.Context) error {
	select {
	case <-s.life.Done():
		return discovery.ErrClosed
	default:
	}
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.life.Done():
		return discovery.ErrClosed
	}
}

// servers names the cluster in status and logs.
func (s *Source) servers() string { return strings.Join(s.opt.Endpoints, ",") }
