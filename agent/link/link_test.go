package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/agent/link/linktest"
	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// life is that of certificates whose last third a busy machine does not miss.
const life = 9 * time.Second

// heartbeat is one that a busy machine does not miss three times in a row.
const heartbeat = 700 * time.Millisecond

// local is an agent that remembers.
type local struct {
	mu      sync.Mutex
	have    control.Have
	updates []uint64
	states  int
	reports int
	export  *control.Export
	fail    error         // of Apply
	hold    chan struct{} // Apply waits for it
}

func (l *local) Hello() control.Hello {
	l.mu.Lock()
	defer l.mu.Unlock()
	return control.Hello{Name: "web-1", Application: "web", Wants: []string{"cache"}, Have: l.have}
}

func (l *local) Apply(ctx context.Context, cluster string, u *control.Update) (control.Result, error) {
	l.mu.Lock()
	hold := l.hold
	l.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return control.Result{}, l.fail
	}
	l.updates = append(l.updates, u.Revision)
	l.have = control.Have{Cluster: cluster, Revision: u.Revision}
	r := control.Result{Revision: u.Revision}
	for _, res := range u.Resources {
		r.Lines = append(r.Lines, control.Line{Resource: res.Name, Hash: res.Hash})
	}
	return r, nil
}

func (l *local) State(full bool) *control.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.states++
	if !full {
		return nil
	}
	return &control.State{Full: full, Ready: true}
}

func (l *local) Report(dst []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reports++
	return fmt.Appendf(dst, "report %d", l.reports)
}

func (l *local) Export() *control.Export {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.export
}

func (l *local) Ask(ctx context.Context, q control.Ask, send func(control.Answer) error) {
	if q.Path == "/v1/observe" {
		for i := 0; send(control.Answer{Status: 200, Body: fmt.Appendf(nil, "event %d", i), More: true}) == nil; i++ {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Millisecond):
			}
		}
		return
	}
	send(control.Answer{Status: 200, Body: []byte(q.Method + " " + q.Path)})
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// rig is a link to a centre under test.
type rig struct {
	*Link
	t      *testing.T
	local  *local
	center *linktest.Center
	dir    string
	log    *buffer
	stop   func()
}

func center(t *testing.T) *linktest.Center {
	t.Helper()
	c, err := linktest.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}

func secret(t *testing.T, text string) resources.Secret {
	t.Helper()
	s, err := resources.NewSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start runs a link until the test ends or stop is called. Centres beside c are others.
func start(t *testing.T, c *linktest.Center, dir, token string, others ...string) *rig {
	t.Helper()
	return startAt(t, c, dir, token, nil, others...)
}

// startAt is start with a clock.
func startAt(t *testing.T, c *linktest.Center, dir, token string, at *clock.Followed, others ...string) *rig {
	t.Helper()
	r := &rig{t: t, local: &local{}, center: c, dir: dir, log: &buffer{}}
	var err error
	r.Link, err = New(Options{Centers: append([]string{c.URL()}, others...), Join: secret(t, token), Dir: dir, Name: "web-1", Local: r.local, Clock: at,
		Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	r.stop = func() { cancel(); <-done }
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Log(r.log.String())
		}
		if strings.Contains(r.log.String(), "s3cret") {
			t.Error("the token's secret is in the log")
		}
	})
	return r
}

func accept(t *testing.T, c *linktest.Center) *linktest.Conn {
	t.Helper()
	conn, err := c.Accept(patience)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("not in time: %s; status %+v", what, r.Status())
		}
	}
}

