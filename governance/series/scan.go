package series

import (
	"errors"
	"slices"
	"time"
)

// plan is a window with the level that is read for it.
type plan struct {
	track    *track
	level    int   // of the track
	from, to int64 // Unix time, s: multiples of step
	step     int64 // s: a multiple of the level's
}

// plan chooses the coarsest level that has the steps asked for, or a coarser one when that does not reach back to from.
func (s *Store) plan(c cube, from, to time.Time, step time.Duration) plan {
	p := plan{track: s.trackOf(c), step: int64((step + time.Second - 1) / time.Second)}
	if step == 0 {
		p.step = int64(to.Sub(from).Seconds()) / fullPoints
	}
	levels := p.track.levels
	p.level = s.reach(p.track, p.step, from)
	unit := levels[p.level].step
	p.step = max((p.step+unit-1)/unit, 1) * unit
	p.align(from, to, p.step)
	return p
}

// windowPlan is a plan for one point. Slots that the window cuts count whole, so they are short against the window.
func (s *Store) windowPlan(c cube, from, to time.Time) plan {
	p := plan{track: s.trackOf(c)}
	p.level = s.reach(p.track, int64(to.Sub(from).Seconds())/20, from)
	p.step = p.track.levels[p.level].step
	p.align(from, to, p.step)
	return p
}

func (p *plan) align(from, to time.Time, step int64) {
	p.from = floor(from.Unix(), step)
	p.to = floor(to.Unix()+step-1, step)
	if to.Nanosecond() > 0 && to.Unix()%step == 0 {
		p.to += step
	}
	p.to = max(p.to, p.from+step)
}

func (s *Store) trackOf(c cube) *track {
	if c == cubeAgent {
		return s.agents
	}
	return s.fleet
}

// reach returns the coarsest level whose slots are no longer than step, or the first coarser one that reaches back to
// from.
func (s *Store) reach(t *track, step int64, from time.Time) int {
	now := s.opt.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	at := 0
	for at+1 < len(t.levels) && t.levels[at+1].step <= step {
		at++
	}
	for at+1 < len(t.levels) {
		l, next := t.levels[at], t.levels[at+1]
		kept := from.Unix() >= now.Add(-l.keep).Unix()
		if kept && (from.Unix() >= first(l) || first(next)+next.step > first(l)) {
			break // it reaches back to from, or as far as any
		}
		at++
	}
	return at
}

// first returns where the blocks of a level begin.
func first(l *level) int64 {
	if len(l.blocks) == 0 {
		return l.closedTo
	}
	return l.blocks[0].start
}

// scanner is what scan calls for what it finds.
type scanner struct {
	seen func(start int64) // once or more for each slot that there is
	// pick returns the sum that a key is added to, nil to leave it out. The key is valid during the call.
	pick func(start int64, resource, kind string, key []byte) *sum
}

// scan visits all of a cube within a plan's window. Slots that a coarse level has not closed yet are taken from the
// finer one, and what is open from memory, so that nothing counts twice and the last seconds are there.
func (s *Store) scan(p plan, c cube, resource string, v scanner) error {
	blocks := s.collect(p, c, resource, v)
	u := unpackers.Get().(*unpacker)
	defer unpackers.Put(u)
	for i := range blocks {
		b := &blocks[i]
		v.seen(b.start)
		want := func(ref *chunkRef) bool { return ref.cube == c && glob(resource, []byte(ref.resource)) }
		err := s.eachKey(b, u, want, func(ref *chunkRef, key, packed []byte, t *translation) error {
			if into := v.pick(b.start, ref.resource, ref.kind, key); into != nil {
				return into.merge(packed, t)
			}
			return nil
		})
		if errors.Is(err, errGone) {
			continue // its time was over while it waited to be read
		}
		if err != nil {
			s.opt.Log.Warn("history cannot be read: a part of it is passed over", "at", time.Unix(b.start, 0), "err", err)
			s.mu.Lock()
			s.stats.Lost++
			s.mu.Unlock()
		}
	}
	return nil
}

// collect visits what is open and returns the blocks to read.
func (s *Store) collect(p plan, c cube, resource string, v scanner) (blocks []block) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := p.from
	for i := p.level; i >= 0; i-- {
		l := p.track.levels[i]
		to := p.to
		if i > 0 {
			to = min(to, l.closedTo)
		}
		if from < to {
			lo, _ := slices.BinarySearchFunc(l.blocks, from, func(b block, t int64) int { return int(b.start - t) })
			hi, _ := slices.BinarySearchFunc(l.blocks, to, func(b block, t int64) int { return int(b.start - t) })
			blocks = append(blocks, l.blocks[lo:hi]...)
			from = to
		}
		if i > 0 {
			continue
		}
		for _, sl := range l.closing {
			sl.visit(p, c, resource, v)
		}
		for _, sl := range l.open {
			sl.visit(p, c, resource, v)
		}
	}
	return blocks
}

// visit adds an open slot, if it is in the plan's window.
func (sl *slot) visit(p plan, c cube, resource string, v scanner) {
	if sl.start < p.from || sl.start >= p.to {
		return
	}
	v.seen(sl.start)
	var buf []byte
	for id, ch := range sl.chunks {
		if id.cube != c || !glob(resource, []byte(id.resource)) {
			continue
		}
		for k, at := range ch.keys {
			buf = append(buf[:0], k...)
			if into := v.pick(sl.start, id.resource, ch.kind, buf); into != nil {
				_ = at.mergeInto(into) // this process packed it
			}
		}
	}
}

// eachKey visits the keys of a block's chunks that want says, nil: of all.
func (s *Store) eachKey(b *block, u *unpacker, want func(*chunkRef) bool, visit func(ref *chunkRef, key, sum []byte, t *translation) error) error {
	index, err := b.index()
	if err != nil {
		return err
	}
	refs, t, err := readIndex(index, int64(b.bodyLen), s.names)
	if err != nil {
		return err
	}
	for i := range refs {
		ref := &refs[i]
		if want != nil && !want(ref) {
			continue
		}
		packed, err := b.chunk(ref, u.packed)
		if err != nil {
			return err
		}
		if b.file != nil {
			u.packed = packed
		}
		if err := u.each(ref, packed, func(key, sum []byte) error { return visit(ref, key, sum, t) }); err != nil {
			return err
		}
	}
	return nil
}
