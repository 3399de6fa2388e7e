package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/protocols/mysql"
)

// latencyRow is how long a request of one client takes that waits for each reply.
type latencyRow struct {
	Target  string   `json:"target"`
	P50     float64  `json:"p50_us"`
	Added   estimate `json:"added_us"` // to direct, by the medians of each round
	Queries int      `json:"verified_queries"`
}

// caller makes one verified request after another.
type caller interface {
	once() error
	close()
}

// dialReady connects to MariaDB and prepares a point select.
func dialReady(t *target) (caller, error) {
	c, err := dialMySQL(t)
	if err != nil {
		return nil, err
	}
	if err := c.ready(false); err != nil {
		c.close()
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	return c, nil
}

// latencies visits all targets in order and back, round after round, with one connection to each.
func latencies(targets []*target, rounds int, dial func(*target) (caller, error)) ([]latencyRow, error) {
	const each = 400
	clients := make([]caller, len(targets))
	for i, t := range targets {
		c, err := dial(t)
		if err != nil {
			return nil, err
		}
		defer c.close()
		clients[i] = c
	}
	rows := make([]latencyRow, len(targets))
	added, all := make([][]float64, len(targets)), make([][]float64, len(targets))
	for range rounds {
		times := make([][]float64, len(targets))
		for k := range 2 * len(targets) {
			i := min(k, 2*len(targets)-1-k)
			for n := range each + each/10 {
				began := time.Now()
				if err := clients[i].once(); err != nil {
					return nil, fmt.Errorf("%s: %w", targets[i].name, err)
				}
				if n >= each/10 { // the first ones find cold caches
					times[i] = append(times[i], float64(time.Since(began).Nanoseconds())/1e3)
				}
			}
		}
		base := median(times[0])
		for i := range targets {
			added[i] = append(added[i], median(times[i])-base)
			all[i] = append(all[i], times[i]...)
		}
	}
	for i, t := range targets {
		rows[i] = latencyRow{Target: t.name, P50: median(all[i]), Added: meanOf(added[i]), Queries: len(all[i])}
	}
	return rows, nil
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

// allocations drives an agent with queries as text and prepared, and divides what it allocated by their number, as for
// Redis.
func (l *mysqlLab) allocations(t *target, d time.Duration) (allocRow, error) {
	var clients []*mysqlClient
	defer func() {
		for _, c := range clients {
			c.close()
		}
	}()
	for i := range sysbenchThreads {
		c, err := dialMySQL(t)
		if err != nil {
			return allocRow{}, err
		}
		clients = append(clients, c)
		if err := c.ready(i%2 == 1); err != nil {
			return allocRow{}, err
		}
	}
	if _, err := queries(clients, d); err != nil { // until everything has grown
		return allocRow{}, err
	}
	row := allocRow{Target: t.name + ", MySQL"}
	var each []float64 // the median of some: a connection to the server that is opened meanwhile belongs to no query
	for range 5 {
		idle, err := t.mallocsDuring(func() error { time.Sleep(d / 2); return nil })
		if err != nil {
			return allocRow{}, err
		}
		var calls int64
		busy, err := t.mallocsDuring(func() (err error) { calls, err = queries(clients, d/2); return err })
		if err != nil {
			return allocRow{}, err
		}
		row.Calls += calls
		each = append(each, max(0, float64(busy-idle)/float64(calls)))
	}
	row.Allocs = median(each)
	return row, nil
}

// queries lets all clients work for a while and returns how many queries were answered.
func queries(clients []*mysqlClient, d time.Duration) (int64, error) {
	var wg sync.WaitGroup
	counts, errs := make([]int64, len(clients)), make([]error, len(clients))
	end := time.Now().Add(d)
	for i, c := range clients {
		wg.Go(func() {
			for time.Now().Before(end) && errs[i] == nil {
				errs[i] = c.once()
				counts[i]++
			}
		})
	}
	wg.Wait()
	var sum int64
	for _, n := range counts {
		sum += n
	}
	return sum, errors.Join(errs...)
}

// idleSessions logs n clients in, lets each ask one thing, and compares the proxy's memory once it has settled.
func idleSessions(t *target, n int) (idleRow, error) {
	first, err := dialMySQL(t) // what the first query costs belongs to no session
	if err != nil {
		return idleRow{}, err
	}
	defer first.close()
	if err := first.ready(false); err != nil {
		return idleRow{}, err
	}
	before, err := settled(t.pid)
	if err != nil {
		return idleRow{}, err
	}
	clients := make([]*mysqlClient, 0, n)
	defer func() {
		for _, c := range clients {
			c.close()
		}
	}()
	for i := range n {
		c, err := dialMySQL(t)
		if err == nil {
			clients = append(clients, c)
			err = c.ready(false)
		}
		if err != nil {
			return idleRow{}, fmt.Errorf("client %d of %d: %w", i+1, n, err)
		}
	}
	after, err := settled(t.pid)
	if err != nil {
		return idleRow{}, err
	}
	return idleRow{
		Target: t.name + ", MySQL", Connections: n, KB: float64(after-before) / float64(n) / 1024, BeforeMiB: mib(before), AfterMiB: mib(after),
	}, nil
}

// resultRow is what a huge result costs a proxy whose client is slow.
type resultRow struct {
	Target    string  `json:"target"`
	Bytes     int64   `json:"bytes"`
	GrowthMiB float64 `json:"growth_mib"` // highest resident memory above the one before
	Seconds   float64 `json:"seconds"`
}

// slowResult reads a result of 1 GiB in pieces of 1 MiB, with a pause after each.
func slowResult(t *target) (resultRow, error) {
	const pause = 5 * time.Millisecond
	c, err := dialMySQL(t)
	if err != nil {
		return resultRow{}, err
	}
	defer c.close()
	if err := c.ready(false); err != nil {
		return resultRow{}, err
	}
	for end := time.Now().Add(time.Second); time.Now().Before(end); { // grown to what ordinary traffic needs
		if err := c.once(); err != nil {
			return resultRow{}, err
		}
	}
	row := resultRow{Target: t.name}
	began := time.Now()
	row.GrowthMiB, err = peakGrowth(t.pid, func() error {
		if _, err := c.nc.Write(command(mysql.ComQuery, []byte("SELECT REPEAT('x', 1048576) FROM seq_1_to_1024"))); err != nil {
			return err
		}
		var r mysql.Reply
		r.Start(mysql.ComQuery, c.caps)
		buf, have := make([]byte, 2<<20), 0
		for !r.Done() {
			used := 0
			for !r.Done() {
				n, step, err := r.Next(buf[used:have])
				if err != nil {
					return err
				}
				if step == mysql.NeedMore {
					break
				}
				if step == mysql.Terminal && buf[used+mysql.HeaderLen] == 0xff {
					return errors.New("the server answered with an error: " + string(buf[used:used+n]))
				}
				used, row.Bytes = used+n, row.Bytes+int64(n)
			}
			if r.Done() {
				break
			}
			have = copy(buf, buf[used:have])
			n, err := io.ReadAtLeast(c.nc, buf[have:min(len(buf), have+1<<20)], 1)
			if err != nil {
				return err
			}
			have += n
			if n > 100<<10 {
				time.Sleep(pause)
			}
		}
		return nil
	})
	row.Seconds = time.Since(began).Seconds()
	if err == nil && row.Bytes < 1<<30 {
		err = fmt.Errorf("the result had %d bytes, want 1 GiB", row.Bytes)
	}
	return row, err
}

// poolRow is how many connections to the server many clients need that do little.
type poolRow struct {
	Target   string `json:"target"`
	Clients  int    `json:"clients"`
	Queries  int64  `json:"verified_queries"`
	Upstream int    `json:"upstream_connections"` // the most at once
}

// mostlyIdle lets n clients execute one query a second each.
func mostlyIdle(t *target, n int, d time.Duration) (poolRow, error) {
	var clients []*mysqlClient
	defer func() {
		for _, c := range clients {
			c.close()
		}
	}()
	for range n {
		c, err := dialMySQL(t)
		if err != nil {
			return poolRow{}, err
		}
		clients = append(clients, c)
		if err := c.ready(false); err != nil {
			return poolRow{}, err
		}
	}
	row := poolRow{Target: t.name, Clients: n}
	var wg sync.WaitGroup
	errs, counts := make([]error, n), make([]int64, n)
	end := time.Now().Add(d)
	for i, c := range clients {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * time.Second / time.Duration(n)) // not all at once
			for time.Now().Before(end) && errs[i] == nil {
				errs[i] = c.once()
				counts[i]++
				time.Sleep(time.Second)
			}
		})
	}
	var err error
	for time.Now().Before(end) && err == nil {
		var open float64
		open, err = t.metric("sluice_upstream_connections")
		row.Upstream = max(row.Upstream, int(open))
		time.Sleep(50 * time.Millisecond)
	}
	wg.Wait()
	for i := range counts {
		row.Queries += counts[i]
	}
	return row, errors.Join(append(errs, err)...)
}
