package filter

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/resources"
)

// MaxSubscribers is the number of observers that one resource serves at once.
const MaxSubscribers = 32

// Event is one call as observers see it. Text is the request without secrets; it is empty for calls that began before
// anybody watched.
type Event struct {
	Time      time.Time `json:"time"` // when the request was read
	Op        string    `json:"op"`
	Class     string    `json:"class"`
	Caller    string    `json:"caller,omitempty"`
	User      string    `json:"user,omitempty"`
	Client    string    `json:"client,omitempty"`
	Group     string    `json:"group,omitempty"`
	Endpoint  string    `json:"endpoint,omitempty"`
	Outcome   string    `json:"outcome"`
	Latency   int64     `json:"latency_ns"` // until the answer
	Attempt   int       `json:"attempt"`    // extra attempts
	ReqBytes  int64     `json:"request_bytes"`
	RespBytes int64     `json:"response_bytes"`
	Text      string    `json:"text,omitempty"`
	Fault     string    `json:"fault,omitempty"`
}

// Tap hands live calls to observers. One belongs to each resource and outlives its compilations.
type Tap struct {
	list    atomic.Pointer[[]*subscriber] // copied on write; nil: nobody
	dropped atomic.Uint64

	mu    sync.Mutex // serialises Subscribe and cancel
	next  uint32     // bit to try first, so that bits are reused late
	texts *Texts     // made when first needed
}

type subscriber struct {
	bit        uint32 // one bit
	since      int64  // calls that began earlier belong to whoever had the bit before
	selector   *resources.Selector
	slowerThan int64
	events     chan Event
}

// NewTap returns a tap that nobody watches.
func NewTap() *Tap { return &Tap{} }

// Active reports whether anybody watches.
func (t *Tap) Active() bool { return t.list.Load() != nil }

// Dropped returns how many events observers were too slow to take.
func (t *Tap) Dropped() uint64 { return t.dropped.Load() }

// Subscribe begins to watch the calls that sel selects (nil: all) and that take longer than slowerThan (0: all). buf
// is how many events may wait for the reader; what comes on top is dropped and counted. cancel ends it and may be
// called more than once; the channel is not closed then, but nothing comes any more. When MaxSubscribers watch
// already, the channel comes back closed.
func (t *Tap) Subscribe(sel *resources.Selector, slowerThan time.Duration, buf int) (<-chan Event, func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &subscriber{since: clock.Now(), selector: sel, slowerThan: int64(slowerThan), events: make(chan Event, max(buf, 1))}
	var list []*subscriber
	var used uint32
	if l := t.list.Load(); l != nil {
		list = *l
	}
	for _, o := range list {
		used |= o.bit
	}
	if len(list) >= MaxSubscribers {
		close(s.events)
		return s.events, func() {}
	}
	for s.bit = 1 << (t.next % MaxSubscribers); used&s.bit != 0; s.bit = 1 << (t.next % MaxSubscribers) {
		t.next++
	}
	t.next++
	t.store(append(append([]*subscriber(nil), list...), s))
	return s.events, sync.OnceFunc(func() { t.unsubscribe(s) })
}

func (t *Tap) unsubscribe(s *subscriber) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var rest []*subscriber
	for _, o := range *t.list.Load() {
		if o != s {
			rest = append(rest, o)
		}
	}
	t.store(rest)
}

func (t *Tap) store(list []*subscriber) {
	if len(list) == 0 {
		t.list.Store(nil)
		return
	}
	t.list.Store(&list)
}

func (t *Tap) sharedTexts() *Texts {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.texts == nil {
		t.texts = new(Texts)
	}
	return t.texts
}

// Begin is called for each call as it begins: it notes which observers want the call and, for them, keeps its text.
func (t *Tap) Begin(c *resources.Call, tx *Texter) {
	list := t.list.Load()
	if list == nil {
		tx.Skip(c)
		if !tx.owner {
			tx.setSubscribers(c, 0)
		}
		return
	}
	var mask uint32
	for _, s := range *list {
		if s.selector == nil || s.selector.Match(c) {
			mask |= s.bit
		}
	}
	if mask == 0 {
		tx.Skip(c)
	} else {
		tx.Capture(c)
	}
	tx.setSubscribers(c, mask)
}

// End is called for each call as it ends. It returns how many observers were too slow to take the event.
func (t *Tap) End(c *resources.Call, tx *Texter, event func(*resources.Call, []byte) Event) (dropped int) {
	mask := tx.subscribers(c)
	if mask == 0 {
		return 0
	}
	list := t.list.Load()
	if list == nil {
		return 0
	}
	var ev Event
	made := false
	for _, s := range *list {
		if mask&s.bit == 0 || c.Start < s.since || c.Now-c.Start < s.slowerThan {
			continue
		}
		if !made {
			ev, made = event(c, tx.Text(c)), true
		}
		select {
		case s.events <- ev:
		default:
			dropped++
		}
	}
	t.dropped.Add(uint64(dropped))
	return dropped
}
