package redis

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
)

// Kind is the word of the `kind:` key.
const Kind = "redis"

// DefaultTimeout is the policy's timeout when none is written.
const DefaultTimeout = time.Second

func init() { resources.Register(&Driver{}) }

// Driver makes resources of kind redis. The zero value is ready.
type Driver struct{}

// Kind implements resources.Driver.
func (d *Driver) Kind() string { return Kind }

// Settings implements resources.Driver.
func (d *Driver) Settings(raw func(any) error) (resources.Settings, error) {
	s := &Settings{}
	if err := raw(s); err != nil {
		return nil, err
	}
	if err := s.fill(); err != nil {
		return nil, err
	}
	return s, nil
}

// PolicyDefaults implements resources.PolicyDefaulter.
func (d *Driver) PolicyDefaults(p *resources.Policy) { p.Timeout = resources.Duration(DefaultTimeout) }

// SettingsDoc returns the settings with their defaults, for the reference.
func (d *Driver) SettingsDoc() any {
	s := &Settings{}
	_ = s.fill()
	return s
}

// Ops implements resources.Driver.
func (d *Driver) Ops() []resources.OpInfo {
	list, err := parseKnown(knownCommands)
	if err != nil {
		panic(err) // commands.txt is part of the program
	}
	var out []resources.OpInfo
	for _, e := range list {
		c := newCommand(e)
		out = append(out, resources.OpInfo{Name: c.name, Class: c.class, Retry: c.retry})
	}
	return out
}

// Resource is one open resource.
type Resource struct {
	rt       resources.Runtime
	set      *Settings
	users    []front
	base     login // of clients that do not log in
	sentinel login
	limits   resp.Limits
	shards   []*shard
	table    atomic.Pointer[table]
	slots    atomic.Pointer[slotMap] // topology cluster
	mapMu    sync.Mutex              // held while slots is made anew
	wantMap  chan struct{}           // asks the watcher to look at the topology again
	learnt   atomic.Bool             // a server was asked for its commands
	denied   atomic.Pointer[login]   // the last login that it refused them
	denials  atomic.Int32            // how many it did

	ctx    context.Context // ends with the resource
	cancel context.CancelFunc
	work   sync.WaitGroup // dials and learning
	next   atomic.Uint32
}

// Open implements resources.Driver.
func (d *Driver) Open(set resources.Settings, rt resources.Runtime) (resources.Resource, error) {
	s := set.(*Settings)
	r := &Resource{rt: rt, set: s, wantMap: make(chan struct{}, 1)}
	r.limits = resp.Limits{MaxBulk: int64(s.MaxBulk), MaxArgs: 1 << 20, MaxInline: 64 << 10, Stream: streamFrom}
	var err error
	if r.users, err = s.fronts(); err != nil {
		return nil, err
	}
	if r.base, err = s.Login.reveal(); err != nil {
		return nil, fmt.Errorf("login: %w", err)
	}
	if r.sentinel, err = s.Sentinel.reveal(); err != nil {
		return nil, fmt.Errorf("sentinel-login: %w", err)
	}
	list, err := parseKnown(knownCommands)
	if err != nil {
		return nil, err
	}
	r.table.Store(newTable(list, r.intern))
	loops, err := rt.Loops()
	if err != nil {
		return nil, err
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	loops.Each(func(_ int, l *loop.Loop) { r.shards = append(r.shards, newShard(r, l)) })
	return r, nil
}

func (r *Resource) intern(in resources.OpInfo) resources.OpID {
	id, _ := r.rt.Ops().Intern(in)
	return id
}

// Serve implements resources.Server: it hands the connection to a loop and returns.
func (r *Resource) Serve(nc net.Conn, rs *resources.Session) {
	sh := r.shards[int(r.next.Add(1)-1)%len(r.shards)]
	s := newSession(sh, rs)
	if err := sh.loop.Attach(nc, s.attached); err != nil {
		r.rt.Closed(rs)
	}
}

// Update implements resources.Resource.
func (r *Resource) Update() {
	for _, sh := range r.shards {
		sh.loop.Post(sh.update)
	}
}

// Shutdown implements resources.Resource.
func (r *Resource) Shutdown(ctx context.Context) error {
	for _, sh := range r.shards {
		sh.loop.Post(sh.drain)
	}
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	var err error
	for err == nil && r.clients() > 0 {
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-t.C:
		}
	}
	for _, sh := range r.shards {
		told := make(chan struct{})
		if sh.loop.Post(func() { sh.noDials = true; close(told) }) {
			<-told
		}
	}
	r.cancel()
	r.work.Wait()
	for _, sh := range r.shards {
		for sh.loop.Post(sh.shutdown) && sh.clients.Load()+sh.servers.Load() > 0 {
			<-t.C
		}
	}
	return err
}

// clients returns the number of client connections.
func (r *Resource) clients() int {
	n := 0
	for _, sh := range r.shards {
		n += int(sh.clients.Load())
	}
	return n
}

// AppendStop implements resources.Resource.
func (r *Resource) AppendStop(dst []byte, c *resources.Call, st *resources.Stop) []byte {
	resp3 := false
	name := r.rt.Ops().Info(c.Op).Name
	if s, ok := c.View.(*session); ok {
		resp3 = s.attr.resp3
	}
	switch {
	case st.Fault != nil:
		return appendFault(dst, st.Fault)
	case st.Empty:
		return appendEmpty(dst, r.rt.Name(), name, c, resp3)
	}
	return appendFixed(dst, st.Reply)
}
