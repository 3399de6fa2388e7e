package filter

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// memory is a file that can be made to hang or fail.
type memory struct {
	mu     sync.Mutex
	data   bytes.Buffer
	err    error
	closed bool
	hang   chan struct{} // nil: it does not hang
	began  chan struct{} // closed at the first write
	once   sync.Once
}

func newMemory() *memory { return &memory{began: make(chan struct{})} }

func (m *memory) Write(b []byte) (int, error) {
	m.once.Do(func() { close(m.began) })
	if m.hang != nil {
		<-m.hang
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return 0, m.err
	}
	return m.data.Write(b)
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *memory) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.data.String()
}

func (m *memory) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

func sinksOn(m *memory, log io.Writer) *Sinks {
	o := SinkOptions{Open: func(string) (io.WriteCloser, error) { return m, nil }, Grace: 20 * time.Second}
	if m.hang != nil {
		o.Grace = 50 * time.Millisecond
	}
	if log != nil {
		o.Log = slog.New(slog.NewTextHandler(log, nil))
	}
	return NewSinks(o)
}

func openLine(t *testing.T, s *Sinks, path string) *LineWriter {
	t.Helper()
	w, err := s.AccessLog(path, "text")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func put(w *LineWriter, text string) bool {
	l := w.Begin()
	if l == nil {
		return false
	}
	l.Buf = append(l.Buf, text...)
	w.End(l)
	return true
}

// eventually waits for a condition that some goroutine brings about.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestLinesOfManyWritersStayWholeAndInOrder(t *testing.T) {
	m := newMemory()
	s := sinksOn(m, nil)
	w := openLine(t, s, "access.log")
	const each = 5000
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range each {
				put(w, fmt.Sprintf("%d %d %s", g, i, strings.Repeat("x", i%900)))
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	last := [4]int{-1, -1, -1, -1}
	lines := strings.Split(strings.TrimSuffix(m.text(), "\n"), "\n")
	for _, line := range lines {
		var g, i int
		var rest string
		if n, _ := fmt.Sscanf(line, "%d %d %s", &g, &i, &rest); n < 2 || len(rest) != i%900 {
			t.Fatalf("line is not whole: %q", line)
		}
		if i <= last[g] {
			t.Fatalf("writer %d: line %d after line %d", g, i, last[g])
		}
		last[g] = i
	}
	if n := int64(len(lines)) + s.Dropped("accesslog").Load(); n != 4*each {
		t.Errorf("%d lines written and %d dropped make %d, want %d", len(lines), s.Dropped("accesslog").Load(), n, 4*each)
	}
	if !m.isClosed() {
		t.Error("the file is open after Close")
	}
}

func TestSingleLineIsWrittenSoon(t *testing.T) {
	m := newMemory()
	s := sinksOn(m, nil)
	defer s.Close()
	w := openLine(t, s, "access.log")
	for i := range 3 {
		put(w, "hello")
		eventually(t, "the line is written", func() bool { return strings.Count(m.text(), "hello\n") == i+1 })
	}
}

func TestFileThatHangsCostsLinesNotTime(t *testing.T) {
	m := newMemory()
	m.hang = make(chan struct{})
	s := sinksOn(m, nil)
	w := openLine(t, s, "access.log")
	put(w, "first")
	<-m.began
	took := 0
	for range 5000 {
		if put(w, "line") {
			took++
		}
	}
	if took != lineRing {
		t.Errorf("%d lines were taken while the file hung, want the %d of the ring", took, lineRing)
	}
	if d := s.Dropped("accesslog").Load(); d != int64(5000-took) {
		t.Errorf("%d dropped lines are counted, want %d", d, 5000-took)
	}
	s.Reopen() // does not wait either
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "access.log took no bytes") {
		t.Errorf("Close says %v, want that access.log took no bytes", err)
	}
	close(m.hang)
	<-s.ended
	if n := strings.Count(m.text(), "\n"); n != took+1 {
		t.Errorf("%d lines were written once the file went on, want %d", n, took+1)
	}
}

