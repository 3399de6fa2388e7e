package peers

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/protocols/control"
)

// Peers are the other centres of this one's store. It implements fleet.Elsewhere. Make it with New; it does nothing before Start.
type Peers struct {
	o     Options
	fleet *fleet.Fleet // set by Start
	boot  string       // of this process
	log   *reports

	life context.Context
	stop context.CancelFunc
	done sync.WaitGroup

	mu       sync.Mutex
	revision int64
	records  map[string]noted // of all centres, by name
	peers    map[string]*peer // of the others
	tellers  map[string]*teller
	started  bool // it is known which centres there are
	closed   bool
	resume   map[string]heard // what an earlier process of this centre heard
}

// heard is how far the reports of another centre came.
type heard struct {
	cursor
	At time.Time `json:"at"` // until then nothing is missing
}

var _ fleet.Elsewhere = (*Peers)(nil)

// New makes peers of a centre.
func New(o Options) *Peers {
	o.fill()
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	p := &Peers{o: o, boot: hex.EncodeToString(b), log: newReports(o.MaxLog, o.Keep), records: map[string]noted{}, peers: map[string]*peer{}, tellers: map[string]*teller{}}
	p.life, p.stop = context.WithCancel(context.Background())
	return p
}

// Start writes down where this centre is, and begins to look for the others. ctx bounds the first questions to the store alone.
func (p *Peers) Start(ctx context.Context, f *fleet.Fleet) error {
	p.mu.Lock()
	p.fleet = f
	p.mu.Unlock()
	var err error
	if p.resume, err = takeHeard(p.o.File); err != nil {
		p.o.Log.Warn("what was heard of the other centres before is not known", "error", err)
	}
	began := time.Now()
	if err := p.register(ctx); err != nil {
		return err
	}
	follower := store.Follower{Store: p.o.Store, Prefix: prefix, Known: p.known, Apply: p.apply, What: "the other centres", Log: p.o.Log}
	if err := follower.List(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	p.started = true
	alone := len(p.peers) == 0
	p.mu.Unlock()
	// This process is the first one, or the one before was killed. Of a mesh that begins with it nothing is missing.
	if p.resume == nil && !(alone && p.o.Kept.IsZero()) {
		p.o.OnMissing(p.o.Kept, began)
	}
	p.done.Go(func() { follower.Follow(p.life) })
	p.done.Go(func() { p.look(p.life) })
	return nil
}

// Close says goodbye to the other centres, waits for all goroutines, and keeps what was heard.
func (p *Peers) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	tellers := slices.Collect(maps.Values(p.tellers))
	p.mu.Unlock()
	for _, t := range tellers {
		t.leave()
	}
	p.stop()
	p.done.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fleet == nil {
		return nil
	}
	return keepHeard(p.o.File, p.heard())
}

// heard returns how far the reports of each centre came. mu is held.
func (p *Peers) heard() map[string]heard {
	out := map[string]heard{}
	for name, one := range p.peers {
		one.mu.Lock()
		if one.heard.Boot != "" {
			out[name] = one.heard
		}
		one.mu.Unlock()
	}
	return out
}

// takeHeard reads what keepHeard wrote, once: a process that is killed leaves nothing. nil: there is nothing.
func takeHeard(file string) (map[string]heard, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file); err != nil {
		return nil, err
	}
	var out map[string]heard
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if out == nil {
		out = map[string]heard{}
	}
	return out, nil
}

func keepHeard(file string, h map[string]heard) error {
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return fmt.Errorf("what was heard of the other centres is lost: %w", err)
	}
	return nil
}

// Report passes on what an agent that is linked here reported. The payload is copied.
func (p *Peers) Report(a *fleet.Agent, payload []byte, at time.Time) {
	p.log.add(&report{at: at, agent: a.Name, application: a.Application, idc: a.IDC, payload: slices.Clone(payload)})
}

// Tune implements fleet.Elsewhere.
func (p *Peers) Tune(d, ttl time.Duration) {
	b, err := frame(typeTune, tune{Report: int64(d), For: int64(ttl)})
	if err != nil {
		return // two numbers have a JSON form
	}
	for _, one := range p.all() {
		if l := one.standing(); l != nil {
			l.post(b)
		}
	}
}

// all returns the other centres by name.
func (p *Peers) all() []*peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]*peer, 0, len(p.peers))
	for _, name := range slices.Sorted(maps.Keys(p.peers)) {
		out = append(out, p.peers[name])
	}
	return out
}

// Center is what is known of another centre.
type Center struct {
	Name    string     `json:"name"`
	Address string     `json:"address"`
	Gone    bool       `json:"gone,omitempty"`  // the store says that it does not live
	Heard   bool       `json:"heard"`           // what is known of its agents is current
	Since   *time.Time `json:"since,omitempty"` // neither gone nor heard: what is known is of then; never: nothing is
	Why     string     `json:"why,omitempty"`
}

// Centers returns the other centres by name.
func (p *Peers) Centers() []Center {
	var out []Center
	for _, one := range p.all() {
		out = append(out, one.center(time.Now()))
	}
	return out
}

// Whole returns nil when the agents of all centres are known as they are now, else whose are not.
func (p *Peers) Whole() error {
	p.mu.Lock()
	started := p.started
	p.mu.Unlock()
	if !started {
		return errors.New("this centre has not looked for others yet")
	}
	for _, c := range p.Centers() {
		switch {
		case c.Gone || c.Heard:
		case c.Since == nil:
			return fmt.Errorf("centre %s was not heard yet: %s", c.Name, c.Why)
		default:
			return fmt.Errorf("centre %s was not heard since %s: %s", c.Name, c.Since.UTC().Format(time.RFC3339), c.Why)
		}
	}
	return nil
}

// reach returns the link to a centre.
func (p *Peers) reach(center string) (*link, error) {
	p.mu.Lock()
	one := p.peers[center]
	p.mu.Unlock()
	if one != nil {
		if l := one.standing(); l != nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("centre %s cannot be asked: %w", center, fleet.ErrAway)
}

// Ask implements fleet.Elsewhere.
func (p *Peers) Ask(ctx context.Context, center, agent string, q control.Ask) (control.Answer, error) {
	l, err := p.reach(center)
	if err != nil {
		return control.Answer{}, fmt.Errorf("agent %s: %w", agent, err)
	}
	return l.whole(ctx, ask{Agent: agent, Ask: q})
}

// AskStream implements fleet.Elsewhere.
func (p *Peers) AskStream(ctx context.Context, center, agent string, q control.Ask) (<-chan control.Answer, error) {
	l, err := p.reach(center)
	if err != nil {
		return nil, fmt.Errorf("agent %s: %w", agent, err)
	}
	return l.stream(ctx, ask{Agent: agent, Ask: q, Stream: true})
}

// AskCenter puts a question to another centre, which its Options.Answer answers.
func (p *Peers) AskCenter(ctx context.Context, center, path string, body []byte) ([]byte, error) {
	l, err := p.reach(center)
	if err != nil {
		return nil, err
	}
	a, err := l.whole(ctx, ask{Ask: control.Ask{Path: path, Body: body}})
	return a.Body, err
}
