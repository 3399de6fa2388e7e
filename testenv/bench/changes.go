package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/testenv/bench/load"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// Calls while their resource changes: a centre, an agent that joined it and takes the resource from it, and one Redis. Clients
// call at a steady rate, whatever the replies do; the document changes ten times a second. Each change is published at the centre
// (PATCH), goes over the link and is compiled, swapped and kept by the agent.
//
// All of it runs on this machine, where the centre and who publishes take some ms of CPU for a change that elsewhere would not be
// taken from the calls: more than one in a hundred would meet them. So what is compared are times in which the same is published
// for another resource, which no agent takes, with times in which it is published for the one that is called. The difference
// is what the agent itself does. Times in which nothing is published are reported beside.

const (
	changesEvery = 100 * time.Millisecond
	// changesShare of what the agent carries in a closed loop is the rate of the open one.
	changesShare = 0.5
	theirs       = "bench"   // the resource that is called
	another      = "another" // one that no agent takes
	// leastApplied is the share of the changes that were due which the agent must have taken: with fewer the figure would not
	// be about ten changes a second.
	leastApplied = 0.9
)

// changesRow is what came out.
type changesRow struct {
	Rate     float64  `json:"rate"`      // requests a second
	Quiet    calls    `json:"quiet"`     // nothing changes
	Another  calls    `json:"another"`   // another resource changes
	Changing calls    `json:"changing"`  // the resource changes
	Ratio    estimate `json:"p99_ratio"` // changing to another
	Due      int      `json:"due"`       // changes, ten for each second of calls
	Taken    int      `json:"published"` // by the centre
	Applied  int      `json:"applied"`   // by the agent, each acknowledged
}

// calls is what became of calls, all rounds together.
type calls struct {
	OK     int64          `json:"ok"` // verified replies
	P50    float64        `json:"p50_us"`
	P99    float64        `json:"p99_us"`
	P999   float64        `json:"p999_us"`
	Errors map[string]int `json:"errors,omitempty"` // replies by their first word

	Seconds float64 `json:"seconds"`
	Agent   float64 `json:"agent_cpu"`  // cores that its process used
	Center  float64 `json:"center_cpu"` // likewise

	visits        []load.Result
	agent, center int64 // CPU, ns
}

func (b *bench) partChanges() error {
	c, err := b.openChanges()
	if err != nil {
		return err
	}
	defer c.driver.stop()
	rounds := 3 * b.plan.rounds // short ones: what the machine does otherwise lasts longer, and then meets both kinds
	if b.quick {
		rounds = b.plan.rounds
	}
	r, err := c.measure(rounds, time.Second, b.progress)
	if err != nil {
		return err
	}
	b.results.Changes = r
	if err := r.enough(); err != nil {
		return err
	}
	b.figure("changes", r.Ratio)
	b.figure("changes-errors", exactly(float64(r.failed())))
	return nil
}

// changes is the set-up of the part.
type changes struct {
	center *server.CenterProcess
	agent  *target
	driver *driver
	redis  string // its address
	n      int    // changes so far
}

const changesConfig = `agent:
  name: bench-changes
  admin: {{addr "admin"}}
  data: data
  center: ["{{.center}}"]
resources:
  bench: { listen: {{addr "bench"}} }
`

func (b *bench) openChanges() (*changes, error) {
	c := &changes{center: server.Start(b.t, server.Center{Name: "bench", Binary: b.binary}), redis: b.redis.addr}
	document, err := json.Marshal(map[string]any{"kind": "redis", "groups": c.groups(50, 50)})
	if err != nil {
		return nil, err
	}
	c.center.Must("PUT", "/v1/resources/"+theirs, string(document))
	c.center.Must("PUT", "/v1/resources/"+another, string(document))
	var join struct{ Token string }
	if err := json.Unmarshal([]byte(c.center.Must("POST", "/v1/joins", `{"uses": 1}`)), &join); err != nil {
		return nil, fmt.Errorf("join token: %w", err)
	}
	a := server.Start(b.t, server.Agent{Config: changesConfig, Binary: b.binary, Env: []string{"SLUICE_JOIN=" + join.Token},
		Vars: map[string]string{"center": c.center.URL()}})
	c.agent = &target{name: "sluice, changing", addr: a.Addr("bench"), pid: a.PID(), at: "http://" + a.Admin}
	b.agents = append(b.agents, c.agent)
	c.driver, err = startDriver(load.Spec{Addr: c.agent.addr, Clients: 50, Pipeline: 1, Op: "mixed", Size: 64, Prefix: "changes"})
	return c, err
}

// groups is all traffic to the one Redis, and the same Redis as a second group that stands by.
func (c *changes) groups(weight, standby int) map[string]any {
	return map[string]any{
		"main":    map[string]any{"weight": weight, "endpoints": []string{c.redis}},
		"standby": map[string]any{"weight": 0, "endpoints": []any{map[string]any{"address": c.redis, "weight": standby}}},
	}
}

