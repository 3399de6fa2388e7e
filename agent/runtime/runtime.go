package runtime

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/agent/balance"
	"github.com/sluice-mesh/sluice/agent/cluster"
	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/agent/ha"
	"github.com/sluice-mesh/sluice/agent/pressure"
	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

// Options make a resource.
type Options struct {
	Spec     *resources.Spec     // as declared; it is not changed
	Driver   resources.Driver    // of the spec's kind
	Settings resources.Settings  // of the spec, as the driver decoded them
	Commands []resources.Command // active for the resource, validated, oldest first

	Metrics *metrics.Registry
	Sinks   *filter.Sinks // where filters write; nil: nowhere
	Log     *slog.Logger  // nil: nowhere

	Loops *loop.Group // of the process; nil: the resource runs its own

	Finder resources.Finder // finds endpoints in registries; nil: there are none

	Book cluster.Book // where what is known of the endpoints outlives the process; nil: nowhere

	Pressure *pressure.Gate // how short memory is; nil: never

	Application string // who calls, for clients that do not say
	IDC         string // where the agent runs
}

// Resource is one open resource: the runtime that its driver and the agent speak to.
type Resource struct {
	// Constant after Open.
	name     string
	kind     string
	settings resources.Settings
	idc      string
	ops      *resources.Ops
	cluster  *cluster.Cluster
	registry *metrics.Registry
	metrics  *metrics.Resource
	sinks    *filter.Sinks
	tap      *filter.Tap
	log      *slog.Logger
	newcomer *resources.Identity // of clients that did not say who they are
	ownSinks bool

	alike      bool                       // the servers of a group are
	negotiates bool                       // the driver does TLS itself
	serverTLS  atomic.Pointer[tls.Config] // for it; nil: none

	looping  sync.Mutex // guards the two below
	loops    *loop.Group
	ownLoops bool

	// Read by calls.
	snapshot atomic.Pointer[snapshot]
	accounts accounts
	budget   ha.Budget
	backups  ha.Backups
	retries  [numRetries][resources.NumOutcomes]*metrics.Counter // by kind of retry and outcome
	noBudget [numRetries]*metrics.Counter
	pressure *pressure.Gate
	shortage atomic.Pointer[shortage] // the answer while memory is short, as last made

	// Sessions.
	sessions     registry
	sessionGauge *metrics.Gauge
	pinGauges    [resources.NumPins]*metrics.Gauge
	mismatches   *metrics.Counter
	draining     atomic.Bool
	probed       atomic.Bool // all endpoints have been, once
	serving      sync.Mutex  // Accept starts work, or Shutdown begins to wait
	work         sync.WaitGroup

	// The driver's half; nil while Open runs.
	half atomic.Pointer[half]

	update  sync.Mutex // serialises whatever makes a new snapshot
	stale   chan struct{}
	stop    context.CancelFunc
	done    chan struct{} // closed when the tick goroutine ended
	traffic traffic
}

// half wraps an interface for an atomic pointer.
type half struct{ resource resources.Resource }

// Kinds of extra attempts, by index and as the label kind_of_retry: sent again after a failure, sent a second time
// while the first is unanswered, and sent on to where the upstream said.
const (
	retryNone = iota
	retryFailover
	retryBackup
	retryRedirect
	retryAside
	numRetries
)

var retryNames = [numRetries]string{"", "failover", "backup", "redirect", "aside"}

// ErrReopen is what Update returns, wrapped, when the change needs the resource to be opened anew.
var ErrReopen = errors.New("the resource must be opened anew")

// Open makes a resource, its endpoints and its driver's half, and begins to probe. The error says which part of the
// spec or which command is wrong. Shutdown must be called.
func Open(o Options) (*Resource, error) {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewRegistry(metrics.Options{Outcomes: Outcomes()})
	}
	r := &Resource{
		name: o.Spec.Name, kind: o.Driver.Kind(), settings: o.Settings, idc: o.IDC,
		ops:      resources.NewOps(o.Driver.Ops()),
		registry: o.Metrics, metrics: o.Metrics.Resource(o.Spec.Name, o.Driver.Kind()),
		sinks: o.Sinks, loops: o.Loops, pressure: o.Pressure, tap: filter.NewTap(), log: log.With("resource", o.Spec.Name),
		newcomer: &resources.Identity{Caller: o.Application, IDC: o.IDC},
		stale:    make(chan struct{}, 1), done: make(chan struct{}),
	}
	if r.sinks == nil {
		r.sinks, r.ownSinks = filter.NewSinks(filter.SinkOptions{Log: r.log, Registry: r.registry}), true
	}
	r.sessions.init()
	r.openMetrics()
	_, r.negotiates = o.Driver.(resources.TLSNegotiator)
	_, r.alike = o.Driver.(resources.Alike)
	protocol := ""
	if n, ok := o.Driver.(resources.TLSNamed); ok {
		protocol = n.TLSProtocol()
	}
	clustered := cluster.Options{Resource: r.name, Metrics: r.metrics, Log: r.log, Changed: r.driverUpdate, NegotiatesTLS: r.negotiates, TLSProtocol: protocol, Book: o.Book}
	if named, ok := o.Settings.(resources.Registered); ok && o.Finder != nil {
		clustered.Finder = o.Finder
		clustered.Service = func(group string) resources.Service { return named.RegisteredAs(r.name, group) }
	}
	r.cluster = cluster.New(clustered)
	if err := r.compile(o.Spec, o.Commands); err != nil {
		r.abandon()
		return nil, err
	}
	d, err := o.Driver.Open(o.Settings, host{r})
	if err != nil {
		r.snapshot.Load().chain.Close(nil)
		r.abandon()
		return nil, err // whoever opens a resource names it
	}
	if _, serves := d.(resources.Server); !serves {
		if _, shares := o.Driver.(resources.Sharing); !shares {
			panic("runtime: resources of kind " + r.kind + " neither serve clients nor share their addresses")
		}
	}
	r.half.Store(&half{d})
	r.cluster.Start(d)
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	r.traffic.begin(r.metrics)
	go r.tick(ctx)
	return r, nil
}

