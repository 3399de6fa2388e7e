package filter

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

type spanSink struct {
	url    string
	closed atomic.Int32
	err    error
}

func (*spanSink) Export(Span) bool { return true }

func (s *spanSink) Close() error {
	s.closed.Add(1)
	return s.err
}

func TestSpansAreSharedByURLAndClosed(t *testing.T) {
	s := NewSinks(SinkOptions{Spans: func(url string) (SpanSink, error) {
		if url == "bad" {
			return nil, errors.New("not a URL")
		}
		return &spanSink{url: url, err: errors.New("not flushed")}, nil
	}})
	a, err := s.Spans("http://127.0.0.1:4318")
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := s.Spans("http://127.0.0.1:4318"); a != b {
		t.Error("two exporters for one collector")
	}
	if _, err := s.Spans("bad"); err == nil || err.Error() != "spans to bad: not a URL" {
		t.Errorf("error is %v", err)
	}
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "spans to http://127.0.0.1:4318: not flushed") {
		t.Errorf("Close says %v", err)
	}
	if n := a.(*spanSink).closed.Load(); n != 1 {
		t.Errorf("the exporter was closed %d times", n)
	}
	if err := s.Close(); err != nil {
		t.Errorf("a second Close says %v", err)
	}
	if _, err := s.Spans("http://127.0.0.1:4319"); err == nil {
		t.Error("an exporter was opened after Close")
	}
}

func TestNoticesAreSaidAtTheirPaceAndNeverBlock(t *testing.T) {
	s := NewSinks(SinkOptions{Grace: 20 * time.Millisecond})
	var said atomic.Int32
	slow := NewNotice(time.Second, func() { said.Add(1) })
	for now := int64(1); now <= int64(3*time.Second); now += int64(100 * time.Millisecond) {
		s.Post(slow, now)
	}
	eventually(t, "three notices are said", func() bool { return said.Load() == 3 })

	began, hang := make(chan struct{}), make(chan struct{})
	s.Post(NewNotice(0, func() { close(began); <-hang }), 1)
	<-began
	more := NewNotice(0, func() { said.Add(1) })
	for now := int64(1); now <= 100; now++ {
		s.Post(more, now)
	}
	if d := s.Dropped("notice").Load(); d != 36 {
		t.Errorf("%d notices were dropped, want what is over 64 of 100", d)
	}
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "the agent's log took no bytes") {
		t.Errorf("Close says %v", err)
	}
	close(hang)
	<-s.ended
	if said.Load() != 3+64 {
		t.Errorf("%d notices were said, want those that waited as well", said.Load())
	}
	var none *Sinks
	none.Post(more, 1000)
}

type view string

func (view) Key(int) ([]byte, bool)         { return nil, false }
func (v view) AppendText(dst []byte) []byte { return append(dst, v...) }
func (view) Digest() uint64                 { return 0 }

func TestTexts(t *testing.T) {
	env := envWith(nil)
	first, err := env.TakeText()
	if err != nil {
		t.Fatal(err)
	}
	second, err := env.TakeText()
	if err != nil {
		t.Fatal(err)
	}
	if first.slot != second.slot || !first.owner || second.owner {
		t.Fatalf("%+v and %+v are to share a slot that the first one owns", first, second)
	}
	call := func(text string) *resources.Call {
		c := &resources.Call{Session: &resources.Session{ID: 3}, View: view(text)}
		c.Scratch[first.slot] = ^uint64(0) // what the last call left
		return c
	}
	long := call(strings.Repeat("x", 500))
	first.Capture(long)
	if got := first.Text(long); len(got) != textLength {
		t.Errorf("a text of 500 bytes is kept as %d, want %d", len(got), textLength)
	}
	c := call("GET user:17")
	first.Skip(c)
	if second.Text(c) != nil {
		t.Error("a call that was skipped has a text")
	}
	second.Capture(c)
	if string(second.Text(c)) != "GET user:17" {
		t.Errorf("text is %q", second.Text(c))
	}
	second.Release(c)
	if string(first.Text(c)) != "GET user:17" {
		t.Error("the text went before its owner was done")
	}
	first.Release(c)
	first.Release(c)

	// With all texts in use, calls go without; each is free again after its release.
	var held []*resources.Call
	for range 20 * maxTexts {
		c := call("GET user:17")
		c.Session.Calls.Store(uint64(len(held)))
		first.Capture(c)
		held = append(held, c)
	}
	with := 0
	for _, c := range held {
		if first.Text(c) != nil {
			with++
		}
		first.Release(c)
	}
	if with < maxTexts*9/10 || with > maxTexts {
		t.Errorf("%d calls have a text, want nearly all the %d there are", with, maxTexts)
	}
	for i := range first.texts.memory() {
		if e := &first.texts.memory()[i]; e.taken.Load() && string(e.buf[:e.n]) == "GET user:17" {
			t.Fatal("a text was not given back")
		}
	}
}

func TestTextsOfConcurrentCallsStayApart(t *testing.T) {
	env := envWith(nil)
	tx, err := env.TakeText()
	if err != nil {
		t.Fatal(err)
	}
	session := &resources.Session{ID: 3}
	var wg sync.WaitGroup
	for g := range 4 {
		text := strings.Repeat(string(rune('a'+g)), 20+g)
		wg.Go(func() {
			for range 5000 {
				session.Calls.Add(1)
				c := &resources.Call{Session: session, View: view(text)}
				tx.Capture(c)
				if got := tx.Text(c); got != nil && string(got) != text {
					t.Errorf("text is %q, want %q", got, text)
				}
				tx.Release(c)
			}
		})
	}
	wg.Wait()
}
