package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/sluice-mesh/sluice/agent/discovery"
)

// DefaultSession is how long ZooKeeper keeps the entries of an agent that it does not hear of.
const DefaultSession = 10 * time.Second

var errExpired = errors.New("the session has expired, and the announcement with it")

// mostBytes is the longest answer that is taken: a folder of some 50,000 nodes.
const mostBytes = 4 << 20

// Options say where ZooKeeper is and how to use it.
type Options struct {
	Servers []string      // host:port, at least one; those of one ensemble, in any order
	Root    string        // what all paths begin with, such as "/mesh" (a chroot, as others call it); default none
	Session time.Duration // default DefaultSession; the servers may shorten or extend it, and count in ticks of theirs
	// Subscriber is the host:port under which watched services list this agent among their clients; "" for not at all.
	Subscriber string
	// Application is named in such entries.
	Application string
	Log         *slog.Logger // nil: nowhere
}

// Source is a discovery.Source and a discovery.Commander in ZooKeeper.
type Source struct {
	opt     Options
	log     *slog.Logger
	health  *discovery.Health
	conn    *zk.Conn
	ended   <-chan zk.Event // closed when the library has ended; nothing else is read from it
	watches *watches
	nodes   *discovery.Announcements
	clients *discovery.Announcements

	life context.Context // ends with Close
	kill context.CancelFunc
	run  sync.WaitGroup // the keeper, and requests that nobody waits for any more

	session chan struct{} // something happened to the session: for the keeper
	dialer  dialer

	mu          sync.Mutex
	closed      bool                                // guarded by mu: nobody adds to run any more
	up          chan struct{}                       // guarded by mu: closed while there is a session
	connected   bool                                // guarded by mu
	stood       map[string]int64                    // guarded by mu: by entry, the session in which it was as it should be
	listening   map[string]func()                   // guarded by mu: by entry, stops listening to it
	subscribers map[discovery.Service]*subscription // guarded by mu: by group and path
}

var (
	_ discovery.Source    = (*Source)(nil)
	_ discovery.Commander = (*Source)(nil)
)

// Open makes a source, which connects in the background and for as long as it takes. The error is for options that can never
// work.
func Open(o Options) (*Source, error) {
	if len(o.Servers) == 0 {
		return nil, errors.New("no ZooKeeper server is given: write at least one, such as 10.0.0.1:2181")
	}
	for _, s := range append(slices.Clone(o.Servers), o.Subscriber) {
		if s == "" {
			continue
		}
		if host, _, err := net.SplitHostPort(s); err != nil || host == "" {
			return nil, fmt.Errorf("%q is no address: write host:port", s)
		}
	}
	if o.Root = strings.TrimSuffix(o.Root, "/"); o.Root != "" && (o.Root[0] != '/' || strings.Contains(o.Root, "//")) {
		return nil, fmt.Errorf("%q cannot be the root of paths: write it like /mesh", o.Root)
	}
	if o.Session == 0 {
		o.Session = DefaultSession
	}
	if o.Session < 100*time.Millisecond || o.Session > time.Hour {
		return nil, fmt.Errorf("a session of %v is not between 100ms and 1h", o.Session)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Source{
		opt:         o,
		log:         o.Log,
		health:      discovery.NewHealth(),
		watches:     newWatches(),
		session:     make(chan struct{}, 1),
		up:          make(chan struct{}),
		stood:       make(map[string]int64),
		listening:   make(map[string]func()),
		subscribers: make(map[discovery.Service]*subscription),
	}
	s.life, s.kill = context.WithCancel(context.Background())
	s.dialer = dialer{ctx: s.life, session: o.Session, failed: s.health.Failed}
	s.nodes = discovery.NewAnnouncements(nodeBack{s}, o.Log)
	s.clients = discovery.NewAnnouncements(clientBack{s}, o.Log)
	var err error
	s.conn, s.ended, err = zk.Connect(o.Servers, o.Session, zk.WithDialer(s.dialer.dial), zk.WithHostProvider(&hosts{}),
		zk.WithEventCallback(s.event), zk.WithLogger(quiet{o.Log}), zk.WithLogInfo(false), zk.WithMaxBufferSize(mostBytes))
	if err != nil {
		s.kill()
		return nil, fmt.Errorf("ZooKeeper: %w", err)
	}
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

// Close ends the session, and with it all entries, if ZooKeeper answers within a second; otherwise they end when the session
// expires.
func (s *Source) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.nodes.Close()
	s.clients.Close()
	if s.online() {
		s.conn.Close() // says goodbye
	}
	s.kill() // ends the connection, and attempts to make one
	s.conn.Close()
	for range s.ended {
	}
	s.run.Wait()
	return nil
}

// event takes what the library tells. It runs on the library's goroutines and must not wait.
func (s *Source) event(e zk.Event) {
	if e.Type != zk.EventSession {
		s.watches.fired(e)
		return
	}
	if e.State == zk.StateHasSession && s.watches.any() {
		s.dialer.watchesFirst() // the library sends nothing before this returns
	}
	s.mu.Lock()
	switch {
	case e.State == zk.StateHasSession && !s.connected:
		s.connected = true
		close(s.up)
	case e.State != zk.StateHasSession && s.connected:
		s.connected = false
		s.up = make(chan struct{})
	}
	s.mu.Unlock()
	select {
	case s.session <- struct{}{}:
	default: // the keeper will look anyway
	}
}

// online reports whether there is a session.
func (s *Source) online() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connected
}

