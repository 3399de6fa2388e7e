package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/agent/admin"
	"github.com/sluice-mesh/sluice/agent/control"
	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/agent/listen"
	"github.com/sluice-mesh/sluice/agent/pressure"
	"github.com/sluice-mesh/sluice/agent/runtime"
	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/metrics/graphite"
	"github.com/sluice-mesh/sluice/resources"
)

// Agent is one data plane.
type Agent struct {
	opt     Options
	log     *slog.Logger
	started time.Time

	lock       *os.File // holds the data folder
	registry   *metrics.Registry
	store      *control.Store
	center     *center // nil: the config names no centre
	exports    *exporter
	registries *registries
	announcer  *announcer
	console    *motanConsole
	registered *registered // nil: applications may not register
	notes      *control.Notes
	sinks      *filter.Sinks
	loops      *loop.Group    // I/O of all resources
	graphite   *graphite.Sink // nil: not pushed
	sampler    *sampler
	pressure   *pressure.Watcher
	set        *set
	admin      *admin.Server
	adminLn    net.Listener

	ready    readiness
	draining atomic.Bool
	reloads  atomic.Uint64
	revision *metrics.Gauge

	identity config.Agent // the agent's section as the process started with it

	changing sync.Mutex        // serialises changes
	file     *config.Config    // guarded by changing, as are all fields below
	fileJSON map[string]string // the resources of the file as last read, to see which were edited
}

// New builds an agent. Everything that can be wrong with a config shows here: nothing serves clients yet. The caller
// runs it, or closes it.
func New(cfg *config.Config, o Options) (*Agent, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Config.FilterSettings == nil {
		o.Config = ConfigOptions()
	}
	a := &Agent{opt: o, log: o.Log, started: time.Now(), file: cfg, identity: cfg.Agent, registry: metrics.NewRegistry(metrics.Options{Outcomes: runtime.Outcomes()})}
	a.registries = newRegistries(a.identity.Application, a.log)
	a.console = newMotanConsole(a)
	for _, step := range []func() error{a.openData, a.openRegistered, a.openSinks, a.openCenter, a.openLoops, a.openResources, a.openExports, a.openGraphite, a.openAdmin} {
		if err := step(); err != nil {
			a.Close()
			return nil, err
		}
	}
	return a, nil
}

// openData opens the folder that holds what outlives the process.
func (a *Agent) openData() (err error) {
	if a.lock, err = lockData(a.identity.Data); err != nil {
		return err
	}
	if a.store, err = control.Open(a.identity.Data, a.log); err != nil {
		return err
	}
	a.notes = control.OpenNotes(a.identity.Data, a.log)
	return nil
}

// openSinks opens where logs and spans go.
func (a *Agent) openSinks() error {
	a.revision = a.registry.Gauge(metrics.ConfigRevision, "")
	a.sinks = filter.NewSinks(filter.SinkOptions{Log: a.log, Registry: a.registry, Spans: a.openSpans})
	a.sampler = newSampler(a.registry)
	a.pressure = pressure.Open(pressure.Options{
		Limits: pressure.FindLimits(int64(a.identity.Memory)), Log: a.log, Metrics: a.registry, Shrink: a.shrink,
	})
	return nil
}

// openExports opens the registries that exports are announced in. Nothing is announced as available yet.
func (a *Agent) openExports() (err error) {
	a.exports = newExporter(a.identity.Exports, a.behind)
	if a.announcer, err = newAnnouncer(a); err != nil {
		return err
	}
	return a.registered.exportRegistered()
}

// exported tells the centre and the registries of exports that came or went.
func (a *Agent) exported() {
	if a.center != nil {
		a.center.link.Kick()
	}
	if !a.draining.Load() {
		a.announcer.update()
	}
}

// openLoops starts the I/O loops that all resources share.
func (a *Agent) openLoops() (err error) {
	a.loops, err = loop.NewGroup(a.identity.Loops)
	return err
}

