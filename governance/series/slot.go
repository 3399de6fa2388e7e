package series

import (
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
)

// cube is a way of telling calls apart; doc.go says why there are these.
type cube byte

const (
	cubeOp      cube = 'o' // group, op; op "" is all of the group's
	cubeEdge    cube = 'e' // application, idc, group
	cubeCounter cube = 'c' // name, label values
	cubeAgent   cube = 'a' // agent, application, idc
)

// keySep separates the parts of a key. It is in no valid UTF-8.
const keySep = "\xff"

func key(parts ...string) string { return strings.Join(parts, keySep) }

// cutKey returns the first part of a key and what follows it.
func cutKey(k []byte) (part, rest []byte) {
	for i, c := range k {
		if c == keySep[0] {
			return k[:i], k[i+1:]
		}
	}
	return k, nil
}

// chunkID names what is read together: everything of one cube about one resource.
type chunkID struct {
	cube     cube
	resource string
}

func (a chunkID) compare(b chunkID) int {
	if a.cube != b.cube {
		return int(a.cube) - int(b.cube)
	}
	return strings.Compare(a.resource, b.resource)
}

// slot is one step of time that is still being added to.
type slot struct {
	start  int64     // Unix time, s
	opened time.Time // when the first report for it came
	chunks map[chunkID]*chunk
	keys   int
	names  int // resources that have a chunk, each counted once for each cube
}

type chunk struct {
	kind string
	keys map[string]*acc
}

// acc adds up the sums of one key. What is added to often is kept unpacked, 3 KB; the rest encoded, some 100 bytes.
type acc struct {
	packed   []byte
	unpacked *sum
}

func newSlot(start int64, now time.Time) *slot {
	return &slot{start: start, opened: now, chunks: map[chunkID]*chunk{}}
}

// adder adds to slots within the bounds of the options.
type adder struct {
	opt      *Options
	overflow *uint64
	scratch  sum
}

// add adds an encoded sum. often says that much more will be added to the same key.
func (a *adder) add(to *slot, id chunkID, kind string, k string, packed []byte, t *translation, often bool) error {
	c := to.chunks[id]
	if c == nil {
		if to.names >= a.opt.MaxResources*len(cubes) || to.keys >= a.opt.MaxKeys {
			*a.overflow++
			id.resource = metrics.Overflow
			c = to.chunks[id]
		}
		if c == nil {
			c = &chunk{kind: kind, keys: map[string]*acc{}}
			to.chunks[id] = c
			to.names++
		}
	}
	at := c.keys[k]
	if at == nil {
		if room := a.room(id.cube); len(c.keys) >= room || to.keys >= a.opt.MaxKeys {
			*a.overflow++
			k = overflowKey(id.cube, k, len(c.keys) >= room+roomForGroups)
			at = c.keys[k]
		}
		if at == nil {
			at = new(acc)
			c.keys[k] = at
			to.keys++
		}
	}
	return a.into(at, packed, t, often)
}

// cubes are all there are.
var cubes = [...]cube{cubeOp, cubeEdge, cubeCounter, cubeAgent}

const (
	roomForGroups   = 500 // keys over the bound that are `other` of a group
	roomForCounters = 500
)

func (a *adder) room(c cube) int {
	switch c {
	case cubeOp:
		return a.opt.MaxOps
	case cubeEdge:
		return a.opt.MaxEdges
	case cubeCounter:
		return roomForCounters
	}
	return a.opt.MaxAgents
}

// overflowKey is what a key that has no room is counted under. The sum of a group keeps its key while there is any room
// at all, so that what is shown for the whole group stays right.
func overflowKey(c cube, k string, all bool) string {
	group, op, _ := strings.Cut(k, keySep)
	switch {
	case c == cubeOp && op == "" && !all:
		return k
	case c == cubeOp && !all:
		return key(group, metrics.Overflow)
	case c == cubeOp && op == "":
		return key(metrics.Overflow, "")
	case c == cubeOp:
		return key(metrics.Overflow, metrics.Overflow)
	case c == cubeCounter:
		return metrics.Overflow
	}
	return key(metrics.Overflow, metrics.Overflow, metrics.Overflow)
}

func (a *adder) into(at *acc, packed []byte, t *translation, often bool) error {
	switch {
	case at.unpacked != nil:
		return at.unpacked.merge(packed, t)
	case at.packed == nil && t == &same:
		at.packed = slices.Clone(packed)
		return nil
	case often && at.packed != nil:
		at.unpacked = new(sum)
		if err := at.unpacked.merge(at.packed, &same); err != nil {
			return err
		}
		at.packed = nil
		return at.unpacked.merge(packed, t)
	}
	a.scratch.reset()
	if at.packed != nil {
		if err := a.scratch.merge(at.packed, &same); err != nil {
			return err
		}
	}
	if err := a.scratch.merge(packed, t); err != nil {
		return err
	}
	at.packed = a.scratch.append(make([]byte, 0, len(at.packed)+len(packed)))
	return nil
}

// append appends the sum, encoded.
func (at *acc) append(dst []byte) []byte {
	if at.unpacked != nil {
		return at.unpacked.append(dst)
	}
	return append(dst, at.packed...)
}

// mergeInto adds the sum to another one.
func (at *acc) mergeInto(to *sum) error {
	if at.unpacked != nil {
		to.add(at.unpacked)
		return nil
	}
	return to.merge(at.packed, &same)
}

// ids returns the chunks in the order in which they are written.
func (s *slot) ids() []chunkID {
	ids := make([]chunkID, 0, len(s.chunks))
	for id := range s.chunks {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, chunkID.compare)
	return ids
}
