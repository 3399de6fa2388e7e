package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/agent/discovery"
)

// orders is a watch of commands that runs, with what it reported.
type orders struct {
	l    *lab
	stop context.CancelFunc
	done chan error

	mu   sync.Mutex
	seen []string // guarded by mu; "none" for nil
}

func (l *lab) commander(s discovery.Source) discovery.Commander {
	l.Helper()
	c, ok := s.(discovery.Commander)
	if !ok {
		l.Fatal("the source keeps no commands")
	}
	return c
}

func (l *lab) watchCommands(s discovery.Source, scope discovery.Scope) *orders {
	ctx, stop := context.WithCancel(context.Background())
	o := &orders{l: l, stop: stop, done: make(chan error, 1)}
	c := l.commander(s)
	go func() {
		o.done <- c.WatchCommands(ctx, scope, func(json []byte) {
			o.mu.Lock()
			defer o.mu.Unlock()
			if json == nil {
				o.seen = append(o.seen, "none")
			} else {
				o.seen = append(o.seen, string(json))
			}
		})
	}()
	l.Cleanup(func() {
		if err := o.end(); err != nil && !errors.Is(err, discovery.ErrClosed) {
			l.Errorf("the watch of commands: %v", err)
		}
	})
	return o
}

func (o *orders) end() error {
	o.stop()
	select {
	case err := <-o.done:
		o.done <- err
		return err
	case <-time.After(Patience):
		return errors.New("it does not end")
	}
}

func (o *orders) expect(want ...string) {
	o.l.Helper()
	Eventually(o.l.T, fmt.Sprintf("the commands %q", want), func() error {
		o.mu.Lock()
		defer o.mu.Unlock()
		if fmt.Sprintf("%q", o.seen) != fmt.Sprintf("%q", want) {
			return fmt.Errorf("seen: %q", o.seen)
		}
		return nil
	})
}

func (l *lab) put(s discovery.Source, scope discovery.Scope, text string) {
	l.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var json []byte
	if text != "" {
		json = []byte(text)
	}
	if err := l.commander(s).PutCommands(ctx, scope, json); err != nil {
		l.Fatal(err)
	}
}

func testNoCommands(l *lab) {
	if _, ok := l.open().(discovery.Commander); ok {
		l.Error("the source keeps commands: they are to be tested")
	}
}

func testCommands(l *lab) {
	a, b := l.open(), l.open()
	group, app := discovery.Scope{Group: l.group}, discovery.Scope{Application: l.group}
	ofGroup, ofApp := l.watchCommands(a, group), l.watchCommands(a, app)
	ofGroup.expect("none")
	ofApp.expect("none")
	l.put(b, group, `{"clientCommandList":[{"index":1}]}`)
	ofGroup.expect("none", `{"clientCommandList":[{"index":1}]}`)
	l.put(b, app, `{"a":1}`)
	l.put(b, group, `{"clientCommandList":[{"index":2}]}`)
	ofGroup.expect("none", `{"clientCommandList":[{"index":1}]}`, `{"clientCommandList":[{"index":2}]}`)
	ofApp.expect("none", `{"a":1}`)
	l.put(b, group, "")
	ofGroup.expect("none", `{"clientCommandList":[{"index":1}]}`, `{"clientCommandList":[{"index":2}]}`, discovery.NoCommands)
	l.watchCommands(b, group).expect(discovery.NoCommands)
	// Commands are no node, and nodes no command.
	n := l.node("svc", "10.0.0.1:80")
	l.register(b, n)
	Watch(l.T, a, l.service("svc")).UntilNodes(n)
	ofApp.expect("none", `{"a":1}`)
}

func testCommandsEnd(l *lab) {
	s := l.back.Open(l.T)
	o := l.watchCommands(s, discovery.Scope{Group: l.group})
	o.expect("none")
	if err := o.end(); err != nil {
		l.Errorf("a watch of commands ended with %v", err)
	}
	o = l.watchCommands(s, discovery.Scope{Group: l.group})
	o.expect("none")
	if err := s.Close(); err != nil {
		l.Fatal(err)
	}
	select {
	case err := <-o.done:
		if o.done <- err; !errors.Is(err, discovery.ErrClosed) {
			l.Errorf("a watch of commands of a closed source ended with %v", err)
		}
	case <-time.After(Patience):
		l.Error("it does not end with its source")
	}
	for _, bad := range []discovery.Scope{{}, {Group: "a", Application: "b"}, {Group: "a/b"}, {Application: ".."}} {
		if err := l.commander(s).WatchCommands(context.Background(), bad, func([]byte) {}); err == nil {
			l.Errorf("%+v is watched", bad)
		}
		if err := l.commander(s).PutCommands(context.Background(), bad, nil); err == nil {
			l.Errorf("%+v is written", bad)
		}
	}
}
