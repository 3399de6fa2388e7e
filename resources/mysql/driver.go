package mysql

import (
	"compress/zlib"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/protocols/sql"
	"github.com/sluice-mesh/sluice/resources"
)

// Kind is the word of the `kind:` key.
const Kind = "mysql"

func init() { resources.Register(&Driver{}) }

// Driver makes resources of kind mysql. The zero value is ready.
type Driver struct{}

// Kind implements resources.Driver.
func (d *Driver) Kind() string { return Kind }

// Settings implements resources.Driver.
func (d *Driver) Settings(raw func(any) error) (resources.Settings, error) {
	s := &Settings{MaxLag: resources.Duration(10 * time.Second), Hold: resources.Duration(5 * time.Second)}
	if err := raw(s); err != nil {
		return nil, err
	}
	if err := s.fill(); err != nil {
		return nil, err
	}
	return s, nil
}

// PolicyDefaults implements resources.PolicyDefaulter: a statement may take as long as it takes.
func (d *Driver) PolicyDefaults(p *resources.Policy) { p.Timeout = 0 }

// SettingsDoc returns the settings with their defaults, for the reference.
func (d *Driver) SettingsDoc() any {
	s := &Settings{MaxLag: resources.Duration(10 * time.Second), Hold: resources.Duration(5 * time.Second)}
	_ = s.fill()
	return s
}

// Ops implements resources.Driver.
func (d *Driver) Ops() []resources.OpInfo { return knownOps() }

// NegotiatesTLS implements resources.TLSNegotiator: TLS begins in the middle of a login.
func (d *Driver) NegotiatesTLS() {}

// Resource is one open resource.
type Resource struct {
	rt      resources.Runtime
	set     *Settings
	users   map[string]*front
	probing *login
	plugin  string // that clients are greeted with
	ops     *opTable
	digests *digests

	pools     atomic.Pointer[[]*pool] // by Endpoint.ID
	poolsMu   sync.Mutex
	classes   sync.Map // class -> *class
	told      atomic.Pointer[serverInfo]
	zlib      *mysql.Codec // for clients that compress
	zstd      *mysql.Codec
	sha2      bool        // some user's plugin is caching_sha2_password
	looking   sync.Mutex  // held while checks of a search are begun
	searches  sync.Map    // by Endpoint.GroupID, -> *search
	seen      seen        // by causal reads
	trackless atomic.Bool // commits have no GTIDs
	rsaOnce   sync.Once
	rsaKey    *rsa.PrivateKey
	coldSHA2  atomic.Bool // caching_sha2_password asks for the password itself, as servers do that do not know it by heart; for tests

	farewells farewells

	lanes []*lane // the loops that sessions run on
	turn  atomic.Uint32

	mu       sync.Mutex
	sessions map[uint64]*session
	draining atomic.Bool

	ctx    context.Context // ends with the resource
	cancel context.CancelFunc
	work   sync.WaitGroup // connections that are being cleaned, the watcher, KILLs
}

// serverInfo is what clients are told of the servers before they log in.
type serverInfo struct {
	version string
	caps    mysql.Caps
	charset byte
	maria   bool
}

