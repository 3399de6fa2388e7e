package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// Agent is a simulated agent. Set the fields before the first Run.
type Agent struct {
	Hello control.Hello // Have is kept by the agent; Protocol, Boot and Kinds are filled in when they are empty
	Dial  func(ctx context.Context) (net.Conn, error)

	Refuse  func(r *control.Resource) (path, why string) // why "": it is taken; nil: all is
	Hold    func(u *control.Update)                      // called before an update is answered
	Answer  func(ask control.Ask, send func(control.Answer) error) error
	State   func(resources map[string]string) *control.State // by name and hash; nil, or what it returns is: none is sent
	Updated func(u *control.Update)                          // called after an update is answered
	Report  func() []byte                                    // sent as often as the centre says; nil: none
	News    func() *control.State                            // asked for beside each report; nil, or what it returns is: none is sent

	// Parse and Hash take the place of encoding/json and control.Hash: a thousand agents in one process need not work out
	// the same thing a thousand times.
	Parse func(payload []byte) (*control.Update, error)
	Hash  func(spec []byte) string

	mu        sync.Mutex
	resources map[string]string // name -> hash
	commands  map[string]string // id and resource -> JSON
	seen      Seen
}

// Seen is what an agent got so far.
type Seen struct {
	Links, Updates, Fulls, Resources int
	Bytes                            int64
	Report                           time.Duration // between reports, as told last
}

// ByeError is how a link ended that the centre closed.
type ByeError struct{ control.Bye }

func (e *ByeError) Error() string { return "the centre said goodbye: " + e.Why }

// Seen returns what the agent got so far.
func (a *Agent) Seen() Seen {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen
}

// Revision returns the revision that the agent is at.
func (a *Agent) Revision() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.Hello.Have.Revision
}

// Resources returns the hashes of what is in force.
func (a *Agent) Resources() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.resources)
}

// Commands returns the commands in force by "id resource".
func (a *Agent) Commands() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.commands)
}

// Keep runs one link after another until ctx ends or the centre says that it is of no use.
func (a *Agent) Keep(ctx context.Context) error {
	for ctx.Err() == nil {
		err := a.Run(ctx)
		wait := 50 * time.Millisecond
		var bye *ByeError
		if errors.As(err, &bye) {
			if bye.Fatal {
				return err
			}
			wait = max(wait, time.Duration(bye.Retry))
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait)):
		}
	}
	return ctx.Err()
}

// session is one link.
type session struct {
	a    *Agent
	conn net.Conn

	mu     sync.Mutex // writes
	buf    []byte
	cancel map[uint64]context.CancelFunc
}

// Run runs one link until it ends, and says why.
func (a *Agent) Run(ctx context.Context) error {
	conn, err := a.Dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer conn.Close()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()

	s := &session{a: a, conn: conn, cancel: make(map[uint64]context.CancelFunc)}
	if err := s.send(control.TypeHello, a.hello()); err != nil {
		return err
	}
	r := control.NewReader(conn, control.MaxToAgent)
	welcome, err := s.welcome(r)
	if err != nil {
		return err
	}
	reports := make(chan time.Duration, 1)
	reports <- time.Duration(welcome.Report)
	heartbeat := time.Duration(welcome.Heartbeat)
	helpers.Go(func() { s.beat(ctx, heartbeat, reports) })
	a.mu.Lock()
	if welcome.Cluster != a.Hello.Have.Cluster {
		a.Hello.Have = control.Have{Cluster: welcome.Cluster}
	}
	a.seen.Links++
	a.seen.Report = time.Duration(welcome.Report)
	a.mu.Unlock()
	for {
		if err := conn.SetReadDeadline(time.Now().Add(3 * heartbeat)); err != nil {
			return err
		}
		t, payload, err := r.Next()
		if err != nil {
			return err
		}
		if err := s.frame(ctx, &helpers, t, payload, reports); err != nil {
			return err
		}
	}
}

func (a *Agent) hello() *control.Hello {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := &a.Hello
	if h.Protocol == 0 {
		h.Protocol = control.Version
	}
	if h.Boot == "" {
		h.Boot = fmt.Sprintf("%016x", rand.Uint64())
	}
	if h.Started == 0 {
		h.Started = time.Now().UnixMilli()
	}
	if h.Kinds == nil {
		h.Kinds = []string{"redis"}
	}
	copied := *h
	if copied.Now == 0 {
		copied.Now = time.Now().UnixMilli()
	}
	return &copied
}

func (s *session) welcome(r *control.Reader) (*control.Welcome, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, err
	}
	t, payload, err := r.Next()
	if err != nil {
		return nil, err
	}
	switch t {
	case control.TypeWelcome:
		w := new(control.Welcome)
		return w, json.Unmarshal(payload, w)
	case control.TypeBye:
		return nil, byeOf(payload)
	}
	return nil, fmt.Errorf("the first frame is %v", t)
}

func byeOf(payload []byte) error {
	bye := new(ByeError)
	if err := json.Unmarshal(payload, &bye.Bye); err != nil {
		return err
	}
	return bye
}

// beat pings and reports.
func (s *session) beat(ctx context.Context, heartbeat time.Duration, reports <-chan time.Duration) {
	ping := time.NewTicker(heartbeat)
	defer ping.Stop()
	report := time.NewTicker(time.Hour)
	defer report.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case d := <-reports:
			report.Reset(d)
		case <-ping.C:
			err = s.send(control.TypePing, control.Clock{Now: time.Now().UnixMilli()})
		case <-report.C:
			err = s.report()
		}
		if err != nil {
			s.conn.Close()
			return
		}
	}
}

