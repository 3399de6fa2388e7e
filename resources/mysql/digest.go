package mysql

import (
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/sql"
	"github.com/sluice-mesh/sluice/resources"
)

// digest is a shape of statements: what is left without literals, comments and the lengths of lists.
type digest struct {
	hash   uint64
	verb   sql.Verb
	text   string // at most 2 KiB
	calls  atomic.Int64
	pins   atomic.Int64 // how often it tied a session to its connection
	alien  string       // a function that it calls and that is not the server's own; "": none
	op     atomic.Uint32
	tables []*tally // of the tables that it names
}

// Bounds of the table of digests.
const (
	maxDigests  = 4096 // more are counted as the one without a text
	ownOps      = 200  // that many get an operation of their own, with metrics, breaker and limits
	promoteFrom = 50   // once they were called so often
)

// digests is the table of the statements that a resource has seen. Looking one up takes no lock.
type digests struct {
	table atomic.Pointer[map[uint64]*digest]
	mu    sync.Mutex
	next  map[uint64]*digest // what is not in table yet; guarded by mu
	owned int
	young []promotion // operations that the runtime may not count by name yet; guarded by mu
	other [256]digest // of statements that found the table full
}

// promotion is a digest that got an operation of its own.
type promotion struct {
	of   *digest
	op   resources.OpID
	when int64
}

// promotionTakes is how long the runtime has to get to know a new operation before calls are counted as it.
const promotionTakes = int64(time.Second)

func newDigests() *digests {
	d := &digests{next: map[uint64]*digest{}}
	d.table.Store(&map[uint64]*digest{})
	for v := range d.other {
		d.other[v].verb = sql.Verb(v)
	}
	return d
}

// find returns the digest of a statement that was scanned.
func (d *digests) find(st *sql.Statement, text []byte, dialect sql.Dialect) *digest {
	if g := (*d.table.Load())[st.Digest]; g != nil {
		return g
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if g := d.next[st.Digest]; g != nil {
		return g
	}
	table := *d.table.Load()
	if g := table[st.Digest]; g != nil {
		return g
	}
	if len(table)+len(d.next) >= maxDigests {
		return &d.other[st.Verb]
	}
	g := &digest{hash: st.Digest, verb: st.Verb, text: string(sql.AppendDigest(nil, text, dialect)), tables: tallies(st, text)}
	g.alien = callsOf(st, g.text, text)
	d.next[st.Digest] = g
	if len(d.next) >= 1+len(table)/8 { // copying the table each time would cost more than it saves
		d.merge()
	}
	return g
}

// merge makes a new table of the old one and what came since. d.mu is held.
func (d *digests) merge() {
	table := *d.table.Load()
	merged := make(map[uint64]*digest, len(table)+len(d.next))
	maps.Copy(merged, table)
	maps.Copy(merged, d.next)
	clear(d.next)
	d.table.Store(&merged)
}

// settle is called by the watcher: nothing stays long where looking it up takes the lock, and promotions take effect.
func (d *digests) settle(now int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.next) > 0 {
		d.merge()
	}
	for len(d.young) > 0 && now-d.young[0].when > promotionTakes {
		d.young[0].of.op.Store(uint32(d.young[0].op))
		d.young = d.young[1:]
	}
}

// opOf returns the operation of a statement: its verb's, or its own once it is called often.
func (g *digest) opOf(r *Resource) resources.OpID {
	if op := g.op.Load(); op != 0 {
		return resources.OpID(op)
	}
	if g.text != "" && g.calls.Add(1) == promoteFrom {
		r.promote(g)
	}
	return r.ops.verbs[g.verb]
}

// promote gives a digest an operation of its own: "SELECT 0123456789abcdef". It still matches as SELECT.
func (r *Resource) promote(g *digest) {
	r.digests.mu.Lock()
	defer r.digests.mu.Unlock()
	if r.digests.owned >= ownOps {
		return
	}
	r.digests.owned++
	of := r.rt.Ops().Info(r.ops.verbs[g.verb])
	id, grew := r.rt.Ops().Intern(resources.OpInfo{
		Name: fmt.Sprintf("%s %016x", of.Name, g.hash), Of: of.Name, Text: g.text, Class: of.Class, Retry: of.Retry,
	})
	r.digests.young = append(r.digests.young, promotion{g, id, clock.Now()})
	if grew {
		r.rt.OpsChanged()
	}
}
