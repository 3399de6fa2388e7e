package series

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/metrics/report"
)

// Store keeps what agents report. All methods may be called from any goroutine.
type Store struct {
	opt     Options
	names   *outcomes
	tracks  []*track
	fleet   *track
	agents  *track
	closing chan struct{}
	ended   chan struct{}
	once    sync.Once
	keptTo  time.Time  // see KeptTo
	saving  sync.Mutex // held while missing is written

	// Of the goroutine that closes slots.
	packer packer
	feeder adder
	fed    uint64 // overflows of feeder

	mu       sync.Mutex // guards what follows, and the levels' open slots and lists
	decoder  report.Decoder
	ingest   ingester
	live     map[string]*liveAgent // by name
	shown    shown                 // what Live returned last
	memory   int64                 // bytes of blocks that are in memory only
	degraded string
	stats    Stats
	missing  []Span // times of which not all reports came
}

// Open returns a store with the history that Options.Dir holds, and starts to keep it. Close must be called. A folder
// that cannot be read or made is an error; one that cannot be written later is not: see [Stats].
func Open(o Options) (*Store, error) {
	s, err := open(o)
	if err != nil {
		return nil, err
	}
	go s.run()
	return s, nil
}

func open(o Options) (*Store, error) {
	o.fill()
	if o.Dir != "" {
		o.Dir = filepath.Join(o.Dir, "series")
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("series: %w", err)
		}
	}
	s := &Store{
		opt: o, names: newOutcomes(), tracks: newTracks(), live: map[string]*liveAgent{},
		closing: make(chan struct{}), ended: make(chan struct{}),
	}
	s.fleet, s.agents = s.tracks[0], s.tracks[1]
	s.feeder = adder{opt: &s.opt, overflow: &s.fed}
	s.ingest = ingester{store: s, adder: adder{opt: &s.opt, overflow: &s.stats.Overflow}}
	now := o.Now()
	for _, t := range s.tracks {
		for i, l := range t.levels {
			if err := s.load(l); err != nil {
				return nil, errors.Join(err, s.closeFiles())
			}
			if i > 0 {
				s.replay(l, t.levels[i-1], now)
			}
			l.closedTo = floor(now.Unix()-grace, l.step)
		}
	}
	s.retain(now)
	if l := s.fleet.levels[0]; len(l.blocks) > 0 {
		s.keptTo = time.Unix(l.blocks[len(l.blocks)-1].start+l.step, 0)
	}
	if err := s.loadMissing(); err != nil {
		return nil, errors.Join(err, s.closeFiles())
	}
	return s, nil
}

// Close writes what is open, and ends the store. It may be called more than once.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		close(s.closing)
		<-s.ended
		err = s.finish()
	})
	return err
}

// finish writes the slots of the first levels, of which the others are made again when the store is opened.
func (s *Store) finish() error {
	for _, t := range s.tracks {
		s.closeSlots(t, s.opt.Now(), true)
	}
	return s.closeFiles()
}

func (s *Store) closeFiles() error {
	var errs []error
	for _, t := range s.tracks {
		for _, l := range t.levels {
			for _, f := range l.files {
				errs = append(errs, f.close())
			}
		}
	}
	return errors.Join(errs...)
}

// run closes slots when their time has come.
func (s *Store) run() {
	defer close(s.ended)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-s.closing:
			return
		case <-tick.C:
		}
		now := s.opt.Now()
		s.advance(now)
		if n%60 == 0 {
			s.retain(now)
			s.forget(now)
		}
	}
}

// advance closes the slots whose time has come.
func (s *Store) advance(now time.Time) {
	for _, t := range s.tracks {
		s.closeSlots(t, now, false)
	}
}

// Stats returns how the store itself is.
func (s *Store) Stats() Stats {
	now := s.opt.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Memory, st.Degraded = s.memory, s.degraded
	for _, a := range s.live {
		if !a.stale(now) {
			st.Agents++
		}
	}
	for _, t := range s.tracks {
		for i, l := range t.levels {
			st.Blocks += len(l.blocks)
			if i == 0 {
				for _, sl := range l.open {
					st.Keys += sl.keys
				}
			}
			for _, b := range l.blocks {
				if b.file != nil {
					st.Disk += b.size()
				}
			}
		}
	}
	return st
}

func crc(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
