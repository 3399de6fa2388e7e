package link

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// Times within a session.
const (
	defaultHeartbeat = 5 * time.Second
	defaultReport    = 10 * time.Second
	lookEvery        = time.Second // at State and Export
	missed           = 3           // heartbeats without a byte, after which the link is given up
	goodbye          = 2 * time.Second
)

// Sizes of what waits. Beyond them whoever adds waits too, and in the end the centre.
const (
	maxUpdates = 2
	maxResults = 4
	maxAnswers = 16
)

// session is one connection that became a link.
type session struct {
	l       *Link
	center  string
	conn    *tls.Conn
	raw     net.Conn // below it: closing it wakes whoever reads or writes
	in      *patient
	frames  *control.Reader
	welcome control.Welcome

	updates chan *control.Update
	results chan []byte // frames
	answers chan []byte // frames
	report  atomic.Int64
	pinged  atomic.Pointer[time.Time] // the last time
	tuned   chan struct{}

	asking sync.Mutex
	asks   map[uint64]*question // guarded by asking

	// Of the writer alone.
	out      []byte
	exported []byte // payload of the last Export
}

func newSession(l *Link, center string, conn *tls.Conn, raw net.Conn, in *bufio.Reader) *session {
	p := &patient{conn: conn, in: in, quiet: helloTimeout}
	s := &session{
		l: l, center: center, conn: conn, raw: raw, in: p, frames: control.NewReader(p, control.MaxToAgent),
		updates: make(chan *control.Update, maxUpdates), results: make(chan []byte, maxResults), answers: make(chan []byte, maxAnswers),
		tuned: make(chan struct{}, 1), asks: map[uint64]*question{},
	}
	s.pinged.Store(new(time.Time)) // long ago
	return s
}

// run serves the link until it ends. The error says why it did.
func (s *session) run(ctx context.Context) (welcomed bool, err error) {
	defer s.raw.Close()
	if err := s.greet(ctx); err != nil {
		return false, err
	}
	now := s.l.opt.Clock.Now()
	s.l.set(func(st *Status) {
		*st = Status{Connected: true, URL: s.center, Center: s.welcome.Center, Cluster: s.welcome.Cluster, Since: now, Known: st.Known}
	})
	s.l.log.Info("linked to the centre", "center", s.center, "name", s.welcome.Center, "cluster", s.welcome.Cluster)

	inner, end := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(inner, func() { s.raw.Close() })
	defer stop()
	var all sync.WaitGroup
	all.Go(func() { end(s.read(inner, &all)) })
	all.Go(func() { end(s.apply(inner)) })
	all.Go(func() { end(s.write(ctx, inner)) })
	all.Wait()
	return true, context.Cause(inner)
}

// greet says hello and hears who the centre is.
func (s *session) greet(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.raw.Close() })
	defer stop()
	hello := s.l.opt.Local.Hello()
	asked := time.Now()
	hello.Protocol, hello.Now = control.Version, asked.UnixMilli()
	frame, err := control.AppendMessage(nil, control.TypeHello, &hello, control.MaxToCenter)
	if err != nil {
		return err
	}
	if err := s.send(frame); err != nil {
		return err
	}
	s.in.until = time.Now().Add(helloTimeout)
	t, payload, err := s.frames.Next()
	if err != nil {
		return fmt.Errorf("waiting for Welcome: %w", err)
	}
	switch t {
	case control.TypeWelcome:
		if err := control.Decode(t, payload, &s.welcome); err != nil {
			return err
		}
	case control.TypeBye:
		return byeOf(payload)
	default:
		return fmt.Errorf("the centre began with %s and not with Welcome", t)
	}
	if s.welcome.Protocol != control.Version {
		return fmt.Errorf("the centre speaks version %d of the protocol and this agent %d: use programs of the same version", s.welcome.Protocol, control.Version)
	}
	s.l.hear(s.welcome.Now, asked)
	s.report.Store(s.welcome.Report)
	s.in.quiet = missed * s.heartbeat()
	return nil
}

func (s *session) heartbeat() time.Duration {
	if s.welcome.Heartbeat <= 0 {
		return defaultHeartbeat
	}
	return min(max(time.Duration(s.welcome.Heartbeat), 20*time.Millisecond), time.Minute)
}

func (s *session) reportEvery() time.Duration {
	if n := s.report.Load(); n > 0 {
		return min(max(time.Duration(n), 100*time.Millisecond), 10*time.Minute)
	}
	return defaultReport
}

func byeOf(payload []byte) error {
	bye := &byeError{}
	if err := control.Decode(control.TypeBye, payload, &bye.Bye); err != nil {
		return err
	}
	return bye
}

