package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"time"
)

// ErrHeld is the error of an announcement whose entry another process has taken over since we made it. It is tried again, and
// made again when the entry is gone.
var ErrHeld = errors.New("another process has announced this address since")

// ErrAway is the error of an attempt that could not be made because there is no connection. The source has said so already.
var ErrAway = errors.New("the registry cannot be reached")

// Times of announcements.
const (
	attemptTimeout = 10 * time.Second // of one attempt to make or withdraw one
	firstPause     = 100 * time.Millisecond
	longestPause   = 5 * time.Second // between two attempts; half of it at least
)

// atOnce is how many attempts run at once. Without a bound, an agent with many nodes floods its registry when a session was lost,
// its own signs of life are late among all that, and the session is lost again.
const atOnce = 16

// Back writes announcements into a registry. Calls for one address do not overlap.
type Back interface {
	// Announce makes the registry say of the node's address what the node says. It returns nil when that is confirmed,
	// be it that nothing had to be written, and it leaves alone what is right already.
	Announce(ctx context.Context, n Node) error
	// Withdraw makes the registry forget what we announced of the address. What others announced stays.
	Withdraw(ctx context.Context, n Node) error
}

// Announcements keeps a source's announcements true: each is made, checked again when the source asks for it, and tried until
// it stands.
type Announcements struct {
	back Back
	log  *slog.Logger
	room chan struct{} // holds one for each attempt that runs

	ctx  context.Context
	stop context.CancelFunc
	run  sync.WaitGroup

	mu    sync.Mutex
	slots map[[3]string]*slot // guarded by mu, as are their fields
}

// slot is one address of one service. Its goroutine works towards wanted and ends when there is nothing left to do.
type slot struct {
	wanted  *Registration // nil: to be withdrawn
	node    Node          // as wanted, or as it was before it was not
	version int           // grows with each change of what is wanted
	kick    chan struct{} // there may be something to do
	settled chan struct{} // closed and made anew with each attempt that succeeded and each new Registration
	since   time.Time     // of standing, or of its contrary
	stands  bool
	err     error // of the last attempt
}

// Registration is a node that is announced. Its methods may be called from any goroutine.
type Registration struct {
	all  *Announcements
	slot *slot
}

// Announced is how an announcement does.
type Announced struct {
	Node   Node
	Stands bool      // the registry says what Node says, as far as we know
	Since  time.Time // of Stands, or of its contrary
	Error  string    // of the last attempt; "" when it succeeded
}

// NewAnnouncements returns an empty set. log may not be nil.
func NewAnnouncements(back Back, log *slog.Logger) *Announcements {
	a := &Announcements{back: back, log: log, room: make(chan struct{}, atOnce), slots: make(map[[3]string]*slot)}
	a.ctx, a.stop = context.WithCancel(context.Background())
	return a
}

// Close ends all attempts and waits for them. It withdraws nothing.
func (a *Announcements) Close() {
	a.mu.Lock()
	a.stop() // nobody adds to run from here on
	a.mu.Unlock()
	a.run.Wait()
}

// Register is the method of Source.
func (a *Announcements) Register(n Node) (*Registration, error) {
	if err := n.Check(); err != nil {
		return nil, err
	}
	n.Params = maps.Clone(n.Params) // the caller's may change
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx.Err() != nil {
		return nil, ErrClosed
	}
	s := a.slots[n.key()]
	if s != nil && s.wanted != nil {
		return nil, fmt.Errorf("%s is announced already", n)
	}
	if s == nil {
		s = &slot{kick: make(chan struct{}, 1), settled: make(chan struct{}), since: time.Now()}
		a.slots[n.key()] = s
		a.run.Go(func() { a.keep(s) })
	}
	r := &Registration{all: a, slot: s}
	s.wanted = r
	s.want(n)
	s.settle() // a withdrawal of the one before has nothing to wait for any more
	return r, nil
}

// Check has every announcement looked at: the session that it was made in is gone, or the connection is back.
func (a *Announcements) Check() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.slots {
		s.poke()
	}
}

// CheckOne does so for the announcement of one node, whose entry changed.
func (a *Announcements) CheckOne(n Node) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.slots[n.key()]; s != nil {
		s.poke()
	}
}

// Lost notes that no announcement stands any more, as far as one can know.
func (a *Announcements) Lost(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.slots {
		s.note(err)
	}
}

