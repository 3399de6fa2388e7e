package main

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// program is the centre or an agent.
type program struct {
	*server.Process
	name string
	away bool // guarded by demo.mu: somebody ordered its end, so that it is no surprise
}

// The orders that other terminals may give, each with what is ordered.
const (
	orderKill    = "kill"    // a group or a program: at once, as a broken machine does
	orderRevive  = "revive"  // what was killed
	orderRestart = "restart" // a program: it stops in its own time and starts again
	orderMore    = "more"    // nothing changes: the lines for which the screen has no room
)

// order carries out what another terminal asks for, one order at a time, and returns what it is to print.
func (d *demo) order(verb, target string) (string, error) {
	d.ordering.Lock()
	defer d.ordering.Unlock()
	switch verb {
	case orderMore:
		return d.more(), nil
	case orderKill, orderRevive, orderRestart:
	default:
		return "", fmt.Errorf("unknown order %q: use kill, revive, restart or more", verb)
	}
	for _, p := range d.programs {
		if p.name == target {
			return "", d.orderProgram(verb, p)
		}
	}
	list, ok := d.servers[target]
	switch {
	case !ok:
		return "", fmt.Errorf("there is no %q: there are %s", target, strings.Join(d.targets(), ", "))
	case verb == orderRestart:
		return "", fmt.Errorf("%s is a group of servers: kill and revive it", target)
	}
	var errs []error
	for _, s := range list {
		if verb == orderKill {
			s.Down()
		} else {
			errs = append(errs, s.Up())
		}
	}
	return "", errors.Join(errs...)
}

// targets are the names of all that can be killed.
func (d *demo) targets() []string {
	names := slices.Clone(groups)
	for _, p := range d.programs {
		names = append(names, p.name)
	}
	return names
}

func (d *demo) orderProgram(verb string, p *program) error {
	d.setAway(p, true)
	err := d.on.try(func() {
		switch {
		case verb == orderKill:
			p.Kill()
		case verb == orderRestart:
			p.Stop()
			p.Restart()
		case !p.Running():
			p.Restart()
		}
	})
	if err == nil && verb != orderKill {
		d.setAway(p, false)
	}
	return err
}

func (d *demo) setAway(p *program, away bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p.away = away
}

// ended says which program ended by itself; nil while all run that should.
func (d *demo) ended() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.programs {
		if !p.away && !p.Running() {
			return fmt.Errorf("%s ended: %s", p.name, p.State())
		}
	}
	return nil
}

// stop ends the programs in their own time, the agents before the centre. No order can come between.
func (d *demo) stop() {
	d.ordering.Lock()
	defer d.ordering.Unlock()
	var ends sync.WaitGroup
	for _, p := range slices.Backward(d.programs) {
		if p.name == centerName {
			ends.Wait()
		}
		ends.Go(func() {
			if p.Running() {
				p.Stop()
			}
		})
	}
	ends.Wait()
}

// attempts is a TB under which an order may fail without an end of the demo.
type attempts struct {
	server.TB

	mu     sync.Mutex // guards what follows
	trying bool
	failed error // of the order that is tried
}

// try runs f and returns how it failed. One at a time.
func (a *attempts) try(f func()) error {
	a.mu.Lock()
	a.trying, a.failed = true, nil
	a.mu.Unlock()
	done := make(chan struct{})
	go func() { // Fatalf ends it
		defer close(done)
		f()
	}()
	<-done
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trying = false
	return a.failed
}

// note keeps a failure of an order, the first one; false: there is no order.
func (a *attempts) note(format string, args ...any) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.trying && a.failed == nil {
		a.failed = fmt.Errorf(format, args...)
	}
	return a.trying
}

// Errorf implements server.TB.
func (a *attempts) Errorf(format string, args ...any) {
	if !a.note(format, args...) {
		a.TB.Errorf(format, args...)
	}
}

// Fatalf implements server.TB.
func (a *attempts) Fatalf(format string, args ...any) {
	if a.note(format, args...) {
		runtime.Goexit()
	}
	a.TB.Fatalf(format, args...)
}