func TestJoinLinkAndApply(t *testing.T) {
	c := center(t)
	r := start(t, c, t.TempDir(), c.Token())
	conn := accept(t, c)
	if conn.Agent != "web-1" || conn.Hello.Protocol != control.Version || conn.Hello.Name != "web-1" || !reflect.DeepEqual(conn.Hello.Wants, []string{"cache"}) {
		t.Errorf("certificate of %q, hello %+v", conn.Agent, conn.Hello)
	}
	var state control.State
	if err := conn.Receive(control.TypeState, &state, patience); err != nil || !state.Full {
		t.Errorf("first state %+v, %v", state, err)
	}
	if s := r.Status(); !s.Connected || s.Synced || s.URL != c.URL() || s.Center != "center-1" || s.Cluster != "cluster-1" || s.Error != "" || time.Until(s.Expires) < 50*time.Minute {
		t.Errorf("status %+v", s)
	}
	res, err := conn.Update(&control.Update{Revision: 7, Full: true, Resources: []control.Resource{{Name: "cache", Hash: "h"}}}, patience)
	if err != nil || !reflect.DeepEqual(res.Lines, []control.Line{{Resource: "cache", Hash: "h"}}) {
		t.Errorf("%+v %v", res, err)
	}
	if s := r.Status(); !s.Synced || s.Known.IsZero() {
		t.Errorf("status %+v", s)
	}
	for _, name := range []string{keyFile, certFile, caFile} {
		st, err := os.Stat(filepath.Join(r.dir, name))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, st, err)
		}
	}
	r.stop()
	if s := r.Status(); s.Connected || s.Synced || s.Known.IsZero() {
		t.Errorf("after the end: %+v", s)
	}
	if _, err := conn.Next(control.TypeReport, patience); err != nil {
		t.Errorf("the last report: %v", err)
	}

	// The certificate outlives the process, and no token is needed.
	start(t, c, r.dir, "")
	accept(t, c)
	if n := c.Requests(control.PathJoin); n != 1 {
		t.Errorf("joined %d times", n)
	}
}

func TestReconnectsAndResumesByRevision(t *testing.T) {
	c := center(t)
	r := start(t, c, t.TempDir(), c.Token())
	conn := accept(t, c)
	if conn.Hello.Have != (control.Have{}) {
		t.Errorf("first: %+v", conn.Hello.Have)
	}
	if _, err := conn.Update(&control.Update{Revision: 5, Full: true}, patience); err != nil {
		t.Fatal(err)
	}
	c.Stop()
	r.until("the loss is noted", func() bool { s := r.Status(); return !s.Connected && s.Error != "" && !s.Known.IsZero() })
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	conn = accept(t, c)
	if conn.Hello.Have != (control.Have{Cluster: "cluster-1", Revision: 5}) {
		t.Errorf("again: %+v", conn.Hello.Have)
	}
	r.Restart()
	accept(t, c) // at once
}

func TestOneOfSeveralCentresIsEnough(t *testing.T) {
	dead, c := center(t), center(t)
	dead.Stop()
	start(t, c, t.TempDir(), c.Token(), dead.URL())
	accept(t, c)
}

func TestASilentCentreIsGivenUp(t *testing.T) {
	c := center(t)
	c.Heartbeat = heartbeat
	r := start(t, c, t.TempDir(), c.Token())
	conn := accept(t, c)
	r.until("pings", func() bool { return conn.Pings() > 2 })
	conn.Mute.Store(true)
	accept(t, c)
	if !strings.Contains(r.log.String(), "nothing came from the centre for "+(3*heartbeat).String()) {
		t.Error(r.log)
	}
}

func TestByeIsRespected(t *testing.T) {
	c := center(t)
	r := start(t, c, t.TempDir(), c.Token())
	conn := accept(t, c)
	begun := time.Now()
	if err := conn.Send(control.TypeBye, &control.Bye{Why: "this centre stops", Retry: (400 * time.Millisecond).Nanoseconds()}); err != nil {
		t.Fatal(err)
	}
	r.until("its words", func() bool { return r.Status().Error == "the centre closed the link: this centre stops" })
	conn = accept(t, c)
	if took := time.Since(begun); took < 400*time.Millisecond {
		t.Errorf("back after %s", took)
	}
	if err := conn.Send(control.TypeBye, &control.Bye{Why: "another agent has this name", Fatal: true}); err != nil {
		t.Fatal(err)
	}
	r.until("its words", func() bool { return strings.Contains(r.Status().Error, "another agent has this name") })
	if _, err := c.Accept(500 * time.Millisecond); err == nil {
		t.Error("a fatal Bye is asked again at once")
	}
	r.Restart() // somebody changed something
	accept(t, c)
}

