package filter

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
)

const (
	lineRing = 1024                 // lines that may wait
	lineSize = 640                  // room for a line; a longer one is moved to memory of its own
	gather   = 2 * time.Millisecond // a first line waits this long for others, so that one write takes many
)

// LineWriter writes lines to a file from a goroutine of its own. Callers fill a line in a ring:
//
//	if l := w.Begin(); l != nil {
//		l.Buf = append(l.Buf, ...)
//		w.End(l)
//	}
//
// A full ring drops the line and counts it: a file that hangs costs lines, never time. The ring is a bounded queue of
// many producers and one consumer: each entry's seq says whose turn it is (its position: free; position+1: filled).
type LineWriter struct {
	sinks   *Sinks
	path    string
	dropped *metrics.Counter
	users   int // guarded by Sinks.mu

	tail   atomic.Uint64 // next position to fill
	_      [56]byte      // keeps producers off the consumer's cache line
	asleep atomic.Bool   // the goroutine waits for wake
	reopen atomic.Bool
	gone   atomic.Bool // nothing will be written any more
	ring   []Line

	wake    chan struct{} // a line, a reopening
	hurry   chan struct{} // the ring is half full
	release chan struct{} // closed when the last user left
	done    chan struct{} // closed when the goroutine ended

	// Of the goroutine.
	file io.WriteCloser
	head uint64 // next position to write
	out  []byte
	fail bool // the last write failed, which was said
}

// Line is one entry of the ring. Append to Buf; End adds the newline.
type Line struct {
	Buf []byte
	mem []byte // of the ring
	pos uint64
	seq atomic.Uint64
}

func newLineWriter(s *Sinks, path string, file io.WriteCloser) *LineWriter {
	w := &LineWriter{
		sinks: s, path: path, dropped: s.Dropped("accesslog"), file: file, ring: make([]Line, lineRing), out: make([]byte, 0, 64<<10),
		wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), release: make(chan struct{}), done: make(chan struct{}),
	}
	mem := make([]byte, lineRing*lineSize)
	for i := range w.ring {
		w.ring[i].seq.Store(uint64(i))
		w.ring[i].mem = mem[i*lineSize : i*lineSize : (i+1)*lineSize]
	}
	return w
}

// Begin returns an empty line to fill, nil when none is free. It must be given to End by the same goroutine, at once:
// lines are written in the order of Begin.
func (w *LineWriter) Begin() *Line {
	if w.gone.Load() {
		w.dropped.Add(1)
		return nil
	}
	for {
		pos := w.tail.Load()
		l := &w.ring[pos%lineRing]
		switch seq := l.seq.Load(); {
		case seq == pos:
			if w.tail.CompareAndSwap(pos, pos+1) {
				l.pos = pos
				l.Buf = l.mem
				return l
			}
		case seq < pos: // still waiting to be written since the last time round
			w.dropped.Add(1)
			return nil
		}
	}
}

// End hands a filled line over.
func (w *LineWriter) End(l *Line) {
	l.Buf = append(l.Buf, '\n')
	pos := l.pos
	l.seq.Store(pos + 1)
	if w.asleep.Load() && w.asleep.CompareAndSwap(true, false) {
		w.poke()
	} else if pos%(lineRing/2) == 0 {
		select {
		case w.hurry <- struct{}{}:
		default:
		}
	}
}

// Release gives up one use of the writer. After the last one what waits is written and the file is closed.
func (w *LineWriter) Release() {
	s := w.sinks
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.users--; w.users == 0 && !s.closed {
		delete(s.lines, w.path)
		close(w.release)
	}
}

func (w *LineWriter) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run writes lines until the last user left or the sinks are closed.
func (w *LineWriter) run() {
	defer close(w.done)
	defer func() { w.file.Close() }()
	pause := time.NewTimer(gather)
	defer pause.Stop()
	for {
		w.drain()
		w.asleep.Store(true)
		if w.filled() { // a line came between the last look and falling asleep
			w.asleep.Store(false)
			continue
		}
		select {
		case <-w.wake:
		case <-w.release:
			w.finish()
			return
		case <-w.sinks.stop:
			w.finish()
			return
		}
		pause.Reset(gather)
		select {
		case <-pause.C:
		case <-w.hurry:
		case <-w.release:
		case <-w.sinks.stop:
		}
	}
}

// finish writes what is there. Lines that come later, from calls that began under a filter that is gone, are dropped.
func (w *LineWriter) finish() {
	w.gone.Store(true)
	w.drain()
}

// filled reports whether the next line is there.
func (w *LineWriter) filled() bool {
	head := w.head
	return w.ring[head%lineRing].seq.Load() == head+1
}

// drain writes what is filled, many lines at once.
func (w *LineWriter) drain() {
	if w.reopen.CompareAndSwap(true, false) {
		w.reopenFile()
	}
	for w.filled() {
		lines := 0
		for w.out = w.out[:0]; w.filled() && len(w.out) < cap(w.out)-4*lineSize; lines++ {
			l := &w.ring[w.head%lineRing]
			w.out = append(w.out, l.Buf...)
			l.seq.Store(w.head + lineRing)
			w.head++
		}
		_, err := w.file.Write(w.out)
		if err != nil {
			w.dropped.Add(int64(lines))
		}
		if err != nil && !w.fail {
			w.sinks.opt.Log.Error("cannot write the access log; its lines are dropped until it works again", "path", w.path, "error", err)
		}
		w.fail = err != nil
	}
}

func (w *LineWriter) reopenFile() {
	file, err := w.sinks.opt.Open(w.path)
	if err != nil {
		w.sinks.opt.Log.Error("cannot reopen the access log: going on with the old file", "path", w.path, "error", err)
		return
	}
	w.file.Close()
	w.file = file
}