// Open implements resources.Driver.
func (d *Driver) Open(set resources.Settings, rt resources.Runtime) (resources.Resource, error) {
	s := set.(*Settings)
	r := &Resource{rt: rt, set: s, ops: newOpTable(rt.Ops()), digests: newDigests(), sessions: map[uint64]*session{}, farewells: newFarewells(rt.Name())}
	var err error
	if r.users, r.probing, err = s.fronts(); err != nil {
		return nil, err
	}
	r.plugin = s.Users[0].Plugin
	for i := range s.Users {
		r.sha2 = r.sha2 || s.Users[i].Plugin == mysql.PluginSHA2
	}
	if r.zlib, err = mysql.NewZlib(zlib.BestSpeed); err != nil {
		return nil, err
	}
	r.zstd = newZstd()
	r.pools.Store(&[]*pool{})
	version := s.Version
	if version == "" {
		version = "8.0.40-sluice"
	}
	r.told.Store(newServerInfo(version, offered, 45))
	if err := r.openLanes(); err != nil {
		return nil, err
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.work.Go(r.watch)
	return r, nil
}

func newServerInfo(version string, caps mysql.Caps, charset byte) *serverInfo {
	return &serverInfo{version: version, caps: caps, charset: charset, maria: strings.Contains(version, "MariaDB")}
}

// server returns what is known of the servers.
func (r *Resource) server() *serverInfo { return r.told.Load() }

func (r *Resource) maria() bool { return r.server().maria }

// offered are the capabilities that clients are offered, if the servers have them.
func (r *Resource) offered() mysql.Caps {
	caps := offered
	if r.set.LocalInfile {
		caps |= mysql.ClientLocalFiles
	}
	if !r.tunnel() {
		// What a client keeps of a statement's columns may be older than what another connection was told.
		caps &^= mysql.MariaDBCacheMetadata
	}
	return caps
}

// dialect is how the servers read SQL, as far as it does not depend on the session.
func (r *Resource) dialect() sql.Dialect {
	if r.maria() {
		return sql.MariaDB
	}
	return 0
}

// key returns the key that clients encrypt passwords with when there is no TLS. It is made when it is first needed.
func (r *Resource) key() *rsa.PrivateKey {
	if !r.sha2 {
		return nil
	}
	r.rsaOnce.Do(func() { r.rsaKey, _ = rsa.GenerateKey(rand.Reader, 2048) })
	return r.rsaKey
}

// class returns the one class that equals c.
func (r *Resource) class(c class) *class {
	if have, ok := r.classes.Load(c); ok {
		return have.(*class)
	}
	have, _ := r.classes.LoadOrStore(c, &c)
	return have.(*class)
}

// Serve implements resources.Server.
func (r *Resource) Serve(nc net.Conn, rs *resources.Session) {
	s := &session{r: r, rs: rs, diag: newDiag()}
	s.client.attach(nc)
	s.host, _, _ = net.SplitHostPort(rs.Client)
	if s.host == "" {
		s.host = "localhost"
	}
	r.mu.Lock()
	r.sessions[rs.ID] = s
	r.mu.Unlock()
	s.serve()
}

func (r *Resource) forget(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sessions, s.rs.ID)
}

// anywhere returns an endpoint for work that is no call.
func (r *Resource) anywhere() (*resources.Endpoint, *resources.Fault) {
	if ep := r.rt.Choose(true); ep != nil {
		return ep, nil
	}
	if ep := r.rt.Choose(false); ep != nil {
		return ep, nil
	}
	return nil, resources.NewFault(resources.Unavailable, resources.FromAgent, r.rt.Name(), "no endpoint is usable")
}

// refused tells the log of a login that failed.
func (r *Resource) refused(s *session, err error) {
	r.rt.Dropped("login")
	r.rt.Log("warn", "a client could not log in", "client", s.rs.Client, "error", err)
}

// Update implements resources.Resource.
func (r *Resource) Update() { r.trim() }

// trim closes idle connections that are too old, or to endpoints that are gone.
func (r *Resource) trim() {
	now := clock.Now()
	for _, p := range *r.pools.Load() {
		if p != nil {
			p.trim(now)
		}
	}
}

// Shutdown implements resources.Resource.
func (r *Resource) Shutdown(ctx context.Context) error {
	r.draining.Store(true)
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	var err error
	for {
		r.mu.Lock()
		n := len(r.sessions)
		for _, s := range r.sessions {
			s.drain(err != nil)
		}
		r.mu.Unlock()
		if n == 0 {
			break
		}
		if err == nil {
			select {
			case <-ctx.Done():
				err = ctx.Err()
			case <-t.C:
			}
		} else {
			<-t.C
		}
	}
	r.closeLanes()
	r.looking.Lock() // no check begins any more
	r.cancel()
	r.looking.Unlock()
	r.work.Wait()
	r.poolsMu.Lock()
	defer r.poolsMu.Unlock()
	for _, p := range *r.pools.Load() {
		if p != nil {
			p.shut()
		}
	}
	return err
}
