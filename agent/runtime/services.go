package runtime

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/resources"
)

// host is the Resource as drivers see it.
type host struct{ *Resource }

var _ resources.Runtime = host{}

// Endpoints implements [resources.Runtime].
func (h host) Endpoints() []*resources.Endpoint { return h.cluster.View().Endpoints }

// Groups implements [resources.Runtime].
func (r *Resource) Groups() []string { return r.snapshot.Load().groups }

// Name implements [resources.Runtime].
func (r *Resource) Name() string { return r.name }

// Loops implements [resources.Runtime]. Without loops of the process the resource runs its own, from the first call on.
func (r *Resource) Loops() (*loop.Group, error) {
	r.looping.Lock()
	defer r.looping.Unlock()
	if r.loops != nil {
		return r.loops, nil
	}
	var err error
	r.loops, err = loop.NewGroup(0)
	r.ownLoops = err == nil
	return r.loops, err
}

// Ops implements [resources.Runtime].
func (r *Resource) Ops() *resources.Ops { return r.ops }

// OpsChanged implements [resources.Runtime]: the snapshot is compiled anew against the grown operation table, soon
// and in the background, once for all changes that come together.
func (r *Resource) OpsChanged() {
	select {
	case r.stale <- struct{}{}:
	default:
	}
}

// Dial implements [resources.Runtime].
func (r *Resource) Dial(ctx context.Context, ep *resources.Endpoint) (net.Conn, *resources.Fault) {
	return r.cluster.Dial(ctx, ep)
}

// NegotiatesTLS reports whether the driver does TLS itself, by the protocol's own messages.
func (r *Resource) NegotiatesTLS() bool { return r.negotiates }

// SetServerTLS gives such a driver the certificates for its clients; nil: none.
func (r *Resource) SetServerTLS(c *tls.Config) { r.serverTLS.Store(c) }

// ServerTLS implements [resources.Runtime].
func (r *Resource) ServerTLS() *tls.Config { return r.serverTLS.Load() }

// ClientTLS implements [resources.Runtime].
func (r *Resource) ClientTLS(ep *resources.Endpoint) *tls.Config { return r.cluster.ClientTLS(ep) }

// Connections implements [resources.Runtime].
func (r *Resource) Connections(ep *resources.Endpoint, mode string, delta int) {
	r.cluster.Connections(ep, mode, delta)
}

// Report implements [resources.Runtime].
func (r *Resource) Report(ep *resources.Endpoint, h resources.Health) { r.cluster.Report(ep, h) }

// Choose implements [resources.Runtime]. It goes by the weights of the spec and the newest command that holds for all
// calls, so that learning from servers does not touch a group that is switched off, and prefers the agent's data
// centre.
func (r *Resource) Choose(primary bool) *resources.Endpoint {
	sn := r.snapshot.Load()
	rule := sn.ordinary()
	if len(rule.shares) == 0 {
		return nil
	}
	role := resources.RoleAny
	if primary {
		role = resources.RolePrimary
	}
	view, first := r.cluster.View(), 0
	for i, sh := range rule.shares {
		if p := view.Pool(sh.group); p != nil && p.IDC == r.idc {
			first = i
			break
		}
	}
	now := clock.Now()
	c := resources.Call{Key: mix(uint64(now)), HasKey: true, Start: now}
	if n := elsewhere(view, rule, first, role, &c, now, nil); n != nil {
		return n.Endpoint
	}
	return nil
}

// Policy implements [resources.Runtime]. It must not be changed.
func (r *Resource) Policy() *resources.Policy { return &r.snapshot.Load().spec.Policy }

// Counter implements [resources.Runtime].
func (r *Resource) Counter(name string, labels ...string) resources.Counter {
	return r.metrics.Counter(name, labels...)
}

// Mismatch implements [resources.Runtime].
func (r *Resource) Mismatch() {
	r.mismatches.Add(1)
	r.log.Error("a reply could not be matched with its request; its connection is closed")
}

// Dropped implements [resources.Runtime].
func (r *Resource) Dropped(what string) { r.registry.Dropped(what).Add(1) }

// Log implements [resources.Runtime].
func (r *Resource) Log(level, msg string, kv ...any) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	r.log.Log(context.Background(), l, msg, kv...)
}

// settle is how long the tick goroutine waits for more changes of the operation table before it compiles.
const settle = 100 * time.Millisecond

// tick does what is done once a second: the windows of budgets, backups and rates; and it compiles after OpsChanged.
func (r *Resource) tick(ctx context.Context) {
	defer close(r.done)
	second := time.NewTicker(time.Second)
	defer second.Stop()
	soon := time.NewTimer(settle)
	soon.Stop()
	defer soon.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-second.C:
			r.budget.Tick(r.accounts.begun())
			r.update.Lock()
			r.backups.Tick(r.metrics, r.ops)
			r.update.Unlock()
			r.traffic.tick(r.metrics)
		case <-r.stale:
			soon.Reset(settle)
		case <-soon.C:
			r.recompile()
		}
	}
}

// recompile makes the snapshot anew from what is in force.
func (r *Resource) recompile() {
	r.update.Lock()
	defer r.update.Unlock()
	sn := r.snapshot.Load()
	if err := r.compileLocked(sn.spec, sn.commands); err != nil {
		r.log.Error("the policy could not be compiled for new operations; it stays as it was", "error", err)
	}
}
