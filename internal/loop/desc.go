package loop

import (
	"net"
	"sync"
	"sync/atomic"
)

// Ready says what a descriptor may be ready for. It is a hint: an attempt may still find nothing.
type Ready uint8

// What a descriptor may be ready for.
const (
	Readable Ready = 1 << iota
	Writable
	Hangup // the peer sends no more, or is gone
)

// Readiness hears of a descriptor that it reads and writes by itself. OnReady runs on the loop l, and must not block it.
type Readiness interface {
	OnReady(l *Loop, r Ready)
}

// Desc is the descriptor of a plain TCP or unix connection whose owner reads and writes it by itself, from any one
// goroutine at a time; a loop only tells when that may succeed. Changes are told once (edge-triggered): after [EAGAIN] a
// Readable follows when there is something. It is for code that reads straight through a protocol and waits in the
// middle of it: no buffer stands between the socket and its owner, and nothing is read before the owner wants it.
type Desc struct {
	fd  int
	gen int32 // tells it from another descriptor that had this number before; never changes
	h   Readiness
	on  atomic.Pointer[Loop]
}

// Loop returns the loop that watches the descriptor, nil after Close.
func (d *Desc) Loop() *Loop { return d.on.Load() }

// On reports whether l watches the descriptor. A nil Desc is watched by none.
func (d *Desc) On(l *Loop) bool { return d != nil && d.on.Load() == l }

// descTable finds the descriptors of a loop by their numbers. Owners on any goroutine write it, the loop reads it.
type descTable struct {
	mu   sync.Mutex // guards growth and writes
	gen  int32
	byFD atomic.Pointer[[]atomic.Pointer[Desc]]
}

func (t *descTable) set(fd int, d *Desc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.byFD.Load()
	if list == nil || fd >= len(*list) {
		n := 64
		if list != nil {
			n = 2 * len(*list)
		}
		larger := make([]atomic.Pointer[Desc], max(n, fd+1))
		if list != nil {
			for i := range *list {
				larger[i].Store((*list)[i].Load())
			}
		}
		t.byFD.Store(&larger)
		list = &larger
	}
	if d.gen == 0 {
		t.gen = max(1, t.gen+1)
		d.gen = t.gen
	}
	(*list)[fd].Store(d)
}

func (t *descTable) clear(fd int, d *Desc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if list := t.byFD.Load(); list != nil && fd < len(*list) {
		(*list)[fd].CompareAndSwap(d, nil)
	}
}

func (t *descTable) get(fd int32) *Desc {
	list := t.byFD.Load()
	if list == nil || int(fd) >= len(*list) {
		return nil
	}
	return (*list)[fd].Load()
}

// Own takes a connection's descriptor over and makes the loop watch it for h. nc is closed: the Desc is what is left of
// it. It returns nil, and leaves nc as it is, when nc has no descriptor of its own (TLS, other systems than Linux).
func (l *Loop) Own(nc net.Conn, h Readiness) (*Desc, error) {
	fd, err := l.poll.adopt(nc)
	if fd < 0 || err != nil {
		return nil, err
	}
	_ = nc.Close() // fd is a duplicate
	d := &Desc{fd: fd, h: h}
	if err := d.watchOn(l); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Move makes another loop watch the descriptor. Its owner calls it while nobody waits for it.
func (d *Desc) Move(to *Loop) error {
	if from := d.on.Load(); from != nil {
		from.descs.clear(d.fd, d)
		from.unwatch(d)
	}
	return d.watchOn(to)
}
