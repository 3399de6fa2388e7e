package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	sim "github.com/sluice-mesh/sluice/testenv/fleet"
)

// The whole way, as agents go it: certificates, HTTP's upgrade, and the goodbye at the end.
func TestOverTLS(t *testing.T) {
	src := newSource()
	src.put("cache", "one")
	f, err := New(Options{Source: src, Name: "c1", Cluster: "cluster"})
	if err != nil {
		t.Fatal(err)
	}
	ca, err := sim.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	gate, err := ca.Open(f.Serve)
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var running sync.WaitGroup
	defer running.Wait()
	goodbyes := make(chan error, 8)
	for i := range 8 {
		a := &sim.Agent{}
		a.Hello.Name, a.Hello.Wants = fmt.Sprintf("a%d", i), []string{"cache"}
		if a.Dial, err = ca.Dialer(gate.Addr, a.Hello.Name); err != nil {
			t.Fatal(err)
		}
		running.Go(func() { goodbyes <- a.Run(ctx) })
	}
	applied := func(want string) {
		t.Helper()
		for {
			if v := f.Applied("cache"); v.Agents == 8 && v.Applied == 8 && v.Want == want {
				return
			}
			select {
			case <-ctx.Done():
				t.Fatalf("applied: %+v", f.Applied("cache"))
			case <-time.After(time.Millisecond):
			}
		}
	}
	applied(src.docs["cache"].hash)
	f.Changed([]string{"cache"}, src.put("cache", "two"))
	applied(src.docs["cache"].hash)
	if err := f.Close(ctx); err != nil {
		t.Error(err)
	}
	for range 8 {
		var bye *sim.ByeError
		if err := <-goodbyes; !errors.As(err, &bye) || bye.Retry == 0 {
			t.Errorf("an agent was told %v", err)
		}
	}
}