// next is a patch that differs from all others of the last minute. In turn it changes how long a call may take, the weight of the
// group that has all calls, a limit that no call reaches, an endpoint that stands by, and when the breaker opens.
func (c *changes) next() any {
	c.n++
	v := c.n % 997
	policy := func(key string, value any) any { return map[string]any{"policy": map[string]any{key: value}} }
	switch c.n % 5 {
	case 0:
		return policy("timeout", fmt.Sprintf("%dms", 1000+v))
	case 1:
		return map[string]any{"groups": c.groups(1+v%100, 50)}
	case 2:
		return policy("limits", []any{map[string]any{"rate": fmt.Sprintf("%d/s", 50_000_000+v), "burst": 1_000_000}})
	case 3:
		return map[string]any{"groups": c.groups(50, 1+v%100)}
	}
	return policy("breaker", map[string]any{"errors": fmt.Sprintf("%d%%", 40+v%50), "mode": "enforce"})
}

// measure finds a rate and then, round after round, visits: quiet, another, changing, changing, another, quiet.
func (c *changes) measure(rounds int, length time.Duration, progress func(string)) (*changesRow, error) {
	progress("changes: what the agent carries")
	warm, err := c.visit(load.Order{Do: "run", Ms: int(length.Milliseconds())})
	if err != nil {
		return nil, err
	}
	r := &changesRow{Rate: math.Round(changesShare * float64(warm.OK) / warm.Seconds)}
	o := load.Order{Do: "rate", Ms: int(length.Milliseconds()), Rate: r.Rate}
	if _, err := c.visit(o); err != nil { // as it will be
		return nil, err
	}
	var others, changing []float64
	for n := range rounds {
		progress(fmt.Sprintf("changes, round %d of %d", n+1, rounds))
		for _, step := range []func(load.Order, *changesRow) error{c.quiet, c.another, c.changing, c.changing, c.another, c.quiet} {
			if err := step(o, r); err != nil {
				return nil, err
			}
		}
		others = append(others, r.Another.last(2))
		changing = append(changing, r.Changing.last(2))
	}
	r.Ratio = ratioOf(changing, others)
	r.Quiet.summarize()
	r.Another.summarize()
	r.Changing.summarize()
	return r, nil
}

// visit carries out one order. Error replies are counted; a wrong reply or a lost connection is an error.
func (c *changes) visit(o load.Order) (load.Result, error) {
	r, err := c.driver.send(o)
	if err := errors.Join(err, failure(r)); err != nil {
		return r, fmt.Errorf("%s: %w", c.agent.name, err)
	}
	if r.OK == 0 {
		return r, fmt.Errorf("%s: no verified reply, and these errors: %v", c.agent.name, r.Errors)
	}
	return r, nil
}

// quiet is calls while nothing changes.
func (c *changes) quiet(o load.Order, into *changesRow) error { return c.watched(o, &into.Quiet) }

// another is calls while another resource changes, which the agent must not hear of.
func (c *changes) another(o load.Order, into *changesRow) error {
	_, err := c.during(another, o, &into.Another)
	return err
}

// changing is calls while their resource changes.
func (c *changes) changing(o load.Order, into *changesRow) error {
	done, err := c.during(theirs, o, &into.Changing)
	into.Due += o.Ms / int(changesEvery.Milliseconds())
	into.Taken += done.taken
	into.Applied += done.applied
	return err
}

// during is calls while a resource changes, from before the first request to after the last.
func (c *changes) during(resource string, o load.Order, into *calls) (done published, err error) {
	ctx, stop := context.WithCancel(context.Background())
	var failed error
	var publishing sync.WaitGroup
	publishing.Go(func() { done, failed = c.publish(ctx, resource) })
	err = c.watched(o, into)
	stop()
	publishing.Wait()
	return done, errors.Join(err, failed)
}

// watched is visit with the CPU clocks of agent and centre around it.
func (c *changes) watched(o load.Order, into *calls) error {
	before, err := clocks(c.agent.pid, c.center.PID())
	if err != nil {
		return err
	}
	r, err := c.visit(o)
	if err != nil {
		return err
	}
	after, err := clocks(c.agent.pid, c.center.PID())
	into.visits = append(into.visits, r)
	into.Seconds += r.Seconds
	into.agent += after[0] - before[0]
	into.center += after[1] - before[1]
	return err
}

// published is how many changes were made while calls went on.
type published struct {
	taken   int // by the centre
	applied int // by the agent
}

