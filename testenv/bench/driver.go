package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/sluice-mesh/sluice/testenv/bench/load"
)

// driver is a running load generator.
type driver struct {
	cmd     *exec.Cmd
	orders  io.WriteCloser
	results *bufio.Reader
}

// startDriver starts this program again as a generator and waits until its clients are connected.
func startDriver(spec load.Spec) (*driver, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "load")
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a load generator: %w", err)
	}
	d := &driver{cmd: cmd, orders: in, results: bufio.NewReader(out)}
	if r, err := d.send(spec); err != nil || !r.Ready {
		d.stop()
		return nil, fmt.Errorf("load generator on %s: %w", spec.Addr, errors.Join(err, failure(r)))
	}
	return d, nil
}

// send writes a line and reads the answer.
func (d *driver) send(v any) (load.Result, error) {
	if err := json.NewEncoder(d.orders).Encode(v); err != nil {
		return load.Result{}, fmt.Errorf("the generator is gone: %w", err)
	}
	line, err := d.results.ReadBytes('\n')
	if err != nil {
		return load.Result{}, fmt.Errorf("the generator is gone: %w", err)
	}
	var r load.Result
	return r, json.Unmarshal(line, &r)
}

// stop ends the generator: it goes when its input does.
func (d *driver) stop() {
	d.orders.Close()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = d.cmd.Wait()
	}()
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		_ = d.cmd.Process.Kill()
		<-gone
	}
}

func failure(r load.Result) error {
	if r.Failed != "" {
		return errors.New(r.Failed)
	}
	return nil
}

// slice is what came out of driving one target for a moment.
type slice struct {
	ok       int64
	seconds  float64
	proxyCPU int64 // ns
	redisCPU int64 // ns
	result   load.Result
}

// drive gives an order and reads the CPU clocks around it. An error reply counts as a failed run: what is measured is
// work that was done.
func (d *driver) drive(t *target, redis int, o load.Order) (slice, error) {
	before, err := clocks(t.pid, redis)
	if err != nil {
		return slice{}, err
	}
	r, err := d.send(o)
	if err := errors.Join(err, failure(r)); err != nil {
		return slice{}, fmt.Errorf("%s: %w", t.name, err)
	}
	after, err := clocks(t.pid, redis)
	if err != nil {
		return slice{}, err
	}
	if len(r.Errors) > 0 || r.OK == 0 {
		return slice{}, fmt.Errorf("%s: %d verified replies and these errors: %v", t.name, r.OK, r.Errors)
	}
	return slice{ok: r.OK, seconds: r.Seconds, proxyCPU: after[0] - before[0], redisCPU: after[1] - before[1], result: r}, nil
}

// clocks reads the CPU clocks of the proxy (0 for none) and of Redis.
func clocks(proxy, redis int) (c [2]int64, err error) {
	if proxy != 0 {
		if c[0], err = cpuTime(proxy); err != nil {
			return c, err
		}
	}
	c[1], err = cpuTime(redis)
	return c, err
}
