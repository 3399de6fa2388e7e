package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
)

// The balances, as `policy.balance` names them.
const (
	Random     = "random"
	RoundRobin = "round-robin"
	P2C        = "p2c"
	Hash       = "hash"
)

// Compiler makes a picker of nodes, all of which have a weight above 0, in the order given. The slice is the picker's own.
type Compiler func(nodes []*Node) Picker

var registry struct {
	sync.Mutex
	list []registered
}

type registered struct {
	name    string
	compile Compiler
}

// Register adds a balance that `policy.balance` may name. It is called from init functions and panics on a name that is taken.
// What a picker must keep to stands at the package; [Picker] says the rest.
func Register(name string, compile Compiler) {
	if name == "" || compile == nil {
		panic(fmt.Sprintf("balance: %q needs a name and a compiler", name))
	}
	if slices.Contains(Names(), name) {
		panic("balance: " + name + " registered twice")
	}
	registry.Lock()
	defer registry.Unlock()
	registry.list = append(registry.list, registered{name, compile})
}

// Names lists the balances, registered ones last.
func Names() []string {
	names := []string{Random, RoundRobin, P2C, Hash}
	registry.Lock()
	defer registry.Unlock()
	for _, r := range registry.list {
		names = append(names, r.name)
	}
	return names
}

// own returns the compiler of a registered balance, or nil.
func own(name string) Compiler {
	registry.Lock()
	defer registry.Unlock()
	for _, r := range registry.list {
		if r.name == name {
			return r.compile
		}
	}
	return nil
}

// Picker is a compiled list of nodes.
type Picker interface {
	// Pick chooses a node. key is the call's key hash (hash only), now the monotonic time in ns, avoid a node that
	// just failed the call, or nil. It returns nil only when the list is empty.
	Pick(key uint64, now int64, avoid *Node) *Node
}

// Compile makes a picker of the nodes that have a weight above 0, in the order given. The error names the balances.
func Compile(name string, nodes []*Node) (Picker, error) {
	if compile := own(name); compile != nil {
		return compile(slices.DeleteFunc(slices.Clone(nodes), func(n *Node) bool { return n.Endpoint.Weight() <= 0 })), nil
	}
	l := list{entries: make([]entry, 0, len(nodes))}
	for _, n := range nodes {
		if w := n.Endpoint.Weight(); w > 0 {
			l.entries = append(l.entries, entry{node: n, weight: w, unit: 1 / float32(w)})
		}
	}
	l.alias()
	switch name {
	case Random:
		return &random{l}, nil
	case RoundRobin:
		r := &roundRobin{list: l, order: interleave(l.entries)}
		r.turn.Store(rand.Uint32())
		return r, nil
	case P2C:
		return &p2c{l}, nil
	case Hash:
		return newRing(l), nil
	}
	return nil, fmt.Errorf("unknown balance %q: use one of %s", name, strings.Join(Names(), ", "))
}

// Check says whether a balance of this name exists.
func Check(name string) error {
	if slices.Contains(Names(), name) {
		return nil
	}
	_, err := Compile(name, nil)
	return err
}

// Better returns the better of two nodes by latency, load and weight, which is how a call is placed among the few
// endpoints of a partition; either may be nil.
func Better(a, b *Node, now int64) *Node {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	tick := uint32(now >> tickShift)
	wa, wb := max(a.Endpoint.Weight(), 1), max(b.Endpoint.Weight(), 1)
	if b.cost(1/float32(wb), tick) < a.cost(1/float32(wa), tick) {
		return b
	}
	return a
}

type entry struct {
	node   *Node
	unit   float32 // 1/weight
	weight int32
	other  uint32 // alias method: the entry that fills up this slot
	keep   uint32 // and the coin below which the slot is this entry's own
}

type list struct {
	entries []entry
	even    bool // all weights are equal, as they mostly are
}

