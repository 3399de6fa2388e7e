package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
	sim "github.com/sluice-mesh/sluice/testenv/fleet"
)

// talker is an agent that answers questions by their path.
func (l *lab) talker(name string, canceled *sync.Map) *sim.Agent {
	a := l.agent(name)
	a.Answer = func(ask control.Ask, send func(control.Answer) error) error {
		switch ask.Path {
		case "/v1/status":
			return send(control.Answer{Status: 200, Body: []byte(name + " " + ask.Method)})
		case "/v1/pieces":
			return errors.Join(send(control.Answer{Status: 200, More: true, Body: []byte("one ")}), send(control.Answer{Status: 200, Body: []byte("two")}))
		case "/v1/huge":
			for range 4 {
				if err := send(control.Answer{Status: 200, More: true, Body: make([]byte, 2<<20)}); err != nil {
					return err
				}
			}
			return send(control.Answer{Status: 200, Body: make([]byte, 2<<20)})
		case "/v1/observe":
			for i := 0; ; i++ {
				if err := send(control.Answer{Status: 200, More: true, Body: fmt.Append(nil, i)}); err != nil {
					canceled.Store(name, true)
					return nil
				}
				time.Sleep(time.Millisecond)
			}
		}
		return nil // never
	}
	return a
}

func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, newSource(), nil)
		defer l.close()
		stop := l.start(l.talker("a", new(sync.Map)))
		ctx := t.Context()
		answer, err := l.f.Ask(ctx, "a", control.Ask{Method: "GET", Path: "/v1/status"})
		if err != nil || answer.Status != 200 || string(answer.Body) != "a GET" {
			t.Errorf("%+v, %v", answer, err)
		}
		answer, err = l.f.Ask(ctx, "a", control.Ask{Path: "/v1/pieces"})
		if err != nil || string(answer.Body) != "one two" || answer.More {
			t.Errorf("%+v, %v", answer, err)
		}
		if _, err := l.f.Ask(ctx, "a", control.Ask{Path: "/v1/huge"}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("an answer of 10 MiB: %v", err)
		}
		began := time.Now()
		if _, err := l.f.Ask(ctx, "a", control.Ask{Path: "/never"}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != askTimeout {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if _, err := l.f.Ask(ctx, "b", control.Ask{}); !errors.Is(err, ErrUnknown) {
			t.Errorf("an agent that never was: %v", err)
		}
		canceled, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := l.f.Ask(canceled, "a", control.Ask{}); !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: %v", err)
		}
		pending := make(chan error)
		for range maxAsks {
			go func() {
				_, err := l.f.Ask(ctx, "a", control.Ask{Path: "/never"})
				pending <- err
			}()
		}
		synctest.Wait()
		if _, err := l.f.Ask(ctx, "a", control.Ask{}); !errors.Is(err, ErrBusy) {
			t.Errorf("a question too many: %v", err)
		}
		_ = stop()
		for range maxAsks {
			if err := <-pending; !errors.Is(err, ErrAway) {
				t.Errorf("the agent went: %v", err)
			}
		}
		if _, err := l.f.Ask(ctx, "a", control.Ask{}); !errors.Is(err, ErrAway) {
			t.Errorf("an agent that is not there: %v", err)
		}
	})
}

func TestAskStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, newSource(), nil)
		defer l.close()
		var canceled sync.Map
		stop := l.start(l.talker("a", &canceled))
		ctx, cancel := context.WithCancel(t.Context())
		pieces, err := l.f.AskStream(ctx, "a", control.Ask{Path: "/v1/observe"})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			if p := <-pieces; string(p.Body) != fmt.Sprint(i) || !p.More {
				t.Fatalf("piece %d: %+v", i, p)
			}
		}
		cancel()
		synctest.Wait()
		for p := range pieces {
			if p.Status != 200 {
				t.Errorf("a stream that was cancelled ends with %+v", p)
			}
		}
		time.Sleep(time.Second)
		if _, ok := canceled.Load("a"); !ok {
			t.Error("the agent goes on answering")
		}

		last := func(pieces <-chan control.Answer) (p control.Answer) {
			for p = range pieces {
			}
			return p
		}
		slow, err := l.f.AskStream(t.Context(), "a", control.Ask{Path: "/v1/observe"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if p := last(slow); p.Status != 502 || !strings.Contains(string(p.Body), "too slowly") {
			t.Errorf("a stream that nobody reads ends with %+v", p)
		}
		limited, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		short, err := l.f.AskStream(limited, "a", control.Ask{Path: "/v1/observe"})
		if err != nil {
			t.Fatal(err)
		}
		if p := last(short); p.Status != 504 {
			t.Errorf("a stream beyond its deadline ends with %+v", p)
		}
		lost, err := l.f.AskStream(t.Context(), "a", control.Ask{Path: "/v1/observe"})
		if err != nil {
			t.Fatal(err)
		}
		_ = stop()
		if p := last(lost); p.Status != 503 {
			t.Errorf("a stream of an agent that went ends with %+v", p)
		}
	})
}

func TestAskAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, newSource(), nil)
		defer l.close()
		names := []string{"away"}
		for i := range 2 * askParallel {
			names = append(names, fmt.Sprintf("a%02d", i))
			l.start(l.talker(names[i+1], new(sync.Map)))
		}
		var got []string
		l.f.AskAll(t.Context(), names, control.Ask{Method: "GET", Path: "/v1/status"}, func(agent string, a control.Answer, err error) {
			switch {
			case agent == "away":
				if !errors.Is(err, ErrUnknown) {
					t.Errorf("away: %v", err)
				}
			case err != nil || string(a.Body) != agent+" GET":
				t.Errorf("%s: %+v, %v", agent, a, err)
			}
			got = append(got, agent)
		})
		slices.Sort(got)
		slices.Sort(names)
		if !slices.Equal(got, names) {
			t.Errorf("asked %v", got)
		}
	})
}