// report sends what there is to say when a report is due.
func (s *session) report() error {
	if s.a.Report != nil {
		if err := s.raw(control.TypeReport, s.a.Report()); err != nil {
			return err
		}
	}
	if s.a.News == nil {
		return nil
	}
	if state := s.a.News(); state != nil {
		return s.send(control.TypeState, state)
	}
	return nil
}

func (s *session) send(t control.Type, message any) error {
	payload, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return s.raw(t, payload)
}

func (s *session) raw(t control.Type, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf = control.AppendFrame(s.buf[:0], t, payload)
	if err := s.conn.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	_, err := s.conn.Write(s.buf)
	if cap(s.buf) > 16<<10 {
		s.buf = nil
	}
	return err
}

func (s *session) frame(ctx context.Context, helpers *sync.WaitGroup, t control.Type, payload []byte, reports chan time.Duration) error {
	s.a.mu.Lock()
	s.a.seen.Bytes += int64(len(payload))
	s.a.mu.Unlock()
	switch t {
	case control.TypeUpdate:
		u, err := s.a.parse(payload)
		if err != nil {
			return fmt.Errorf("update: %w", err)
		}
		return s.update(u)
	case control.TypeBye:
		return byeOf(payload)
	case control.TypeTune:
		var m control.Tune
		if err := json.Unmarshal(payload, &m); err != nil {
			return err
		}
		s.a.mu.Lock()
		s.a.seen.Report = time.Duration(m.Report)
		s.a.mu.Unlock()
		select {
		case <-reports: // the one before, if nobody took it
		default:
		}
		reports <- time.Duration(m.Report) // there is room: only this goroutine sends
	case control.TypeAsk:
		return s.ask(ctx, helpers, payload)
	case control.TypeCancel:
		var m control.Cancel
		if err := json.Unmarshal(payload, &m); err != nil {
			return err
		}
		if cancel := s.cancel[m.ID]; cancel != nil {
			cancel()
			delete(s.cancel, m.ID)
		}
	}
	return nil
}

func (a *Agent) parse(payload []byte) (*control.Update, error) {
	if a.Parse != nil {
		return a.Parse(payload)
	}
	u := new(control.Update)
	return u, json.Unmarshal(payload, u)
}

func (a *Agent) hash(spec []byte) string {
	if a.Hash != nil {
		return a.Hash(spec)
	}
	return control.Hash(spec)
}

// ask answers in a goroutine of the link.
func (s *session) ask(ctx context.Context, helpers *sync.WaitGroup, payload []byte) error {
	var ask control.Ask
	if err := json.Unmarshal(payload, &ask); err != nil {
		return err
	}
	if s.a.Answer == nil {
		return s.send(control.TypeAnswer, control.Answer{ID: ask.ID, Status: 404})
	}
	ctx, cancel := context.WithCancel(ctx)
	s.cancel[ask.ID] = cancel
	helpers.Go(func() {
		defer cancel()
		err := s.a.Answer(ask, func(answer control.Answer) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			answer.ID = ask.ID
			return s.send(control.TypeAnswer, answer)
		})
		if err != nil && ctx.Err() == nil {
			s.conn.Close()
		}
	})
	return nil
}

// update keeps what was sent and answers it.
func (s *session) update(u *control.Update) error {
	a := s.a
	if a.Hold != nil {
		a.Hold(u)
	}
	a.mu.Lock()
	r := a.apply(u)
	a.Hello.Have.Revision = u.Revision
	a.seen.Updates++
	a.seen.Resources += len(u.Resources)
	if u.Full {
		a.seen.Fulls++
	}
	var resources map[string]string
	if a.State != nil {
		resources = maps.Clone(a.resources)
	}
	a.mu.Unlock()
	if err := s.send(control.TypeResult, r); err != nil {
		return err
	}
	if a.Updated != nil {
		a.Updated(u)
	}
	if a.State == nil {
		return nil
	}
	if state := a.State(resources); state != nil {
		return s.send(control.TypeState, state)
	}
	return nil
}

// apply brings an update into force, all but what Refuse names. Call with mu held.
func (a *Agent) apply(u *control.Update) *control.Result {
	if u.Full || a.resources == nil {
		kept := a.resources
		a.resources, a.commands = make(map[string]string), make(map[string]string)
		for _, x := range u.Resources { // what is refused below stays as it was
			if h, ok := kept[x.Name]; ok {
				a.resources[x.Name] = h
			}
		}
	}
	r := &control.Result{Revision: u.Revision}
	for i := range u.Resources {
		x := &u.Resources[i]
		line := control.Line{Resource: x.Name, Hash: a.hash(x.Spec)}
		if line.Hash != x.Hash {
			line.Path, line.Error = "hash", fmt.Sprintf("the spec's hash is %s, not %s", line.Hash, x.Hash)
		} else if a.Refuse != nil {
			line.Path, line.Error = a.Refuse(x)
		}
		if line.Error != "" {
			line.Hash = a.resources[x.Name]
		} else {
			a.resources[x.Name] = x.Hash
		}
		r.Lines = append(r.Lines, line)
	}
	for _, name := range u.Removed {
		delete(a.resources, name)
		r.Lines = append(r.Lines, control.Line{Resource: name})
	}
	for _, id := range u.Undone {
		for key := range a.commands {
			if len(key) > len(id) && key[:len(id)+1] == id+" " {
				delete(a.commands, key)
			}
		}
		r.Lines = append(r.Lines, control.Line{Command: id})
	}
	for _, text := range u.Commands {
		var c struct{ ID, Resource string }
		line := control.Line{}
		if err := json.Unmarshal(text, &c); err != nil {
			line.Error = err.Error()
		}
		line.Command, line.Resource = c.ID, c.Resource
		a.commands[c.ID+" "+c.Resource] = string(text)
		r.Lines = append(r.Lines, line)
	}
	return r
}