func TestARefusedLinkSaysWhy(t *testing.T) {
	c := center(t)
	c.Refuse = "this centre is being restored"
	r := start(t, c, t.TempDir(), c.Token())
	r.until("its words", func() bool { return strings.Contains(r.Status().Error, "(503): this centre is being restored") })
}

func TestWhatCannotBeUnderstoodEndsTheLink(t *testing.T) {
	c := center(t)
	r := start(t, c, t.TempDir(), c.Token())
	for name, frame := range map[string][]byte{
		"no JSON":   control.AppendFrame(nil, control.TypeUpdate, []byte("{")),
		"too large": []byte("\xff\xff\xff\xff\x82"),
		"no type":   []byte("\x00\x00\x00\x00\x82"),
	} {
		conn := accept(t, c)
		conn.SendRaw(frame)
		select {
		case <-conn.Ended:
		case <-time.After(patience):
			t.Errorf("%s: the link stands", name)
		}
	}
	conn := accept(t, c)
	conn.SendRaw(control.AppendFrame(nil, 200, []byte("of a later version"))) // ignored
	if _, err := conn.Update(&control.Update{Revision: 1}, patience); err != nil {
		t.Error(err)
	}
	r.local.mu.Lock()
	r.local.fail = errors.New("of another cluster")
	r.local.mu.Unlock()
	conn.Send(control.TypeUpdate, &control.Update{Revision: 2})
	accept(t, c)
	if !strings.Contains(r.log.String(), "Update 2: of another cluster") {
		t.Error(r.log)
	}
}

func TestReportsComeAtTheirIntervalAndItCanBeTuned(t *testing.T) {
	c := center(t)
	c.Report = time.Hour
	start(t, c, t.TempDir(), c.Token())
	conn := accept(t, c)
	if _, err := conn.Next(control.TypeReport, 300*time.Millisecond); err == nil {
		t.Error("a report before its time")
	}
	if err := conn.Send(control.TypeTune, &control.Tune{Report: (100 * time.Millisecond).Nanoseconds()}); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < 4; i++ {
		got, err := conn.Next(control.TypeReport, patience)
		if err != nil || string(got) != fmt.Sprintf("report %d", i) {
			t.Errorf("%q %v", got, err)
		}
	}
}

func TestExportsAreSentWhenTheyChange(t *testing.T) {
	c := center(t)
	r := start(t, c, t.TempDir(), c.Token())
	set := func(up bool) {
		r.local.mu.Lock()
		r.local.export = &control.Export{Services: []control.Service{{Resource: "user", Address: "a:1", Up: up}}}
		r.local.mu.Unlock()
		r.Kick()
	}
	conn := accept(t, c)
	for _, up := range []bool{true, false} {
		set(up)
		var e control.Export
		if err := conn.Receive(control.TypeExport, &e, patience); err != nil || len(e.Services) != 1 || e.Services[0].Up != up {
			t.Errorf("%+v %v", e, err)
		}
	}
	r.Kick()
	if _, err := conn.Next(control.TypeExport, 300*time.Millisecond); err == nil {
		t.Error("sent again without a change")
	}
	conn.Close()
	if _, err := accept(t, c).Next(control.TypeExport, patience); err != nil {
		t.Errorf("a new link begins with it: %v", err)
	}
}