func TestWriteErrorsAreCountedAndSaidOnce(t *testing.T) {
	m, log := newMemory(), newMemory()
	m.fail(errors.New("no space left on device"))
	s := sinksOn(m, log)
	w := openLine(t, s, "access.log")
	for i := range 3 {
		put(w, "lost")
		eventually(t, "the lost line is counted", func() bool { return s.Dropped("accesslog").Load() == int64(i+1) })
	}
	m.fail(nil)
	put(w, "kept")
	eventually(t, "a line is written", func() bool { return m.text() == "kept\n" })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.text(), "no space left on device"); n != 1 {
		t.Errorf("the log says it %d times, want once: %s", n, log.text())
	}
}

func TestReopenAfterRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "access.log")
	s := NewSinks(SinkOptions{})
	w := openLine(t, s, path)
	put(w, "before")
	read := func(name string) string {
		b, _ := os.ReadFile(filepath.Join(dir, name))
		return string(b)
	}
	eventually(t, "the first line is written", func() bool { return read("access.log") == "before\n" })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	s.Reopen()
	eventually(t, "the file is opened anew", func() bool { _, err := os.Stat(path); return err == nil })
	put(w, "after")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if read("access.log.1") != "before\n" || read("access.log") != "after\n" {
		t.Errorf("files hold %q and %q", read("access.log.1"), read("access.log"))
	}
}

func TestReopenThatFailsKeepsTheOldFile(t *testing.T) {
	m, log := newMemory(), newMemory()
	opens := 0
	s := NewSinks(SinkOptions{Log: slog.New(slog.NewTextHandler(log, nil)), Open: func(string) (io.WriteCloser, error) {
		if opens++; opens > 1 {
			return nil, errors.New("permission denied")
		}
		return m, nil
	}})
	w := openLine(t, s, "access.log")
	s.Reopen()
	eventually(t, "the failure is said", func() bool { return strings.Contains(log.text(), "permission denied") })
	put(w, "still here")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if m.text() != "still here\n" {
		t.Errorf("the file holds %q", m.text())
	}
}

func TestWritersAreSharedByPathAndClosedWithTheirLastUser(t *testing.T) {
	m := newMemory()
	s := sinksOn(m, nil)
	defer s.Close()
	a, b := openLine(t, s, "access.log"), openLine(t, s, "access.log")
	if a != b {
		t.Fatal("two writers for one path")
	}
	a.Release()
	put(b, "one")
	b.Release()
	<-b.done
	if !m.isClosed() || m.text() != "one\n" {
		t.Errorf("closed: %v, text: %q", m.isClosed(), m.text())
	}
	if put(b, "late") || s.Dropped("accesslog").Load() != 1 {
		t.Error("a line after the last Release was taken")
	}
	if c := openLine(t, s, "access.log"); c == b {
		t.Error("a closed writer was handed out")
	}
}

func TestAccessLogRefuses(t *testing.T) {
	s := NewSinks(SinkOptions{})
	if _, err := s.AccessLog("stdout", "xml"); err == nil || !strings.Contains(err.Error(), "use text or json") {
		t.Errorf("format xml: %v", err)
	}
	missing := filepath.Join(t.TempDir(), "no", "access.log")
	if _, err := s.AccessLog(missing, "text"); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("a folder that is not there: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AccessLog("stdout", "text"); err == nil {
		t.Error("a log was opened after Close")
	}
	var none *Sinks
	if _, err := none.AccessLog("stdout", "text"); err == nil {
		t.Error("a log was opened without sinks")
	}
}

func BenchmarkLine(b *testing.B) {
	s := NewSinks(SinkOptions{Open: func(string) (io.WriteCloser, error) { return standard{io.Discard}, nil }})
	defer s.Close()
	w, err := s.AccessLog("x", "text")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if l := w.Begin(); l != nil {
			l.Buf = append(l.Buf, "time=2026-03-01T10:00:00.125Z resource=feed-cache op=GET"...)
			w.End(l)
		}
	}
}
