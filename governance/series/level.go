package series

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// track is the same cubes in steps of growing length: each level is made of the one before it.
type track struct {
	levels []*level
}

// level keeps slots of one length. Open slots of the first level are added to by reports, those of the others when a
// slot of the level before closes.
type level struct {
	name   string        // of its files: the track's, a hyphen, the step in seconds
	step   int64         // s
	keep   time.Duration // how long slots are kept
	period int64         // s of one file

	// Guarded by Store.mu.
	open     map[int64]*slot
	closing  []*slot // no more added to, not yet blocks
	blocks   []block // by start, those of equal start in the order in which they were written
	files    []*file // by start
	closedTo int64   // slots that end here or before are blocks
}

// grace is how long after its end a slot is open. A report's calls belong to the middle of its interval, so one over
// ten seconds comes five after the end of its slot at the latest, and has five to be on the way.
const grace = 10

func newTracks() []*track {
	const minute, hour, day = 60, 3600, 86400
	lv := func(name string, step int64, keep time.Duration, period int64) *level {
		return &level{name: name + "-" + strconv.FormatInt(step, 10), step: step, keep: keep, period: period, open: map[int64]*slot{}}
	}
	return []*track{
		{[]*level{lv("fleet", fineStep, 6*time.Hour, hour), lv("fleet", minute, 14*24*time.Hour, day)}},
		{[]*level{lv("agents", fineStep, 6*time.Hour, hour), lv("agents", minute, 14*24*time.Hour, day), lv("agents", 10*minute, 14*24*time.Hour, day)}},
	}
}

// fineStep is the length of the finest slots, s.
const fineStep = 10

// sacrifice lists the levels in the order in which their oldest files go when the disk's share is used up.
func (s *Store) sacrifice() []*level {
	fleet, agents := s.fleet.levels, s.agents.levels
	return []*level{agents[0], agents[1], fleet[0], agents[2], fleet[1]}
}

// floor returns the start of the slot that t, Unix time in s, belongs to.
func floor(t, step int64) int64 { return t - ((t%step)+step)%step }

// slotAt returns the open slot of a start. The caller holds Store.mu.
func (l *level) slotAt(start int64, now time.Time) *slot {
	s := l.open[start]
	if s == nil {
		s = newSlot(start, now)
		l.open[start] = s
	}
	return s
}

// due takes out the open slots that end and have waited long enough, by start. The caller holds Store.mu.
func (l *level) due(now time.Time, all bool) []*slot {
	var out []*slot
	for start, s := range l.open {
		ended := now.Unix() >= start+l.step+grace && (now.Sub(s.opened) >= grace*time.Second || now.Before(s.opened))
		if ended || all {
			out = append(out, s)
			delete(l.open, start)
		}
	}
	slices.SortFunc(out, func(a, b *slot) int { return int(a.start - b.start) })
	l.closing = append(l.closing, out...)
	return out
}

// insert adds a block in its place. The caller holds Store.mu.
func (l *level) insert(b block) {
	i := len(l.blocks)
	for i > 0 && l.blocks[i-1].start > b.start {
		i--
	}
	l.blocks = slices.Insert(l.blocks, i, b)
}

// closeSlots writes what is due in all levels of a track and hands it on to the level that follows. Only the store's
// own goroutine calls it, or who ended that.
func (s *Store) closeSlots(t *track, now time.Time, all bool) {
	for i, l := range t.levels {
		s.mu.Lock()
		due := l.due(now, all && i == 0)
		s.mu.Unlock()
		for _, sl := range due {
			s.write(l, sl)
			if i+1 < len(t.levels) {
				s.feed(t.levels[i+1], sl, now)
			}
		}
		s.mu.Lock()
		l.closedTo = max(l.closedTo, floor(now.Unix()-grace, l.step))
		s.mu.Unlock()
	}
}

