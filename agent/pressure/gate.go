package pressure

import (
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/sluice-mesh/sluice/resources"
)

// Level says how short memory is. Each one includes those before it.
type Level uint32

// The levels, from which package documentation tells what follows.
const (
	Calm Level = iota
	Shrink
	NoConnections
	Refuse
)

// String says what a level means.
func (l Level) String() string {
	switch l {
	case Calm:
		return "calm"
	case Shrink:
		return "spare memory is given back"
	case NoConnections:
		return "no new connections"
	case Refuse:
		return "calls are refused"
	}
	return "level " + strconv.Itoa(int(l))
}

// enters is the share, in percent, from which a level holds; it is left at slack points less.
var enters = [...]float64{Shrink: 85, NoConnections: 92, Refuse: 95}

const slack = 3

// next returns the level that follows from a share in percent while level holds.
func next(level Level, share float64) Level {
	for level < Refuse && share >= enters[level+1] {
		level++
	}
	for level > Calm && share < enters[level]-slack {
		level--
	}
	return level
}

// Use is what is used of a limit.
type Use struct {
	Bytes int64  // that would be left after a collection
	Limit int64  // bytes; 0: there is none
	From  string // what set the limit: "GOMEMLIMIT", "agent.memory", "cgroup"
}

// Percent returns the share that is used; 0 without a limit.
func (u Use) Percent() float64 {
	if u.Limit <= 0 {
		return 0
	}
	return 100 * float64(u.Bytes) / float64(u.Limit)
}

// String writes a use as errors and logs show it: "96 % of 256MiB".
func (u Use) String() string { return fmt.Sprintf("%.0f %% of %s", u.Percent(), size(u.Limit)) }

// size writes bytes for reading: whole mebibytes, unless there are too few of them.
func size(n int64) string {
	if n >= 16<<20 {
		n = (n + 1<<19) &^ (1<<20 - 1)
	}
	return resources.Size(n).String()
}

// Gate is what everybody else sees. The zero value, and nil, are always calm. Its methods may be called from any goroutine.
type Gate struct {
	level atomic.Uint32
	use   atomic.Pointer[Use]
	// What those who wait to accept wait for; nil: nobody has to.
	hold atomic.Pointer[chan struct{}]
}

// Level returns how short memory is.
func (g *Gate) Level() Level {
	if g == nil {
		return Calm
	}
	return Level(g.level.Load())
}

// Refuses reports whether new calls are to be refused. It is made for the path of a call.
func (g *Gate) Refuses() bool { return g != nil && Level(g.level.Load()) >= Refuse }

// Use returns what was used at the last look; nil before the first one and without a limit. It must not be changed.
func (g *Gate) Use() *Use {
	if g == nil {
		return nil
	}
	return g.use.Load()
}

// Hold returns nil while connections may be accepted, else a channel that is closed when they may be again.
func (g *Gate) Hold() <-chan struct{} {
	if g == nil {
		return nil
	}
	if ch := g.hold.Load(); ch != nil {
		return *ch
	}
	return nil
}

// Detail says in words what is short; "" while nothing is.
func (g *Gate) Detail() string {
	level, use := g.Level(), g.Use()
	if level == Calm || use == nil {
		return ""
	}
	return "short of memory (" + use.String() + "): " + level.String()
}

// set takes over a new look. Only the watcher calls it.
func (g *Gate) set(level Level, use Use) {
	if old := g.use.Load(); old == nil || *old != use {
		g.use.Store(&use)
	}
	g.level.Store(uint32(level))
	switch ch := g.hold.Load(); {
	case level >= NoConnections && ch == nil:
		fresh := make(chan struct{})
		g.hold.Store(&fresh)
	case level < NoConnections && ch != nil:
		g.hold.Store(nil)
		close(*ch)
	}
}