// alias fills in Vose's tables, with which a weighted draw costs one multiplication and one comparison.
func (l *list) alias() {
	n := len(l.entries)
	sum := 0.0
	for i := range l.entries {
		sum += float64(l.entries[i].weight)
	}
	l.even = !slices.ContainsFunc(l.entries, func(e entry) bool { return e.weight != l.entries[0].weight })
	scaled := make([]float64, n)
	var small, large []int
	for i := range l.entries {
		scaled[i] = float64(l.entries[i].weight) * float64(n) / sum
		if scaled[i] < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, g := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		l.entries[s].keep, l.entries[s].other = uint32(scaled[s]*(1<<32-1)), uint32(g)
		if scaled[g] -= 1 - scaled[s]; scaled[g] < 1 {
			large = large[:len(large)-1]
			small = append(small, g)
		}
	}
	for _, i := range append(small, large...) {
		l.entries[i].keep, l.entries[i].other = 1<<32-1, uint32(i)
	}
}

// draw chooses an entry by weight from 32 random bits.
func (l *list) draw(bits uint32) int {
	x := uint64(bits) * uint64(len(l.entries))
	i, coin := int(x>>32), uint32(x)
	if l.even {
		return i
	}
	// Written so that it compiles to a conditional move: the coin would be mispredicted every other time.
	e := &l.entries[i]
	other := int(e.other)
	if coin > e.keep {
		i = other
	}
	return i
}

// rest is the slow path of a pick that hit the node to avoid: the best of all others, or avoid itself.
func (l *list) rest(now int64, avoid *Node) *Node {
	best, cost := avoid, float32(0)
	for i := range l.entries {
		e := &l.entries[i]
		if e.node == avoid {
			continue
		}
		if c := e.node.cost(e.unit, uint32(now>>tickShift)); best == avoid || c < cost {
			best, cost = e.node, c
		}
	}
	return best
}

// random draws by weight.
type random struct{ list }

func (r *random) Pick(_ uint64, now int64, avoid *Node) *Node {
	if len(r.entries) == 0 {
		return nil
	}
	for range 8 {
		bits := rand.Uint64()
		n := r.entries[r.draw(uint32(bits>>32))].node
		if n != avoid && n.admits(uint32(bits), now) {
			return n
		}
	}
	return r.rest(now, avoid)
}

// p2c draws two and takes the one whose cost is lower.
type p2c struct{ list }

func (p *p2c) Pick(_ uint64, now int64, avoid *Node) *Node {
	n := len(p.entries)
	if n <= 1 {
		if n == 0 {
			return nil
		}
		return p.entries[0].node
	}
	bits := rand.Uint64()
	i, j := p.draw(uint32(bits>>32)), p.draw(uint32(bits))
	if i == j {
		if j++; j == n {
			j = 0
		}
	}
	a, b := &p.entries[i], &p.entries[j]
	switch {
	case a.node == avoid:
		return p.second(b, now, avoid)
	case b.node == avoid:
		return a.node
	}
	if a.node.rise.Load()|b.node.rise.Load() != 0 {
		coin := uint32(bits>>16) ^ uint32(bits<<7)
		if !a.node.admits(coin, now) {
			return b.node
		} else if !b.node.admits(coin, now) {
			return a.node
		}
	}
	// The costs, written out: what follows runs for every call. They are positive, so that their bits compare as they
	// do, which compiles to a conditional move: which of the two is better cannot be predicted.
	tick := uint32(now >> tickShift)
	wa, wb := a.node.ewma.Load(), b.node.ewma.Load()
	la, lb := math.Float32frombits(uint32(wa)), math.Float32frombits(uint32(wb))
	if !fresh(tick-uint32(wa>>32)) || !fresh(tick-uint32(wb>>32)) {
		la, lb = a.node.latency(tick), b.node.latency(tick)
	}
	costA := math.Float32bits(la * float32(a.node.Endpoint.Inflight.Load()+1) * a.unit)
	costB := math.Float32bits(lb * float32(b.node.Endpoint.Inflight.Load()+1) * b.unit)
	if costB < costA {
		a = b
	}
	return a.node
}

func (p *p2c) second(b *entry, now int64, avoid *Node) *Node {
	if b.node == avoid {
		return p.rest(now, avoid)
	}
	return b.node
}
