package loop

import "container/heap"

// Timer calls a function on its loop once, at a time that may be moved. The zero value with F set is ready.
type Timer struct {
	F     func(now int64)
	at    int64
	index int // in the heap, plus one; 0: not set
}

// Set (re)schedules t for the time at, in nanoseconds of clock.Now. Timers fire up to a millisecond late.
func (l *Loop) Set(t *Timer, at int64) {
	t.at = at
	if t.index == 0 {
		heap.Push(&l.timers, t)
	} else {
		heap.Fix(&l.timers, t.index-1)
	}
}

// Cancel makes sure that t does not fire.
func (l *Loop) Cancel(t *Timer) {
	if t.index > 0 {
		heap.Remove(&l.timers, t.index-1)
	}
}

// Pending reports whether t is set.
func (t *Timer) Pending() bool { return t.index > 0 }

// At returns the time that t is set for.
func (t *Timer) At() int64 { return t.at }

type timerHeap []*Timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}
func (h *timerHeap) Push(x any) {
	t := x.(*Timer)
	*h = append(*h, t)
	t.index = len(*h)
}
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = 0
	return t
}

// fire runs the timers that are due. A timer that is set again for the past runs in the next round.
func (h *timerHeap) fire(now int64) {
	for n := len(*h); n > 0 && len(*h) > 0 && (*h)[0].at <= now; n-- {
		t := heap.Pop(h).(*Timer)
		t.F(now)
	}
}

// until returns the milliseconds to the next timer, rounded up, or -1 when there is none.
func (h timerHeap) until(now int64) int {
	if len(h) == 0 {
		return -1
	}
	d := h[0].at - now
	if d <= 0 {
		return 0
	}
	return int(min((d+999_999)/1_000_000, 1<<30))
}
