package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

// Local is what the link asks of the agent. Its methods are called from the link's goroutines, several at once.
type Local interface {
	// Hello says who the agent is, anew for each link. Protocol is filled in by the link.
	Hello() control.Hello
	// Apply brings an Update of a cluster into force, as far as it can be. An error means that the Update cannot be
	// understood at all: the link is given up and made anew. Calls do not overlap.
	Apply(ctx context.Context, cluster string, u *control.Update) (control.Result, error)
	// State returns what the agent sees: everything, or what changed since it was asked last; nil when nothing did. Calls do
	// not overlap.
	State(full bool) *control.State
	// Report appends what was counted since the last report to dst; nothing is sent when nothing was appended.
	Report(dst []byte) []byte
	// Export returns the services that the agent vouches for; nil when it has none to vouch for. It is sent when it differs
	// from the last one.
	Export() *control.Export
	// Ask answers a question by one or more calls of send, the last of them without More. It returns soon after ctx ends or
	// send fails.
	Ask(ctx context.Context, q control.Ask, send func(control.Answer) error)
}

// Options make a link.
type Options struct {
	Centers []string         // URLs, http or https: the link is TLS either way; at least one
	Join    resources.Secret // a join token, followed each time it is needed; may be empty once there is a certificate
	Dir     string           // of key and certificates; made (0700) if need be
	Name    string           // the agent's
	Local   Local
	Log     *slog.Logger    // nil: nowhere
	Clock   *clock.Followed // the centre's, which the link sets; certificates hold by it. nil: one of the link's own
}

// Status is how the link does. Its times are by the centre's clock, as far as that is known.
type Status struct {
	Connected bool
	URL       string    // of the centre: linked to, or else tried last
	Center    string    // how the centre's process names itself; "" before the first link
	Cluster   string    // likewise its cluster
	Since     time.Time // of Connected, or of its contrary
	Synced    bool      // an Update came over this link: what the agent runs is what the centre says
	Known     time.Time // last time it was so; zero: not yet in this process
	Error     string    // why the last link ended, or could not be made; "" while Connected
	Expires   time.Time // of the certificate; zero: there is none
}

// Link is one agent's link to a centre.
type Link struct {
	opt   Options
	log   *slog.Logger
	id    *identity
	again chan struct{} // Restart was called
	kick  chan struct{} // Kick was called

	mu     sync.Mutex
	status Status // guarded by mu
	off    bool   // guarded by mu: it was said that this machine's clock is not the centre's
}

// New returns a link, which reads its certificate from the disk and does not connect yet. Files that cannot be used are
// said in the log, and then joining anew is what helps; the error is for a folder that cannot be used, or for URLs.
func New(o Options) (*Link, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = &clock.Followed{}
	}
	if len(o.Centers) == 0 {
		return nil, errors.New("a link needs the URL of a centre")
	}
	for _, c := range o.Centers {
		if _, err := address(c); err != nil {
			return nil, err
		}
	}
	id, err := openIdentity(o)
	if err != nil {
		return nil, err
	}
	l := &Link{
		opt: o, log: o.Log, id: id, again: make(chan struct{}, 1), kick: make(chan struct{}, 1),
		status: Status{Since: o.Clock.Now(), Error: "not tried yet"},
	}
	id.hear = l.hear
	return l, nil
}

// address returns host:port of a centre.
func address(center string) (string, error) {
	u, err := url.Parse(center)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("centre %q: not a URL: write http://host:9980", center)
	}
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme]), nil
	}
	return u.Host, nil
}

// Status returns how the link does.
func (l *Link) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status
	s.Expires = l.id.expires()
	return s
}

func (l *Link) set(change func(*Status)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.status)
}

// Restart ends the link and makes it anew at once, so that Hello is said again.
func (l *Link) Restart() {
	select {
	case l.again <- struct{}{}:
	default: // it will
	}
}

// Kick makes the link look at State and Export now and not at the next turn.
func (l *Link) Kick() {
	select {
	case l.kick <- struct{}{}:
	default: // it will
	}
}