// openResources opens what the file, earlier changes over HTTP and the centre's last word declare. Ports are bound, and nothing is accepted.
func (a *Agent) openResources() error {
	a.set = &set{
		log:      a.log,
		loops:    a.loops,
		said:     a.said,
		open:     a.openResource,
		commands: a.orders,
		grace:    func() time.Duration { return a.drainConfig().Timeout.D() },
		forget:   a.forgetMetrics,
		bind: func(address string) (*listen.Listener, error) {
			// A unix socket is as open as a port of the loopback: its folder's permissions can close it.
			return listen.Open(address, listen.Options{Log: a.log, Inherited: a.opt.Inherited, Shed: a.countShed, Hold: a.pressure.Gate().Hold, Mode: 0o666})
		},
	}
	a.changing.Lock()
	defer a.changing.Unlock()
	var err error
	if a.fileJSON, err = jsonOf(a.file); err != nil {
		return err
	}
	next, err := a.desired(a.file)
	if err != nil {
		return err
	}
	if err := a.set.apply(next); err != nil {
		return err
	}
	if a.center != nil {
		a.center.restore()
		a.center.keep.OnChange(func(resource string) { a.recompile(resource) })
	}
	a.changed()
	a.forgetNotes(a.running(), a.awaited()...)
	a.store.OnChange(func(resource string) { a.recompile(resource) })
	return nil
}

func (a *Agent) openResource(d *declared, spec *resources.Spec, commands []resources.Command) (*runtime.Resource, error) {
	r, err := runtime.Open(runtime.Options{
		Spec: spec, Driver: d.Driver, Book: a.bookOf(d), Finder: a.registries, Settings: d.Settings, Commands: commands,
		Metrics: a.registry, Sinks: a.sinks, Log: a.log, Loops: a.loops, Pressure: a.pressure.Gate(),
		Application: a.identity.Application, IDC: a.identity.IDC,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.label(), err)
	}
	return r, nil
}

// forgetMetrics drops the metrics of a resource that is gone. It waits for a change that may be bringing it back.
func (a *Agent) forgetMetrics(resource string) {
	a.changing.Lock()
	defer a.changing.Unlock()
	if a.set.get(resource) == nil {
		a.registry.Drop(resource)
	}
}

// shrink makes every resource give back what it keeps for later.
func (a *Agent) shrink() {
	for _, m := range a.set.list() {
		m.run.Shrink()
	}
}

func (a *Agent) countShed(reason string) { a.registry.Dropped("accept-" + reason).Add(1) }

// openAdmin binds the agent's own interface.
func (a *Agent) openAdmin() error {
	c := &a.identity
	token, err := admin.LoadToken(c.Data)
	if err != nil {
		return err
	}
	a.adminLn, err = listen.Bind(c.Admin, listen.Options{Inherited: a.opt.Inherited, Mode: 0o600})
	if err != nil {
		return fmt.Errorf("agent.admin: %w", err)
	}
	a.admin = admin.New(admin.Options{Backend: &backend{a}, Token: token, Hosts: a.hosts(), Manage: a.manage(), Log: a.log})
	if tcp, ok := a.adminLn.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		a.log.Warn("the admin interface can be reached from other machines, and the token travels in clear: prefer 127.0.0.1 or a unix socket",
			"admin", tcp.String())
	}
	return nil
}

// hosts are the names by which the admin interface may be called.
func (a *Agent) hosts() []string {
	names := []string{a.identity.Name}
	if h, _, err := net.SplitHostPort(a.identity.Admin); err == nil && h != "" {
		names = append(names, h)
	}
	if h, err := os.Hostname(); err == nil {
		short, _, _ := strings.Cut(h, ".")
		names = append(names, h, short)
	}
	return names
}

// AdminAddr returns where the admin interface listens.
func (a *Agent) AdminAddr() net.Addr { return a.adminLn.Addr() }

