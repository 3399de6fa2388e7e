package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// options are the flags.
type options struct {
	sluice string        // the binary; empty: built now
	self   string        // how this program was called
	data   string        // where the agent stores things; see openFolder
	admin  int           // port of the admin interface, unless it is taken
	length time.Duration // 0: until a signal
	every  time.Duration // between two tables
}

func main() {
	o := options{self: os.Args[0]}
	f := flag.NewFlagSet("demo", flag.ExitOnError)
	f.StringVar(&o.sluice, "sluice", "", "the sluice binary; empty: built now")
	f.StringVar(&o.data, "data", "data", "folder of the agent's data, made and removed by the demo")
	f.IntVar(&o.admin, "admin", 8002, "port of the agent's admin interface; the next free one if it is taken")
	f.DurationVar(&o.length, "for", 0, "stop after this time; 0: on Ctrl-C")
	f.DurationVar(&o.every, "every", 0, "time between two tables; 0: 1s on a terminal, else 5s")
	f.Usage = func() {
		fmt.Fprintf(os.Stderr, "demo [flags]               the whole demo\ndemo [-data D] kill GROUP   take a group of the running demo away\ndemo [-data D] revive GROUP bring it back\n\n")
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

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run is the demo: servers, agent, application, table, and all of it back.
func run(ctx context.Context, t server.TB, o options, out io.Writer, tty bool) error {
	d := &demo{kinds: kinds, self: o.self, servers: make(map[string][]embedded)}
	folder, err := openFolder(o.data, o.admin)
	if err != nil {
		return err
	}
	defer folder.close()
	d.folder = folder

	defer d.closeServers()
	if err := d.startServers(); err != nil {
		return err
	}
	config, err := d.configure(o.admin)
	if err != nil {
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
	agent := server.Start(t, server.Agent{Config: config, Binary: binary, Env: []string{"SLUICE_AT=", "SLUICE_TOKEN=", "SLUICE_DATA="}})
	control, err := listenControl(folder.socket(), d.order)
	if err != nil {
		return err
	}
	defer control.close()

	calls, endCalls := context.WithCancel(ctx)
	defer endCalls()
	var app sync.WaitGroup
	for _, k := range d.running {
		k.stats = newStats(calls)
		app.Go(func() { k.call(calls, k.addr, k.stats) })
	}
	fmt.Fprint(out, d.guide(tty))
	err = newScreen(out, tty, d).show(ctx, o.every, agent.Done())
	endCalls()
	app.Wait()
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\nstopping: the agent drains, then the servers close")
	agent.Stop()
	return nil
}

// demo is what runs.
type demo struct {
	kinds   []kind
	running []*running
	servers map[string][]embedded // by group
	notes   []string              // what is not as documented: taken ports
	admin   string                // host:port
	sluice  string                // the binary, as it is to be typed
	self    string                // this program, likewise
	folder  *folder
}

// running is one kind with its servers up.
type running struct {
	kind
	addr     string // where the agent listens for it
	backends map[string]string
	stats    *stats
}

func (d *demo) startServers() error {
	for _, k := range d.kinds {
		r := &running{kind: k, backends: make(map[string]string)}
		for _, g := range groups {
			s, err := k.start(g)
			if err != nil {
				return err
			}
			d.servers[g] = append(d.servers[g], s)
			r.backends[g] = s.Addr()
		}
		d.running = append(d.running, r)
	}
	return nil
}

func (d *demo) closeServers() {
	for _, list := range d.servers {
		for _, s := range list {
			s.Close()
		}
	}
}

// order carries out what another terminal asks for.
func (d *demo) order(verb, group string) error {
	list, ok := d.servers[group]
	if !ok {
		return fmt.Errorf("no group %q: there are %v", group, groups)
	}
	var errs []error
	for _, s := range list {
		switch verb {
		case "kill":
			s.Down()
		case "revive":
			errs = append(errs, s.Up())
		default:
			return fmt.Errorf("unknown order %q: use kill or revive", verb)
		}
	}
	return errors.Join(errs...)
}