// publish changes a document ten times a second until ctx ends, and says how often. The agent has taken a change when it has
// acknowledged its revision by the time of the next one. It is asked for once, since each answer of the centre costs CPU that the
// calls want.
func (c *changes) publish(ctx context.Context, resource string) (p published, err error) {
	tick := time.NewTicker(changesEvery)
	defer tick.Stop()
	for {
		revision, err := c.change(resource)
		if err != nil {
			return p, err
		}
		p.taken++
		select {
		case <-ctx.Done():
			time.Sleep(changesEvery)
		case <-tick.C:
		}
		a, err := c.acknowledged()
		switch {
		case err != nil:
			return p, err
		case len(a.Refused) > 0:
			return p, fmt.Errorf("the agent refused revision %d: %v", revision, a.Refused)
		case a.Revision >= revision:
			p.applied++
		}
		if ctx.Err() != nil {
			return p, nil
		}
	}
}

// change publishes the next patch and returns the revision that it made.
func (c *changes) change(resource string) (revision int64, err error) {
	patch, err := json.Marshal(c.next())
	if err != nil {
		return 0, err
	}
	status, answer, err := c.center.Call("PATCH", "/v1/resources/"+resource, string(patch), "Content-Type", "application/json")
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("status %d: %s", status, answer)
	}
	var made struct{ Revision int64 }
	if err == nil {
		err = json.Unmarshal([]byte(answer), &made)
	}
	if err != nil {
		return 0, fmt.Errorf("change %s: %w", patch, err)
	}
	return made.Revision, nil
}

// acknowledgement is how far the agent says it is.
type acknowledgement struct {
	Revision int64
	Refused  []struct{ Resource, Path, Message string }
}

func (c *changes) acknowledged() (a acknowledgement, err error) {
	status, answer, err := c.center.Call("GET", "/v1/agents/bench-changes", "")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", status, answer)
	}
	if err == nil {
		err = json.Unmarshal([]byte(answer), &a)
	}
	if err != nil {
		return a, fmt.Errorf("what the agent acknowledged: %w", err)
	}
	return a, nil
}

// last is the geometric mean of the p99 of the last n visits, in ns.
func (c *calls) last(n int) float64 {
	var sum float64
	for _, v := range c.visits[len(c.visits)-n:] {
		sum += math.Log(float64(v.P99))
	}
	return math.Exp(sum / float64(n))
}

// summarize fills in the sums, and the geometric means of all visits' quantiles.
func (c *calls) summarize() {
	var p50, p99, p999 float64
	for _, v := range c.visits {
		c.OK += v.OK
		for word, n := range v.Errors {
			if c.Errors == nil {
				c.Errors = make(map[string]int)
			}
			c.Errors[word] += n
		}
		p50, p99, p999 = p50+math.Log(float64(v.P50)), p99+math.Log(float64(v.P99)), p999+math.Log(float64(v.P999))
	}
	n := float64(len(c.visits))
	c.Agent, c.Center = float64(c.agent)/1e9/c.Seconds, float64(c.center)/1e9/c.Seconds
	c.P50, c.P99, c.P999 = math.Exp(p50/n)/1e3, math.Exp(p99/n)/1e3, math.Exp(p999/n)/1e3
}

// failed is the number of error replies, with and without changes.
func (r *changesRow) failed() int {
	return sum(r.Quiet.Errors) + sum(r.Another.Errors) + sum(r.Changing.Errors)
}

// enough is an error when fewer changes than due reached the agent.
func (r *changesRow) enough() error {
	if float64(r.Applied) < leastApplied*float64(r.Due) {
		return fmt.Errorf("the agent took %d changes where %d were due (%d were published): that is not ten a second", r.Applied, r.Due, r.Taken)
	}
	return nil
}

func (r *changesRow) print(w io.Writer) {
	fmt.Fprintf(w, "\ncalls at %.0f a second, 50 clients, GET and SET of 64 bytes, while their resource changes ten times a second at the centre\n", r.Rate)
	t := table(w)
	fmt.Fprintln(t, "\tcalls\terrors\tp50 us\tp99 us\tp99.9 us\tagent, cores\tcentre, cores\t")
	for _, x := range []struct {
		name string
		calls
	}{{"nothing changes", r.Quiet}, {"another resource changes", r.Another}, {"it changes", r.Changing}} {
		fmt.Fprintf(t, "%s\t%d\t%d\t%.0f\t%.0f\t%.0f\t%.2f\t%.2f\t\n", x.name, x.OK, sum(x.Errors), x.P50, x.P99, x.P999, x.Agent, x.Center)
	}
	t.Flush()
	fmt.Fprintf(w, "p99 when it changes to when another one does: %.3f, 95 %% %s; %d changes were due, %d published, %d taken by the agent\n",
		r.Ratio.Value, interval(r.Ratio, 3), r.Due, r.Taken, r.Applied)
	for _, x := range []calls{r.Quiet, r.Another, r.Changing} {
		for word, n := range x.Errors {
			fmt.Fprintf(w, "%d calls were answered %s\n", n, word)
		}
	}
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}