// read takes frames until the link ends. It waits while the applier is behind.
func (s *session) read(ctx context.Context, all *sync.WaitGroup) error {
	for {
		s.in.until = time.Now().Add(s.in.quiet + frameTimeout)
		t, payload, err := s.frames.Next()
		if err != nil {
			return fmt.Errorf("the link broke: %w", err)
		}
		switch t {
		case control.TypeUpdate:
			u := &control.Update{}
			if err := control.Decode(t, payload, u); err != nil {
				return err
			}
			select {
			case s.updates <- u:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		case control.TypeAsk:
			var q control.Ask
			if err := control.Decode(t, payload, &q); err != nil {
				return err
			}
			if err := s.ask(ctx, q, all); err != nil {
				return err
			}
		case control.TypeCancel:
			var c control.Cancel
			if err := control.Decode(t, payload, &c); err != nil {
				return err
			}
			s.cancel(c.ID)
		case control.TypeTune:
			var tune control.Tune
			if err := control.Decode(t, payload, &tune); err != nil {
				return err
			}
			s.report.Store(tune.Report)
			poke(s.tuned)
		case control.TypePong:
			c, err := control.DecodeClock(t, payload)
			if err != nil {
				return err
			}
			s.l.hear(c.Now, *s.pinged.Load())
		case control.TypeBye:
			return byeOf(payload)
		} // of what is not known nothing is asked
		now := s.l.opt.Clock.Now()
		s.l.set(func(st *Status) {
			if st.Synced {
				st.Known = now
			}
		})
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// apply brings updates into force, one after the other.
func (s *session) apply(ctx context.Context) error {
	for {
		select {
		case u := <-s.updates:
			r, err := s.l.opt.Local.Apply(ctx, s.welcome.Cluster, u)
			if err != nil {
				return fmt.Errorf("%s %d: %w", control.TypeUpdate, u.Revision, err)
			}
			frame, err := control.AppendMessage(nil, control.TypeResult, &r, control.MaxToCenter)
			if err != nil {
				return err
			}
			s.l.set(func(st *Status) { st.Synced, st.Known = true, s.l.opt.Clock.Now() })
			select {
			case s.results <- frame:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			s.l.Kick() // the state is another one now
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// write sends what waits, and what it is time for, until inner ends. When outer ends it sends a last State and Report.
func (s *session) write(outer, inner context.Context) error {
	beat := time.NewTicker(s.heartbeat())
	defer beat.Stop()
	report := time.NewTicker(s.reportEvery())
	defer report.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	err := s.look(true)
	for err == nil {
		select {
		case frame := <-s.results:
			err = s.send(frame)
		case frame := <-s.answers:
			err = s.send(frame)
		case <-beat.C:
			err = s.ping()
		case <-report.C:
			err = s.sendReport()
		case <-s.tuned:
			report.Reset(s.reportEvery())
		case <-look.C:
			err = s.look(false)
		case <-s.l.kick:
			err = s.look(false)
		case <-s.l.again:
			return errRestart
		case <-outer.Done():
			s.leave()
			return errors.New("the agent stops")
		case <-inner.Done():
			return context.Cause(inner)
		}
	}
	return err
}

// ping says that the agent is there, and what its clock shows.
func (s *session) ping() error {
	now := time.Now()
	s.pinged.Store(&now)
	return s.message(control.TypePing, &control.Clock{Now: now.UnixMilli()})
}

// leave sends what would be lost.
func (s *session) leave() {
	cut := time.AfterFunc(goodbye, func() { s.raw.Close() })
	defer cut.Stop()
	if s.look(false) == nil && s.sendReport() == nil { // else the centre may be gone too
		_ = s.conn.CloseWrite()
	}
}

// look sends State and Export where they changed.
func (s *session) look(full bool) error {
	if st := s.l.opt.Local.State(full); st != nil {
		if err := s.message(control.TypeState, st); err != nil {
			return err
		}
	}
	e := s.l.opt.Local.Export()
	if e == nil {
		return nil
	}
	frame, err := control.AppendMessage(nil, control.TypeExport, e, control.MaxToCenter)
	if err != nil || bytes.Equal(frame, s.exported) {
		return s.dropLarge(err)
	}
	s.exported = frame
	return s.send(frame)
}

// message sends a message.
func (s *session) message(t control.Type, m any) error {
	frame, err := control.AppendMessage(s.out[:0], t, m, control.MaxToCenter)
	if err != nil {
		return s.dropLarge(err)
	}
	s.out = frame
	return s.send(frame)
}

// dropLarge makes a message that is too large one that is left out, and said so.
func (s *session) dropLarge(err error) error {
	if !errors.Is(err, control.ErrTooLarge) {
		return err
	}
	s.l.log.Error("the centre does not hear of this", "error", err)
	return nil
}

func (s *session) sendReport() error {
	frame := control.AppendFrame(s.out[:0], control.TypeReport, nil)
	head := len(frame)
	frame = s.l.opt.Local.Report(frame)
	s.out = frame
	size := len(frame) - head
	if size == 0 {
		return nil
	}
	if size > control.MaxToCenter {
		return s.dropLarge(fmt.Errorf("%s of %d bytes is %w", control.TypeReport, size, control.ErrTooLarge))
	}
	control.SetLength(frame)
	return s.send(frame)
}

// send writes a frame.
func (s *session) send(frame []byte) error {
	s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := s.conn.Write(frame); err != nil {
		return fmt.Errorf("sending to the centre: %w", err)
	}
	return nil
}