// Listening returns where a resource listens, as bound; nil when there is no such resource.
func (a *Agent) Listening(resource string) []string {
	m := a.set.get(resource)
	if m == nil {
		return nil
	}
	return a.set.addresses(m.declared)
}

// Run serves until ctx is done or a signal says to stop, and drains. It returns nil when all calls ended at their
// boundaries. It may be called once.
func (a *Agent) Run(ctx context.Context) error {
	var background sync.WaitGroup
	stop, stopped := context.WithCancel(context.Background())
	background.Go(func() { a.sampler.run(stop) })
	background.Go(func() { a.pressure.Run(stop) })
	if a.center != nil {
		background.Go(func() { a.center.run(stop) })
	}
	background.Go(func() { a.exports.run(stop, a.exported) })
	background.Go(func() { a.console.run(stop) })
	serving := make(chan error, 1)
	go func() { serving <- a.admin.Serve(a.adminLn) }()

	a.accept()
	if a.center != nil { // what is there serves already: the centre may be away
		background.Go(func() { a.center.link.Run(stop) })
	}
	err := a.supervise(ctx, serving)
	err = errors.Join(err, a.drain())

	stopped()
	background.Wait()
	return errors.Join(err, a.Close())
}

// accept opens the agent to its clients.
func (a *Agent) accept() {
	a.changing.Lock()
	defer a.changing.Unlock()
	for _, address := range a.opt.Inherited.Close() {
		a.log.Warn("a socket that the service manager passed is not in the config, and was closed", "listen", address)
	}
	a.set.start()
	a.ready.begin(time.Now())
	names := make([]string, 0, len(a.set.members))
	for _, m := range a.set.list() {
		names = append(names, m.Spec.Name+" "+strings.Join(a.set.addresses(m.declared), ","))
	}
	a.log.Info("serving", "agent", a.identity.Name, "version", a.opt.Version, "admin", a.adminLn.Addr().String(), "resources", names)
}

// Close ends what New opened, in the reverse order. Run calls it; a caller that does not run the agent does.
func (a *Agent) Close() error {
	var errs []error
	if a.set != nil {
		a.draining.Store(true)
		a.set.stopAccepting()
		now, cancel := context.WithCancel(context.Background())
		cancel()
		a.set.shutdown(now) // nothing is left after a drain
	}
	a.console.close()
	a.announcer.close()
	if a.loops != nil {
		a.loops.Stop()
	}
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	errs = append(errs, a.center.close())
	if a.notes != nil {
		a.notes.Close()
	}
	if a.graphite != nil {
		flush, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := a.graphite.Close(flush); err != nil {
			a.log.Warn("the last metrics were not sent", "error", err) // no reason to fail the exit
		}
	}
	if a.sinks != nil {
		errs = append(errs, a.sinks.Close())
	}
	if a.admin != nil {
		errs = append(errs, a.admin.Shutdown(context.Background()))
	}
	if a.adminLn != nil {
		a.adminLn.Close() // a second time after Shutdown, unless it never served
	}
	if a.lock != nil {
		a.lock.Close() // and so unlocked
	}
	return errors.Join(errs...)
}

// drainConfig is how to stop, as the file last said.
func (a *Agent) drainConfig() config.DrainConfig {
	a.changing.Lock()
	defer a.changing.Unlock()
	return a.file.Agent.Drain
}

// needsRestart names the parts of the agent's section that differ and take effect only at a restart.
func needsRestart(old, next config.Agent) []string {
	old.Drain, next.Drain = config.DrainConfig{}, config.DrainConfig{}
	var out []string
	o, n := reflect.ValueOf(old), reflect.ValueOf(next)
	for i := range o.NumField() {
		if !reflect.DeepEqual(o.Field(i).Interface(), n.Field(i).Interface()) {
			name, _, _ := strings.Cut(o.Type().Field(i).Tag.Get("yaml"), ",")
			out = append(out, "agent."+name)
		}
	}
	return out
}
