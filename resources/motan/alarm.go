package motan

import "github.com/sluice-mesh/sluice/internal/loop"

// The wheel has a list of calls for each 4 ms of the next second. Calls whose time is later than that are met once a
// round before it has come.
const (
	wheelShift = 22 // 2^22 ns
	wheelSize  = 256
)

// alarm is a call's place in the wheel.
type alarm struct {
	at         int64 // ns; 0: not set
	next, prev *call
}

// wheel wakes calls up, up to one list's time late. Setting and clearing one costs next to nothing, and nearly all are
// cleared before their time.
type wheel struct {
	loop  *loop.Loop
	wake  func(c *call, now int64)
	lists [wheelSize]*call
	n     int
	seen  int64 // the lists of this time and before were looked at
	timer loop.Timer
}

func (w *wheel) init(l *loop.Loop, wake func(*call, int64)) {
	w.loop, w.wake = l, wake
	w.timer.F = w.turn
}

// set wakes c at the time at, and no other.
func (w *wheel) set(c *call, at int64) {
	w.clear(c)
	if w.n == 0 {
		w.seen = w.loop.Now() >> wheelShift
	}
	at = max(at, (w.seen+1)<<wheelShift)
	head := &w.lists[at>>wheelShift&(wheelSize-1)]
	c.alarm = alarm{at: at, next: *head}
	if *head != nil {
		(*head).alarm.prev = c
	}
	*head = c
	if w.n++; !w.timer.Pending() {
		w.loop.Set(&w.timer, (w.seen+2)<<wheelShift)
	}
}

// clear makes sure that c is not woken.
func (w *wheel) clear(c *call) {
	a := &c.alarm
	if a.at == 0 {
		return
	}
	if a.prev != nil {
		a.prev.alarm.next = a.next
	} else {
		w.lists[a.at>>wheelShift&(wheelSize-1)] = a.next
	}
	if a.next != nil {
		a.next.alarm.prev = a.prev
	}
	*a = alarm{}
	w.n--
}

// turn wakes all whose time has come.
func (w *wheel) turn(now int64) {
	last := now>>wheelShift - 1 // the list of now is not over
	for from := max(w.seen+1, last-wheelSize+1); from <= last; from++ {
		w.look(from&(wheelSize-1), now)
	}
	w.seen = max(w.seen, last)
	if w.n > 0 {
		w.loop.Set(&w.timer, (w.seen+2)<<wheelShift)
	}
}

// look wakes those of a list whose time has come. Waking one may change the list, so it begins anew after each.
func (w *wheel) look(i, now int64) {
	for c := w.lists[i]; c != nil; {
		if c.alarm.at > now {
			c = c.alarm.next
			continue
		}
		w.clear(c)
		w.wake(c, now)
		c = w.lists[i]
	}
}