// List returns how each announcement does, in no order.
func (a *Announcements) List() []Announced {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Announced
	for _, s := range a.slots {
		if s.wanted != nil {
			out = append(out, s.state())
		}
	}
	return out
}

// Update announces the node as it is now: another weight, other parameters, available or not. Service and address stay.
func (r *Registration) Update(n Node) error {
	if err := n.Check(); err != nil {
		return err
	}
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	switch {
	case r.slot.wanted != r:
		return fmt.Errorf("%s is not announced any more", n)
	case n.key() != r.slot.node.key():
		return fmt.Errorf("%s cannot become %s: announce that one", r.slot.node, n)
	}
	if !n.Equal(r.slot.node) {
		n.Params = maps.Clone(n.Params)
		r.slot.want(n)
	}
	return nil
}

// State is how the announcement does; of one that is withdrawn, how it did.
func (r *Registration) State() Announced {
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	return r.slot.state()
}

// Withdraw takes the announcement back and waits until the registry has confirmed it or ctx ends; it is taken back in either
// case, when the registry can be reached again at the latest. Withdrawing again only waits.
func (r *Registration) Withdraw(ctx context.Context) error {
	a, s := r.all, r.slot
	a.mu.Lock()
	node := s.node
	if s.wanted == r {
		s.wanted = nil
		s.version++
		s.poke()
	}
	a.mu.Unlock()
	for {
		a.mu.Lock()
		over := s.wanted != nil || a.slots[node.key()] != s
		settled, err := s.settled, s.err
		a.mu.Unlock()
		if over {
			return nil
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return fmt.Errorf("%s is still announced: %w", node, errors.Join(ctx.Err(), err))
		case <-a.ctx.Done():
			return ErrClosed
		}
	}
}

// want changes what is announced. a.mu is held, as it is for the functions below.
func (s *slot) want(n Node) {
	s.node = n
	s.version++
	if s.stands {
		s.stands, s.since = false, time.Now()
	}
	s.poke()
}

func (s *slot) poke() {
	select {
	case s.kick <- struct{}{}:
	default: // it will look anyway
	}
}

func (s *slot) settle() {
	close(s.settled)
	s.settled = make(chan struct{})
}

// note takes down the outcome of an attempt.
func (s *slot) note(err error) {
	s.err = err
	if stands := err == nil; stands != s.stands {
		s.stands, s.since = stands, time.Now()
	}
}

func (s *slot) state() Announced {
	out := Announced{Node: s.node, Stands: s.stands, Since: s.since}
	if s.err != nil {
		out.Error = s.err.Error()
	}
	return out
}

// keep works towards what is wanted of a slot.
func (a *Announcements) keep(s *slot) {
	pause := firstPause
	again := time.NewTimer(time.Hour)
	again.Stop()
	defer again.Stop()
	for {
		select {
		case <-s.kick:
		case <-again.C:
		case <-a.ctx.Done():
			return
		}
		done, err := a.attempt(s)
		switch {
		case done:
			return
		case err == nil:
			again.Stop()
			pause = firstPause
		default:
			again.Reset(pause/2 + rand.N(pause/2))
			pause = min(2*pause, longestPause)
		}
	}
}

// attempt makes or withdraws an announcement once. done says that there is nothing left to keep.
func (a *Announcements) attempt(s *slot) (done bool, err error) {
	select {
	case a.room <- struct{}{}:
		defer func() { <-a.room }()
	case <-a.ctx.Done():
		return true, nil
	}
	a.mu.Lock()
	n, withdraw, version := s.node, s.wanted == nil, s.version
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(a.ctx, attemptTimeout)
	defer cancel()
	if withdraw {
		err = a.back.Withdraw(ctx, n)
	} else {
		err = a.back.Announce(ctx, n)
	}
	if a.ctx.Err() != nil {
		return true, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.version != version { // what was attempted is not wanted any more; the next attempt is waiting in kick
		return false, nil
	}
	if told := s.err != nil && !errors.Is(s.err, ErrAway); err != nil && !told && !errors.Is(err, ErrAway) {
		a.log.Warn("an announcement failed and is tried again", "node", n.String(), "error", err)
	} else if err == nil && told {
		a.log.Info("an announcement that failed before stands now", "node", n.String())
	}
	if withdraw {
		if s.err = err; err == nil {
			s.stands, s.since = false, time.Now()
			delete(a.slots, n.key())
			s.settle()
			return true, nil
		}
		return false, err
	}
	if s.note(err); err == nil {
		s.settle()
	}
	return false, err
}