// Run keeps the link up until ctx ends. It may be called once.
func (l *Link) Run(ctx context.Context) {
	var renewal sync.WaitGroup
	renewal.Go(func() { l.renew(ctx) })
	defer renewal.Wait()
	var b backoff
	for ctx.Err() == nil {
		lasted, err := l.round(ctx)
		if ctx.Err() != nil {
			break
		}
		if lasted >= steady {
			b.reset()
		}
		l.rest(ctx, b.after(err))
	}
	l.set(func(s *Status) {
		if s.Connected {
			*s = Status{URL: s.URL, Center: s.Center, Cluster: s.Cluster, Known: s.Known, Since: l.opt.Clock.Now(), Error: "the agent stopped"}
		}
	})
}

// round tries the centres in random order until one takes the link, and returns when that link ended and how long it
// lasted, or when none did.
func (l *Link) round(ctx context.Context) (time.Duration, error) {
	var failed error
	for _, i := range rand.Perm(len(l.opt.Centers)) {
		center := l.opt.Centers[i]
		start := time.Now()
		linked, err := l.attempt(ctx, center)
		if ctx.Err() != nil {
			return 0, err
		}
		l.lost(center, linked, err)
		if linked || errors.As(err, new(*byeError)) {
			return time.Since(start), err
		}
		failed = err
	}
	return 0, failed
}

// attempt makes one link and serves it until it ends. linked reports whether it was welcomed.
func (l *Link) attempt(ctx context.Context, center string) (linked bool, err error) {
	if err := l.id.ensure(ctx, center); err != nil {
		return false, err
	}
	s, err := l.open(ctx, center)
	if err != nil {
		l.id.refusedBy(err)
		return false, err
	}
	return s.run(ctx)
}

// lost notes and says why there is no link. The same reason again is said at a lower level.
func (l *Link) lost(center string, linked bool, err error) {
	text := err.Error()
	l.mu.Lock()
	again := !linked && l.status.Error == text
	s := &l.status
	if s.Connected {
		s.Since = l.opt.Clock.Now()
	}
	s.Connected, s.Synced, s.URL, s.Error = false, false, center, text
	l.mu.Unlock()
	level := slog.LevelWarn
	if again || errors.Is(err, errRestart) {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, "no link to the centre", "center", center, "error", text)
}

// rest waits before the next round.
func (l *Link) rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.again:
	case <-ctx.Done():
	}
}

// renew keeps the certificate fresh.
func (l *Link) renew(ctx context.Context) {
	for {
		t := time.NewTimer(l.id.untilRenewal())
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-l.id.changed:
			t.Stop()
			continue
		case <-t.C:
		}
		center := l.opt.Centers[rand.IntN(len(l.opt.Centers))]
		if err := l.id.renew(ctx, center); err != nil && ctx.Err() == nil {
			l.log.Warn("the certificate for the centre could not be renewed yet", "center", center, "expires", l.id.expires(), "error", err)
		}
	}
}

// Times of reconnecting.
const (
	firstWait = 200 * time.Millisecond
	mostWait  = 4 * time.Second  // a centre that is back is found within 5 s
	fatalWait = 5 * time.Minute  // after a Bye that is fatal: somebody has to change something first
	steady    = 10 * time.Second // a link that lasted this long was a good one
)

// backoff decides how long to wait: a random time up to a bound that doubles with each failure ("full jitter"), so that a
// thousand agents do not come back at once.
type backoff struct{ failures int }

func (b *backoff) reset() { b.failures = 0 }

// bound returns the longest wait now.
func (b *backoff) bound() time.Duration {
	if b.failures > 16 {
		return mostWait
	}
	return min(mostWait, firstWait<<b.failures)
}

// after returns the wait after a link that ended with err.
func (b *backoff) after(err error) time.Duration {
	if errors.Is(err, errRestart) {
		return 0
	}
	bound, least := b.bound(), time.Duration(0)
	b.failures++
	var bye *byeError
	if errors.As(err, &bye) {
		least = max(0, min(time.Duration(bye.Retry), fatalWait))
		if bye.Fatal {
			least = fatalWait
		}
		bound = max(bound, least/4)
	}
	return least + rand.N(bound)
}

// errRestart ends a link that is wanted anew.
var errRestart = errors.New("the agent says hello again")

// byeError is a centre that closed the link and said why.
type byeError struct{ control.Bye }

func (e *byeError) Error() string {
	why := strings.TrimSpace(e.Why)
	if why == "" {
		why = "no reason given"
	}
	return "the centre closed the link: " + why
}
