package http2

// Calm counts what a peer may do only so often: frames that cost an answer or work and carry nothing (PING, SETTINGS, RST_STREAM, empty
// DATA). Burst of them are allowed at once and Rate a second after that.
type Calm struct {
	Burst, Rate int64
	used        int64 // in billionths of one
	last        int64 // ns
}

// Take counts one at the time now, in ns, and reports whether it is still within bounds.
func (c *Calm) Take(now int64) bool {
	if c.last != 0 {
		c.used = max(0, c.used-min((now-c.last)*c.Rate, c.used))
	}
	c.last = now
	c.used += 1e9
	return c.used <= c.Burst*1e9
}