// ending reports whether Close was called.
func (s *Source) ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// keep says what became of the session to those whom it concerns.
func (s *Source) keep() {
	last := int64(0)
	for {
		select {
		case <-s.session:
		case <-s.life.Done():
			return
		}
		if !s.online() {
			if s.health.Down() && !s.ending() {
				st := s.health.Status()
				s.log.Warn("ZooKeeper is gone; the last nodes stay", "server", st.Server, "error", st.Error)
			}
			continue
		}
		id := s.conn.SessionID()
		fresh := id != last
		if s.health.Up(s.conn.Server(), fresh) {
			s.log.Info("connected to ZooKeeper", "server", s.conn.Server(), "session", fmt.Sprintf("%#x", id), "new", fresh)
		}
		s.dialer.succeeded()
		if fresh && last != 0 {
			s.nodes.Lost(errExpired)
		}
		last = id
		s.nodes.Check() // also those that waited for the connection
		s.clients.Check()
	}
}

// await waits for a session.
func (s *Source) await(ctx context.Context) error {
	s.mu.Lock()
	up := s.up
	s.mu.Unlock()
	select {
	case <-up:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.life.Done():
		return discovery.ErrClosed
	}
}

// request runs one request of the library, which cannot be taken back: when ctx ends its answer is waited for by nobody. It
// fails at once while there is no session.
func request[T any](ctx context.Context, s *Source, f func(*zk.Conn) (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	var none T
	s.mu.Lock()
	switch {
	case s.closed:
		s.mu.Unlock()
		return none, discovery.ErrClosed
	case !s.connected:
		s.mu.Unlock()
		return none, discovery.ErrAway
	}
	c := make(chan answer, 1)
	s.run.Go(func() {
		v, err := f(s.conn)
		c <- answer{v, err}
	})
	s.mu.Unlock()
	select {
	case a := <-c:
		return a.v, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// lost reports whether a request failed because of the connection: it is made again when there is one.
func lost(err error) bool {
	return errors.Is(err, zk.ErrConnectionClosed) || errors.Is(err, zk.ErrNoServer) || errors.Is(err, zk.ErrSessionExpired) ||
		errors.Is(err, zk.ErrSessionMoved) || errors.Is(err, zk.ErrClosing)
}
