package metrics

import "sync/atomic"

// Counter only goes up. It fills a cache line, because calls on several cores add to neighbours.
type Counter struct {
	v atomic.Int64
	_ [56]byte
}

// Add raises the counter by n, which must not be negative.
func (c *Counter) Add(n int64) { c.v.Add(n) }

// Load returns the current value.
func (c *Counter) Load() int64 { return c.v.Load() }

// Gauge goes up and down. It fills a cache line, like [Counter].
type Gauge struct {
	v atomic.Int64
	_ [56]byte
}

// Set replaces the value.
func (g *Gauge) Set(n int64) { g.v.Store(n) }

// Add changes the value by n.
func (g *Gauge) Add(n int64) { g.v.Add(n) }

// Load returns the current value.
func (g *Gauge) Load() int64 { return g.v.Load() }