// abandon undoes what Open did when it fails.
func (r *Resource) abandon() {
	r.cluster.Close()
	if r.ownSinks {
		r.sinks.Close()
	}
	if r.ownLoops {
		r.loops.Stop()
	}
}

func (r *Resource) openMetrics() {
	r.sessionGauge = r.metrics.Gauge(metrics.Sessions)
	r.mismatches = r.metrics.Counter(metrics.ReplyMismatchTotal)
	for i := range r.pinGauges {
		r.pinGauges[i] = pinGauge(r.metrics, i)
	}
	for kind, name := range retryNames {
		if kind == retryNone {
			continue
		}
		for o := range resources.NumOutcomes {
			r.retries[kind][o] = r.metrics.Counter(metrics.RetriesTotal, "kind_of_retry", name, "outcome", resources.Outcome(o).String())
		}
		r.noBudget[kind] = r.metrics.Counter(metrics.RetriesTotal, "kind_of_retry", name, "outcome", "no_budget")
	}
	r.metrics.GaugeFunc("sluice_calls_open", func() float64 { return float64(r.accounts.open()) })
}

// driver returns the driver's half; Open has returned, or driverUpdate has looked.
func (r *Resource) driver() resources.Resource { return r.half.Load().resource }

func (r *Resource) driverUpdate() {
	if h := r.half.Load(); h != nil {
		h.resource.Update()
	}
}

// Update puts a new spec and the commands that are active now in force, at once for calls and sessions. Either all of
// it is taken over or, with an error, nothing. A change of kind, settings or upstream TLS is refused with
// [ErrReopen].
func (r *Resource) Update(spec *resources.Spec, commands []resources.Command) error {
	if err := r.updatable(spec); err != nil {
		return err
	}
	if err := r.compile(spec, commands); err != nil {
		return err
	}
	r.driverUpdate()
	return nil
}

func (r *Resource) updatable(spec *resources.Spec) error {
	old := r.Spec()
	switch {
	case r.draining.Load():
		return fmt.Errorf("resource %s: it is being shut down", r.name)
	case spec.Name != r.name:
		return fmt.Errorf("spec is for resource %q, not %q", spec.Name, r.name)
	case spec.Kind != old.Kind:
		return fmt.Errorf("resource %s: kind changed from %s to %s: %w", r.name, old.Kind, spec.Kind, ErrReopen)
	case !(len(spec.Settings) == 0 && len(old.Settings) == 0) && !reflect.DeepEqual(spec.Settings, old.Settings):
		return fmt.Errorf("resource %s: settings changed: %w", r.name, ErrReopen)
	case !reflect.DeepEqual(spec.UpstreamTLS, old.UpstreamTLS):
		return fmt.Errorf("resource %s: upstream-tls changed: %w", r.name, ErrReopen)
	}
	return nil
}

// compile makes the snapshot of a spec and commands and swaps it in.
func (r *Resource) compile(in *resources.Spec, commands []resources.Command) error {
	r.update.Lock()
	defer r.update.Unlock()
	return r.compileLocked(in, commands)
}

