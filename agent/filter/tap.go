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
	Stages    Stages    `json:"stages"`
}

// Stages is what a call's time went to; resources.Stages says what belongs to which. All are in µs. They add up to Total, which is
// longer than Latency by what Latency leaves out: the first pieces of a request that came in several, and the writing of an answer
// that was already there as a whole.
type Stages struct {
	Receive int64 `json:"receive_us"`
	Route   int64 `json:"route_us"`
	Send    int64 `json:"send_us"`
	Wait    int64 `json:"wait_us"`
	Reply   int64 `json:"reply_us"`
	Total   int64 `json:"total_us"`
}

// NewStages makes whole µs of a call's stages, so that they add up to the µs of their sum.
func NewStages(s *resources.Stages, start, now int64) Stages {
	from, until := s.Spans(start, now)
	var us [resources.NumStages]int64
	at := int64(0)
	for i, t := range until {
		t = (t - from) / 1000
		us[i], at = t-at, t
	}
	return Stages{
		Receive: us[resources.StageReceive], Route: us[resources.StageRoute], Send: us[resources.StageSend],
		Wait: us[resources.StageWait], Reply: us[resources.StageReply], Total: at,
	}
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
	sample     Coin
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
	return t.SubscribeSample(sel, slowerThan, 100, buf)
}

// SubscribeSample is Subscribe to a share of the calls, chosen as they begin: the others cost no more than without it.
func (t *Tap) SubscribeSample(sel *resources.Selector, slowerThan time.Duration, share resources.Percent, buf int) (<-chan Event, func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &subscriber{since: clock.Now(), selector: sel, slowerThan: int64(slowerThan), sample: NewCoin(share), events: make(chan Event, max(buf, 1))}
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

// Begin is called for each call as it begins: it notes which observers want the call and, for them, keeps its text and watches
// its stages.
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
		if (s.selector == nil || s.selector.Match(c)) && s.sample.Hit() {
			mask |= s.bit
		}
	}
	if mask == 0 {
		tx.Skip(c)
	} else {
		tx.Capture(c)
		c.Watch()
	}
	tx.setSubscribers(c, mask)
}

// End is called for each call as it ends. Observers see it when its answer was written, which may be later. dropped is told how
// many of them were too slow to take the event.
func (t *Tap) End(c *resources.Call, tx *Texter, event func(*resources.Call, []byte) Event, dropped func(int)) {
	mask := tx.subscribers(c)
	if mask == 0 {
		return
	}
	list := t.list.Load()
	if list == nil {
		return
	}
	var to []*subscriber
	for _, s := range *list {
		if mask&s.bit != 0 && c.Start >= s.since && c.Now-c.Start >= s.slowerThan {
			to = append(to, s)
		}
	}
	if to == nil {
		return
	}
	ev, stages, start, now := event(c, tx.Text(c)), c.Stages, c.Start, c.Now
	show := func() {
		if stages != nil {
			ev.Stages = NewStages(stages, start, now)
		}
		t.show(ev, to, dropped)
	}
	if stages == nil || stages.Out == nil {
		show()
		return
	}
	stages.Out.OnWritten(func(at int64) {
		stages.Replied = at
		show()
	})
}

func (t *Tap) show(ev Event, to []*subscriber, dropped func(int)) {
	n := 0
	for _, s := range to {
		select {
		case s.events <- ev:
		default:
			n++
		}
	}
	if n > 0 {
		t.dropped.Add(uint64(n))
		dropped(n)
	}
}
