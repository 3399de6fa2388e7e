package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// options are the flags.
type options struct {
	sluice string        // the binary; empty: built now
	motan  string        // that of motan-go; empty: built now
	self   string        // how this program was called
	data   string        // where centre and agents store things; see openFolder
	admin  int           // port of the first agent's admin interface, unless it is taken
	center int           // port of the centre, unless it is taken
	length time.Duration // 0: until a signal
	every  time.Duration // between two tables
}

func main() {
	o := options{self: os.Args[0]}
	f := flag.NewFlagSet("demo", flag.ExitOnError)
	f.StringVar(&o.sluice, "sluice", "", "the sluice binary; empty: built now")
	f.StringVar(&o.motan, "motan", "", "the program of motan-go (testenv/motan/peer); empty: built now")
	f.StringVar(&o.data, "data", "data", "folder of all data, made and removed by the demo")
	f.IntVar(&o.admin, "admin", usualAdmin, "port of the first agent's admin interface; the next free one if it is taken")
	f.IntVar(&o.center, "center", usualCenter, "port of the governance centre; the next free one if it is taken")
	f.DurationVar(&o.length, "for", 0, "stop after this time; 0: on Ctrl-C")
	f.DurationVar(&o.every, "every", 0, "time between two tables; 0: 1s on a terminal, else 5s")
	f.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		f.PrintDefaults()
	}
	_ = f.Parse(os.Args[1:]) // ExitOnError
	if f.NArg() > 0 {
		exit(tell(o.data, f.Args()))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the program at once
	if o.length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.length)
		defer cancel()
	}
	exit(server.Run(os.Stderr, "demo", func(t server.TB) {
		if err := run(ctx, t, o, os.Stdout, term.IsTerminal(int(os.Stdout.Fd()))); err != nil {
			t.Fatalf("%v", err)
		}
	}))
}

const usage = `demo [flags]                    the whole demo
demo [-data D] kill NAME        take something of the running demo away: yf, tc, center, web-1, batch-1
demo [-data D] revive NAME      bring it back
demo [-data D] restart NAME     end the centre or an agent in its own time and start it again
demo [-data D] more             what else is worth typing

`

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run is the demo: servers, centre, agents, applications, table, and all of it back.
func run(ctx context.Context, t server.TB, o options, out io.Writer, tty bool) error {
	d := newDemo(o.self)
	d.on.TB = t
	if o.motan != "" { // it is started in a folder of its own
		program, err := filepath.Abs(o.motan)
		if err != nil {
			return err
		}
		d.on.motan = program
	}
	folder, err := openFolder(o.data, o.admin)
	if err != nil {
		return err
	}
	t.Cleanup(folder.close) // after the programs, whatever ends them
	d.folder = folder

	defer d.closeServers()
	if err := d.startServers(); err != nil {
		return err
	}
	if err := d.choosePorts(o.admin, o.center); err != nil {
		return err
	}
	if o.sluice == "" {
		o.sluice = server.Build(t, "github.com/sluice-mesh/sluice/cmd/sluice", false)
	}
	d.sluice = o.sluice
	binary, err := filepath.Abs(o.sluice)
	if err != nil {
		return err
	}
	if err := d.writePlan(); err != nil {
		return err
	}
	d.startMesh(d.on.attempts, binary)
	control, err := listenControl(folder.socket(), d.order)
	if err != nil {
		return err
	}
	defer control.close()

	calls, endCalls := context.WithCancel(ctx)
	defer endCalls()
	var apps sync.WaitGroup
	for _, s := range d.sites {
		for _, r := range d.running {
			seen := newStats(calls)
			s.stats[r.resource] = seen
			apps.Go(func() { s.caller(&r.kind)(calls, d.on, s.listen[r.resource], s.application, seen) })
		}
	}
	fmt.Fprint(out, d.guide(tty))
	err = newScreen(out, tty, d).show(ctx, o.every)
	endCalls()
	apps.Wait()
	fmt.Fprintln(out, "\nstopping: the agents drain, then the centre ends and the servers close")
	d.stop()
	return err
}

// demo is what runs.
type demo struct {
	kinds    []kind
	running  []*running
	servers  map[string][]embedded // by group
	sites    []*site
	notes    []string // what is not as documented: taken ports
	centerAt string   // host:port
	login    string   // URL that logs a person in, once
	sluice   string   // the binary, as it is to be typed
	self     string   // this program, likewise
	folder   *folder

	ordering sync.Mutex // held while an order is carried out; before mu
	on       *stage     // its attempts are what the programs report to
	programs []*program

	mu sync.Mutex // guards program.away
}

func newDemo(self string) *demo {
	return &demo{kinds: kinds, servers: make(map[string][]embedded), sites: newSites(), self: self, on: &stage{attempts: new(attempts)}}
}

// running is one kind with its servers up.
type running struct {
	kind
	backends map[string]string // by group
}

func (d *demo) startServers() error {
	for _, k := range d.kinds {
		r := &running{kind: k, backends: make(map[string]string)}
		d.running = append(d.running, r)
		if k.beside != "" {
			r.backends = d.resource(k.beside).backends
			continue
		}
		for _, g := range groups {
			s, err := k.start(d.on, g)
			if err != nil {
				return err
			}
			d.servers[g] = append(d.servers[g], s)
			r.backends[g] = s.Addr()
		}
	}
	return nil
}

// resource returns one by its name, which is in the table of kinds.
func (d *demo) resource(name string) *running {
	return d.running[slices.IndexFunc(d.running, func(r *running) bool { return r.resource == name })]
}

func (d *demo) closeServers() {
	for _, list := range d.servers {
		for _, s := range list {
			s.Close()
		}
	}
}