func TestQuestionsStreamsAndCancel(t *testing.T) {
	c := center(t)
	start(t, c, t.TempDir(), c.Token())
	conn := accept(t, c)
	conn.Send(control.TypeAsk, &control.Ask{ID: 1, Method: "GET", Path: "/v1/status"})
	var a control.Answer
	if err := conn.Receive(control.TypeAnswer, &a, patience); err != nil || a.ID != 1 || string(a.Body) != "GET /v1/status" || a.More {
		t.Errorf("%+v %v", a, err)
	}
	conn.Send(control.TypeAsk, &control.Ask{ID: 2, Method: "GET", Path: "/v1/observe"})
	for i := range 3 {
		if err := conn.Receive(control.TypeAnswer, &a, patience); err != nil || a.ID != 2 || string(a.Body) != fmt.Sprintf("event %d", i) || !a.More {
			t.Errorf("%+v %v", a, err)
		}
	}
	for i := uint64(10); i < 10+maxAsks; i++ { // one of them is too many beside the stream
		conn.Send(control.TypeAsk, &control.Ask{ID: i, Method: "GET", Path: "/v1/observe"})
	}
	for a.Status != 429 {
		if err := conn.Receive(control.TypeAnswer, &a, patience); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range append([]uint64{2}, seq(10, 10+maxAsks)...) {
		conn.Send(control.TypeCancel, &control.Cancel{ID: id})
	}
	conn.Send(control.TypeAsk, &control.Ask{ID: 99, Method: "GET", Path: "/last"})
	for a.ID != 99 {
		if err := conn.Receive(control.TypeAnswer, &a, patience); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(patience); conn.Receive(control.TypeAnswer, &a, 300*time.Millisecond) == nil; { // what was on its way
		if time.Now().After(deadline) {
			t.Fatalf("a stream goes on: %+v", a)
		}
	}
}

func seq(from, to uint64) (out []uint64) {
	for ; from < to; from++ {
		out = append(out, from)
	}
	return out
}

// An agent that is slow in applying makes the centre wait; nothing is lost or piled up.
func TestUpdatesWaitForEachOther(t *testing.T) {
	c := center(t)
	c.Heartbeat = heartbeat
	hold := make(chan struct{})
	r := start(t, c, t.TempDir(), c.Token())
	r.local.mu.Lock()
	r.local.hold = hold
	r.local.mu.Unlock()
	conn := accept(t, c)
	const n = 20
	for i := range n {
		if err := conn.Send(control.TypeUpdate, &control.Update{Revision: uint64(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	r.until("pings go on", func() bool { return conn.Pings() > 4 })
	close(hold)
	for i := range n {
		var res control.Result
		if err := conn.Receive(control.TypeResult, &res, patience); err != nil || res.Revision != uint64(i+1) {
			t.Fatalf("%+v %v", res, err)
		}
	}
}

func TestWaitsAreRandomAndBounded(t *testing.T) {
	var b backoff
	broken := errors.New("cut")
	for i, want := range []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, 1600 * time.Millisecond, 3200 * time.Millisecond, mostWait, mostWait} {
		if got := b.bound(); got != want {
			t.Errorf("failure %d: bound %s, want %s", i, got, want)
		}
		if d := b.after(broken); d < 0 || d >= want {
			t.Errorf("failure %d: waits %s", i, d)
		}
	}
	b.failures = 1000
	if b.bound() != mostWait {
		t.Error("many failures")
	}
	b.reset()
	if b.bound() != firstWait || b.after(errRestart) != 0 || b.failures != 0 {
		t.Error("a restart waits")
	}
	if d := b.after(&byeError{control.Bye{Retry: int64(time.Minute)}}); d < time.Minute || d > 75*time.Second {
		t.Errorf("bye: %s", d)
	}
	if d := b.after(&byeError{control.Bye{Fatal: true}}); d < fatalWait || d > fatalWait*5/4 {
		t.Errorf("fatal: %s", d)
	}
	if d := b.after(&byeError{control.Bye{Retry: -5}}); d < 0 || d > mostWait {
		t.Errorf("nonsense: %s", d)
	}
}

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"http://center:9980": "center:9980", "https://10.0.0.1:1/": "10.0.0.1:1", "https://center": "center:443", "http://[::1]": "[::1]:80",
		"center:9980": "", "ftp://x": "", "http://": "",
	} {
		if got, err := address(in); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q %v", in, got, err)
		}
	}
}