func (r *Resource) compileLocked(in *resources.Spec, commands []resources.Command) error {
	spec, err := prepare(in)
	if err != nil {
		return err
	}
	commands = slices.Clone(commands)
	plan, err := r.cluster.Plan(spec, drainedBy(commands))
	if err != nil {
		return fmt.Errorf("resource %s: %w", r.name, err)
	}
	rules, err := compileRules(spec, commands, r.ops, plan.GroupID)
	if err != nil {
		return fmt.Errorf("resource %s: %w", r.name, err)
	}
	strategy, err := ha.Build(&spec.Policy)
	if err != nil {
		return fmt.Errorf("resource %s: policy.failover.strategy: %w", r.name, err)
	}
	old := r.snapshot.Load()
	if old == nil {
		old = &snapshot{}
	}
	chain, err := filter.Compile(&filter.Env{
		Resource: r.name, Kind: r.kind, Ops: r.ops, Spec: spec, Policy: &spec.Policy, Commands: commands,
		Groups: plan.Groups(), Metrics: r.metrics, Log: r.log, Sinks: r.sinks, Tap: r.tap,
	}, old.chain)
	if err != nil {
		return err
	}
	sn := &snapshot{
		generation: old.generation + 1, spec: spec, groups: declaredGroups(spec), commands: commands, chain: chain, filters: append([]resources.Filter{&r.accounts}, chain.Filters()...),
		watchers: 1 + watchers(chain),
		timeout:  spec.Policy.Timeout.D().Nanoseconds(), rules: rules, law: ha.Compile(spec.Policy.Failover), strategy: strategy,
		reads: reads(slices.Index(readsNames[:], spec.Policy.Reads)), alike: r.alike, hashed: spec.Policy.Balance == balance.Hash,
		backup: spec.Policy.Backup != nil,
	}
	if len(sn.filters) > math.MaxUint8 || len(rules) > maxRules {
		chain.Close(old.chain)
		return fmt.Errorf("resource %s: %d filters and %d switch commands are too many: at most %d and %d hold at once",
			r.name, len(sn.filters), len(rules)-1, math.MaxUint8, maxRules-1)
	}
	plan.Apply()
	r.budget.Set(spec.Policy.Failover, spec.Policy.Backup)
	if err := r.backups.Set(spec.Policy.Backup); err != nil { // prepare looked at it
		r.log.Error("backup policy", "error", err)
	}
	r.snapshot.Store(sn)
	if err := old.chain.Close(chain); err != nil {
		r.log.Warn("closing replaced filters", "error", err)
	}
	r.countCommands(commands)
	return nil
}

var commandTypes = []resources.CommandType{
	resources.CommandSwitch, resources.CommandDegrade, resources.CommandLimit, resources.CommandFault,
	resources.CommandMock, resources.CommandDrain,
}

func (r *Resource) countCommands(commands []resources.Command) {
	for _, t := range commandTypes {
		n := int64(0)
		for _, c := range commands {
			if c.Type == t {
				n++
			}
		}
		r.metrics.Gauge(metrics.CommandsActive, "type", string(t)).Set(n)
	}
}

// Tap returns where live calls can be watched.
func (r *Resource) Tap() *filter.Tap { return r.tap }

// Spec returns the spec in force, with defaults filled in. It must not be changed.
func (r *Resource) Spec() *resources.Spec { return r.snapshot.Load().spec }

// Commands returns the commands in force, oldest first. They must not be changed.
func (r *Resource) Commands() []resources.Command { return r.snapshot.Load().commands }

// Ready reports whether the resource takes calls: every endpoint that there was at the start has been probed once,
// whatever came of it, and the resource is not being shut down.
func (r *Resource) Ready() bool {
	if r.draining.Load() {
		return false
	}
	if !r.probed.Load() && r.cluster.Probed() {
		r.probed.Store(true) // endpoints that come later make nobody wait
	}
	return r.probed.Load()
}

// grace is how long Shutdown waits, after the driver said that it is done, for goroutines that still serve.
const grace = 5 * time.Second

// Shutdown drains the resource: Boundary says Drain, new clients are turned away, and the driver lets its sessions
// end until ctx is done and then cuts them. It returns when nothing of the resource runs any more. The metrics stay,
// so that a resource that is opened anew goes on counting; the owner of the registry drops them with the resource.
func (r *Resource) Shutdown(ctx context.Context) error {
	r.serving.Lock()
	again := r.draining.Swap(true)
	r.serving.Unlock()
	if again {
		<-r.done
		return nil
	}
	err := r.driver().Shutdown(ctx)
	served := make(chan struct{})
	go func() {
		r.work.Wait()
		close(served)
	}()
	select {
	case <-served:
	case <-time.After(grace):
		err = errors.Join(err, fmt.Errorf("resource %s: sessions are still served %s after the driver shut down", r.name, grace))
	}
	r.stop()
	<-r.done
	r.cluster.Close()
	err = errors.Join(err, r.snapshot.Load().chain.Close(nil))
	if r.ownSinks {
		r.sinks.Close()
	}
	if r.ownLoops {
		r.loops.Stop()
	}
	return err
}

// Outcomes returns the names of all outcomes by number, which a metrics registry for resources must be given.
func Outcomes() []string {
	names := make([]string, resources.NumOutcomes)
	for i := range names {
		names[i] = resources.Outcome(i).String()
	}
	return names
}
