package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/testenv/bench/load"
)

// allocRow is what the agent allocates.
type allocRow struct {
	Target string  `json:"target"`
	Calls  int64   `json:"calls"`
	Allocs float64 `json:"allocs_per_call"`
}

// allocations drives an agent for a while in the steady state and divides the heap allocations of the whole process by
// the calls. Reading the counter allocates as well, and so do the agent's timers; both are measured on an idle agent over
// the same time and taken off.
func (b *bench) allocations(t *target, d time.Duration) (allocRow, error) {
	// Keys of 64 bytes: longer than what a string conversion may keep on the stack.
	spec := load.Spec{Addr: t.addr, Clients: 50, Pipeline: 16, Op: "mixed", Size: 64, Prefix: "allocs:" + strings.Repeat("k", 49)}
	gen, err := startDriver(spec)
	if err != nil {
		return allocRow{}, err
	}
	defer gen.stop()
	o := load.Order{Do: "run", Ms: int(d.Milliseconds())}
	if _, err := gen.drive(t, b.redis.pid, o); err != nil {
		return allocRow{}, err
	}
	idle, err := t.mallocsDuring(func() error { time.Sleep(d); return nil })
	if err != nil {
		return allocRow{}, err
	}
	row := allocRow{Target: t.name}
	busy, err := t.mallocsDuring(func() error {
		s, err := gen.drive(t, b.redis.pid, o)
		row.Calls = s.ok
		return err
	})
	if err != nil {
		return allocRow{}, err
	}
	row.Allocs = max(0, float64(busy-idle)/float64(row.Calls))
	return row, nil
}

func (t *target) mallocsDuring(f func() error) (int64, error) {
	before, err := t.mallocs()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := t.mallocs()
	return after - before, err
}

// mallocCounters are the names under which a Go program's /metrics may count heap objects ever allocated.
var mallocCounters = []string{"go_memstats_mallocs_total", "go_gc_heap_allocs_objects_total"}

// mallocs reads how many heap objects the agent has ever allocated.
func (t *target) mallocs() (int64, error) {
	for _, name := range mallocCounters {
		switch v, err := t.metric(name); {
		case err == nil:
			return int64(v), nil
		case !errors.Is(err, errNoMetric):
			return 0, err
		}
	}
	return 0, fmt.Errorf("%s: /metrics has none of %s", t.name, strings.Join(mallocCounters, ", "))
}

var errNoMetric = errors.New("no such metric")

// metric adds up all series of a metric of the agent.
func (t *target) metric(name string) (float64, error) {
	body, err := t.get("/metrics")
	if err != nil {
		return 0, err
	}
	defer body.Close()
	sum, found := 0.0, false
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || (rest[0] != ' ' && rest[0] != '{') {
			continue
		}
		fields := strings.Fields(rest[strings.LastIndexByte(rest, '}')+1:])
		if len(fields) == 0 {
			continue
		}
		v, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum, found = sum+v, true
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	if !found {
		return 0, fmt.Errorf("%s: %w", name, errNoMetric)
	}
	return sum, nil
}

func (t *target) get(path string) (io.ReadCloser, error) {
	req, err := http.NewRequest(http.MethodGet, t.at+path, nil)
	if err != nil {
		return nil, err
	}
	if t.auth != "" {
		req.Header.Set("Authorization", "Bearer "+t.auth)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		return nil, fmt.Errorf("GET %s of %s: %s: %s", path, t.name, resp.Status, text)
	}
	return resp.Body, nil
}