// write makes a block of a slot, on disk, or in memory when there is none.
func (s *Store) write(l *level, sl *slot) {
	index, body, err := s.packer.block(sl, s.names)
	var b block
	if err == nil {
		h := header{start: sl.start, indexLen: uint32(len(index)), bodyLen: uint32(len(body)), indexCRC: crc(index)}
		if b, err = s.save(l, h, index, body); err != nil {
			b = block{header: h, data: append(slices.Clone(index), body...)}
		}
		if s.opt.Dir != "" {
			s.state(err)
		}
	} else {
		s.opt.Log.Error("history could not be encoded", "level", l.name, "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l.closing = slices.DeleteFunc(l.closing, func(c *slot) bool { return c == sl })
	if b.indexLen > 0 {
		l.insert(b)
		s.memory += int64(len(b.data))
		s.shrink()
	}
}

var errNoDir = errors.New("there is no folder")

// save appends a block to its file.
func (s *Store) save(l *level, h header, index, body []byte) (block, error) {
	if s.opt.Dir == "" {
		return block{}, errNoDir
	}
	start := floor(h.start, l.period)
	i, found := slices.BinarySearchFunc(l.files, start, func(f *file, t int64) int { return int(f.start - t) })
	if !found {
		f, blocks, err := openFile(s.path(l, start), start, s.opt.Log)
		if err != nil {
			return block{}, err
		}
		s.mu.Lock()
		l.files = slices.Insert(l.files, i, f)
		for _, b := range blocks { // only if somebody else put it there
			l.insert(b)
		}
		s.mu.Unlock()
	}
	return l.files[i].append(h, index, body)
}

// state says when the disk cannot be written, and when it can again.
func (s *Store) state(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.mu.Lock()
	before := s.degraded
	s.degraded = text
	s.mu.Unlock()
	switch {
	case before == "" && text != "":
		s.opt.Log.Error("history cannot be written: it goes on in memory, and a restart would lose it", "dir", s.opt.Dir, "err", err)
	case before != "" && text == "":
		s.opt.Log.Info("history is written again", "dir", s.opt.Dir)
	}
}

// shrink drops the oldest blocks that are in memory only until the rest fits: first those of single agents, then the
// fine ones. The caller holds mu.
func (s *Store) shrink() {
	for _, l := range s.sacrifice() {
		if s.memory <= s.opt.MaxMemory {
			return
		}
		l.blocks = slices.DeleteFunc(l.blocks, func(b block) bool {
			if b.file != nil || s.memory <= s.opt.MaxMemory {
				return false
			}
			s.memory -= int64(len(b.data))
			s.stats.Lost++
			return true
		})
	}
}

// feed adds a slot to the one of the next level that it is part of.
func (s *Store) feed(to *level, from *slot, now time.Time) {
	s.mu.Lock()
	sl := to.slotAt(floor(from.start, to.step), now)
	s.mu.Unlock()
	var packed []byte
	for id, c := range from.chunks {
		for k, at := range c.keys {
			packed = at.append(packed[:0])
			if err := s.feeder.add(sl, id, c.kind, k, packed, &same, id.cube != cubeAgent); err != nil {
				s.opt.Log.Error("history is damaged in memory", "level", to.name, "resource", id.resource, "err", err)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Overflow += s.fed
	s.fed = 0
}

// replay feeds a level with the blocks of the one before that are not in it yet: those after its last block.
func (s *Store) replay(to, from *level, now time.Time) {
	var since int64
	if n := len(to.blocks); n > 0 {
		since = to.blocks[n-1].start + to.step
	}
	at, _ := slices.BinarySearchFunc(from.blocks, since, func(b block, t int64) int { return int(b.start - t) })
	u := new(unpacker)
	for i := range from.blocks[at:] {
		b := &from.blocks[at+i]
		sl := to.slotAt(floor(b.start, to.step), now)
		err := s.eachKey(b, u, nil, func(ref *chunkRef, key, sum []byte, t *translation) error {
			return s.feeder.add(sl, ref.chunkID, ref.kind, string(key), sum, t, ref.cube != cubeAgent)
		})
		if err != nil {
			s.opt.Log.Warn("history cannot be read: a part of it is passed over", "level", from.name, "at", time.Unix(b.start, 0), "err", err)
			s.stats.Lost++
		}
	}
}

// retain drops what is older than its level keeps, and files until the rest fits.
func (s *Store) retain(now time.Time) {
	for _, t := range s.tracks {
		for _, l := range t.levels {
			limit := now.Add(-l.keep).Unix()
			for len(l.files) > 0 && l.files[0].start+l.period <= limit {
				s.dropFile(l)
			}
			s.mu.Lock()
			l.blocks = slices.DeleteFunc(l.blocks, func(b block) bool {
				old := b.start+l.step <= limit
				if old {
					s.memory -= int64(len(b.data))
				}
				return old
			})
			s.mu.Unlock()
		}
	}
	for _, l := range s.sacrifice() {
		for len(l.files) > 1 && s.diskUsed() > s.opt.MaxDisk {
			s.opt.Log.Warn("history takes more of the disk than it may: its oldest part goes", "file", l.files[0].path, "limit", s.opt.MaxDisk)
			s.dropFile(l)
		}
	}
}

func (s *Store) diskUsed() (n int64) {
	for _, t := range s.tracks {
		for _, l := range t.levels {
			for _, f := range l.files {
				n += f.size
			}
		}
	}
	return n
}

// dropFile removes the oldest file of a level.
func (s *Store) dropFile(l *level) {
	s.mu.Lock()
	f := l.files[0]
	l.files = slices.Delete(l.files, 0, 1)
	l.blocks = slices.DeleteFunc(l.blocks, func(b block) bool { return b.file == f })
	s.mu.Unlock()
	if err := errors.Join(os.Remove(f.path), f.close()); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.opt.Log.Warn("an old history file cannot be removed", "err", err)
	}
}

const fileSuffix = ".series"

func (s *Store) path(l *level, start int64) string {
	return filepath.Join(s.opt.Dir, l.name+"-"+time.Unix(start, 0).UTC().Format("20060102T15")+fileSuffix)
}

// load opens the files of a level.
func (s *Store) load(l *level) error {
	names, err := filepath.Glob(filepath.Join(s.opt.Dir, l.name+"-*"+fileSuffix))
	if err != nil {
		return fmt.Errorf("series: %w", err)
	}
	slices.Sort(names)
	for _, path := range names {
		text := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), l.name+"-"), fileSuffix)
		start, err := time.Parse("20060102T15", text)
		if err != nil {
			continue // not ours
		}
		f, blocks, err := openFile(path, start.Unix(), s.opt.Log)
		if err != nil {
			return fmt.Errorf("series: %w", err)
		}
		l.files = append(l.files, f)
		for _, b := range blocks {
			l.insert(b)
		}
	}
	return nil
}
