package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"time"
)

// Spec says what a generator does. It is the first line that it reads.
type Spec struct {
	Addr     string `json:"addr"`     // host:port of a Redis or of what stands in front of one
	Clients  int    `json:"clients"`  // connections
	Pipeline int    `json:"pipeline"` // requests that a client sends before it waits, in the closed loop
	Op       string `json:"op"`       // get, set, or mixed: one after the other
	Size     int    `json:"size"`     // bytes of a value, at least 32
	Prefix   string `json:"prefix"`   // of every key, so that generators do not share any
}

// Order is one thing to do.
type Order struct {
	Do   string  `json:"do"`             // run: closed loop; rate: open loop
	Ms   int     `json:"ms"`             // for how long requests are sent; their replies are awaited after it
	Rate float64 `json:"rate,omitempty"` // requests a second, open loop
}

// Result answers an Order.
type Result struct {
	Ready   bool           `json:"ready,omitempty"`
	OK      int64          `json:"ok"`      // verified replies
	Seconds float64        `json:"seconds"` // from the first request to the last reply
	P50     int64          `json:"p50"`     // latency, ns
	P99     int64          `json:"p99"`
	P999    int64          `json:"p999"`
	Errors  map[string]int `json:"errors,omitempty"` // error replies by their first word
	Failed  string         `json:"failed,omitempty"` // why the run ended early: a wrong reply, a lost connection
}

// stall is how long a generator waits for a reply that does not come.
const stall = 15 * time.Second

// Serve reads a Spec and then Orders from in, and writes a Result for each to out, until in ends.
func Serve(in io.Reader, out io.Writer) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	debug.SetGCPercent(400)
	lines := bufio.NewReader(in)
	answers := json.NewEncoder(out)

	var spec Spec
	if err := readLine(lines, &spec); err != nil {
		return fmt.Errorf("read the spec: %w", err)
	}
	g, err := open(spec)
	if err != nil {
		return errors.Join(err, answers.Encode(Result{Failed: err.Error()}))
	}
	defer g.close()
	if err := answers.Encode(Result{Ready: true}); err != nil {
		return err
	}
	for {
		var o Order
		if err := readLine(lines, &o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read an order: %w", err)
		}
		if err := answers.Encode(g.do(o)); err != nil {
			return err
		}
	}
}

func readLine(r *bufio.Reader, into any) error {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, into)
}

// do carries out one order.
func (g *generator) do(o Order) Result {
	g.reset()
	start := g.clock()
	var err error
	switch o.Do {
	case "run":
		err = g.closedLoop(start + int64(o.Ms)*1e6)
	case "rate":
		err = g.openLoop(start, start+int64(o.Ms)*1e6, o.Rate)
	default:
		err = fmt.Errorf("unknown order %q: use run or rate", o.Do)
	}
	r := Result{
		OK: g.ok, Seconds: float64(g.clock()-start) / 1e9, Errors: g.errors,
		P50: g.latency.quantile(0.50), P99: g.latency.quantile(0.99), P999: g.latency.quantile(0.999),
	}
	if err != nil {
		r.Failed = err.Error()
	}
	return r
}
