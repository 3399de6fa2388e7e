package servicetest

import (
	"context"
	"fmt"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/resources"
)

// Runtime is the least that a driver needs: endpoints, a filter that is a hook, and retries as the rules allow them. Fields without a
// lock are set before the service is opened.
type Runtime struct {
	resources.Runtime // nil: what is not overridden is not asked for

	Rules       resources.Policy // the default one, with a timeout of 2 s
	Operations  *resources.Ops
	GroupNames  []string
	Eps         []*resources.Endpoint
	Hook        func(*resources.Call) *resources.Stop // of Begin; nil: let everything pass
	BackupAfter atomic.Int64                          // ns after which an idempotent call is sent twice; 0: never
	Tries       int                                   // besides the first one
	Quiet       bool                                  // do not count outcomes: that allocates

	Begun, Ended   atomic.Int64 // calls
	Entered, Left  atomic.Int64 // sessions
	Open           atomic.Int64 // connections to servers
	PinnedSessions atomic.Int64
	Mismatches     atomic.Int64

	t     testing.TB
	name  string
	loops *loop.Group

	mu       sync.Mutex // guards what follows
	outcomes map[string]int
	drops    map[string]int
}

// NewRuntime returns the runtime of a service with some endpoints, all in group g. known are the operations of its driver.
func NewRuntime(t testing.TB, loops *loop.Group, known []resources.OpInfo, name string, addrs ...string) *Runtime {
	f := &Runtime{
		Rules: resources.DefaultPolicy(), Operations: resources.NewOps(known), GroupNames: []string{"g"}, Tries: 2,
		t: t, name: name, loops: loops, outcomes: map[string]int{}, drops: map[string]int{},
	}
	f.Rules.Timeout = resources.Duration(2 * time.Second)
	for i, a := range addrs {
		ep := &resources.Endpoint{Resource: name, Group: "g", Address: a, ID: i}
		ep.SetWeight(100)
		f.Eps = append(f.Eps, ep)
	}
	return f
}

func (f *Runtime) Name() string                     { return f.name }
func (f *Runtime) Loops() (*loop.Group, error)      { return f.loops, nil }
func (f *Runtime) Ops() *resources.Ops              { return f.Operations }
func (f *Runtime) OpsChanged()                      {}
func (f *Runtime) Groups() []string                 { return f.GroupNames }
func (f *Runtime) Endpoints() []*resources.Endpoint { return f.Eps }
func (f *Runtime) Policy() *resources.Policy        { return &f.Rules }
func (f *Runtime) Closed(*resources.Session)        { f.Left.Add(1) }
func (f *Runtime) Mismatch()                        { f.Mismatches.Add(1) }
func (f *Runtime) Dropped(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drops[what]++
}

// Drops returns how often something was dropped: "late-reply".
func (f *Runtime) Drops(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.drops[what]
}

func (f *Runtime) Pinned(s *resources.Session, p resources.Pin) {
	if s.SetPins(p) != 0 {
		f.PinnedSessions.Add(-1)
	}
	if p != 0 {
		f.PinnedSessions.Add(1)
	}
}
func (f *Runtime) Connections(_ *resources.Endpoint, _ string, n int) { f.Open.Add(int64(n)) }
func (f *Runtime) Log(level, msg string, kv ...any) {
	if level == "error" {
		f.t.Log(level, msg, fmt.Sprint(kv...))
	}
}

func (f *Runtime) Dial(ctx context.Context, ep *resources.Endpoint) (net.Conn, *resources.Fault) {
	nc, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", ep.Address)
	if err != nil {
		return nil, resources.NewFault(resources.Unavailable, resources.FromUpstream, f.name, err.Error())
	}
	return nc, nil
}

// What the runtime keeps in Call.Depth of a call, to find calls that end twice.
const (
	depthBegun = 1
	depthEnded = 2
)

func (f *Runtime) Begin(c *resources.Call) *resources.Stop {
	f.Begun.Add(1)
	c.Depth = depthBegun
	if d := f.Rules.Timeout; d > 0 {
		c.Deadline = c.Start + int64(d)
	}
	if f.Hook != nil {
		return f.Hook(c)
	}
	return nil
}

func (f *Runtime) Route(c *resources.Call) (*resources.Endpoint, *resources.Fault) {
	if len(f.Eps) == 0 {
		return nil, resources.NewFault(resources.Unavailable, resources.FromAgent, f.name, "no endpoint")
	}
	c.Endpoint, c.Routed = f.Eps[int(c.Attempt)%len(f.Eps)], max(c.Start, c.Now)
	if c.Attempt == 0 && c.Retry == resources.RetryIdempotent {
		c.Backup = f.BackupAfter.Load()
	}
	return c.Endpoint, nil
}

func (f *Runtime) Backup(c *resources.Call) *resources.Endpoint {
	return f.Eps[(c.Endpoint.ID+1)%len(f.Eps)]
}

func (f *Runtime) End(c *resources.Call) resources.Next {
	if c.Depth != depthBegun {
		f.t.Errorf("a call of %s ended with depth %d", f.Operations.Info(c.Op).Name, c.Depth)
	}
	mayRepeat := c.Sent == resources.SentNothing && c.Retry != resources.RetryNever ||
		c.Sent == resources.SentSome && c.Retry == resources.RetryIdempotent
	if c.Outcome.Failure() && int(c.Attempt) < f.Tries && mayRepeat {
		c.Attempt++
		if _, fault := f.Route(c); fault == nil {
			c.Sent, c.Outcome, c.Fault = resources.SentNothing, resources.OutcomeOK, nil
			return resources.Again
		}
	}
	f.Ended.Add(1)
	c.Depth = depthEnded
	if f.Quiet {
		return resources.Done
	}
	f.mu.Lock()
	f.outcomes[f.Operations.Info(c.Op).Name+" "+c.Outcome.String()]++
	f.mu.Unlock()
	return resources.Done
}

// Outcome returns how many calls of an operation ended in a way: "GET ok".
func (f *Runtime) Outcome(what string) int { return f.Outcomes()[what] }

// Outcomes returns how many calls ended, by operation and outcome.
func (f *Runtime) Outcomes() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.outcomes)
}
