package filter

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
)

// SinkOptions says where what filters write goes.
type SinkOptions struct {
	Log      *slog.Logger      // the agent's own log
	Registry *metrics.Registry // where drops are counted, in sluice_dropped_total
	// Spans opens the exporter of spans for a collector's URL; nil: resources that name one are refused.
	Spans func(url string) (SpanSink, error)
	// Open opens a file of the access log for appending; nil: stdout, stderr or a file of mode 0640. Tests replace
	// it.
	Open func(path string) (io.WriteCloser, error)
	// Grace is how long Close waits for a file that takes no bytes; 0: 2 s.
	Grace time.Duration
}

// Sinks is what the filters of all resources write to. The agent makes one and closes it last.
type Sinks struct {
	opt     SinkOptions
	notices chan *Notice
	stop    chan struct{} // closed by Close
	ended   chan struct{} // closed when every goroutine ended
	run     sync.WaitGroup
	dropped map[string]*metrics.Counter // never changed

	mu     sync.Mutex // guards what follows; not held while a file is opened, written or closed
	closed bool
	lines  map[string]*LineWriter
	spans  map[string]SpanSink
}

// NewSinks returns sinks that have nothing open. Close must be called.
func NewSinks(o SinkOptions) *Sinks {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = metrics.NewRegistry(metrics.Options{})
	}
	if o.Open == nil {
		o.Open = openLog
	}
	if o.Grace == 0 {
		o.Grace = 2 * time.Second
	}
	s := &Sinks{
		opt: o, notices: make(chan *Notice, 64), stop: make(chan struct{}), ended: make(chan struct{}),
		lines: map[string]*LineWriter{}, spans: map[string]SpanSink{}, dropped: map[string]*metrics.Counter{},
	}
	for _, what := range []string{"accesslog", "notice", "observe"} {
		s.dropped[what] = o.Registry.Dropped(what)
	}
	s.run.Go(s.sayNotices)
	return s
}

// Dropped returns the counter of things that were given up: "accesslog", "notice", "observe" or another word. It
// takes no lock for these three; filters keep what it returns.
func (s *Sinks) Dropped(what string) *metrics.Counter {
	if c, ok := s.dropped[what]; ok {
		return c
	}
	return s.opt.Registry.Dropped(what)
}

// AccessLog opens the log at path, which is stdout, stderr or a file, or returns the open one. Each successful call
// is matched by one Release of the writer. format is text or json; lines of both may share a file.
func (s *Sinks) AccessLog(path, format string) (*LineWriter, error) {
	if s == nil {
		return nil, fmt.Errorf("access log %s: this agent was started without log files", path)
	}
	if format != "text" && format != "json" {
		return nil, fmt.Errorf("access log %s: unknown format %q: use text or json", path, format)
	}
	if w, err := s.openLine(path, nil); w != nil || err != nil {
		return w, err
	}
	file, err := s.opt.Open(path)
	if err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	return s.openLine(path, file)
}

// openLine returns the open writer of path with one more user. When there is none it starts one on file, if given.
func (s *Sinks) openLine(path string, file io.WriteCloser) (*LineWriter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		if file != nil {
			file.Close()
		}
		return nil, errors.New("access log: the agent is stopping")
	}
	if w, ok := s.lines[path]; ok {
		if file != nil {
			file.Close()
		}
		w.users++
		return w, nil
	}
	if file == nil {
		return nil, nil
	}
	w := newLineWriter(s, path, file)
	w.users = 1
	s.lines[path] = w
	s.run.Go(w.run)
	return w, nil
}

// Spans opens the exporter for a collector's URL, or returns the open one. It lives as long as the Sinks.
func (s *Sinks) Spans(url string) (SpanSink, error) {
	if s == nil {
		return nil, fmt.Errorf("spans to %s: this agent was started without an exporter", url)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sp, ok := s.spans[url]; ok {
		return sp, nil
	}
	if s.closed {
		return nil, errors.New("spans: the agent is stopping")
	}
	if s.opt.Spans == nil {
		return nil, fmt.Errorf("spans to %s: this agent was started without an exporter", url)
	}
	sp, err := s.opt.Spans(url)
	if err != nil {
		return nil, fmt.Errorf("spans to %s: %w", url, err)
	}
	s.spans[url] = sp
	return sp, nil
}

// Reopen makes every log file be opened anew before its next line, after a rotation. It does not wait for that.
func (s *Sinks) Reopen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.lines {
		w.reopen.Store(true)
		w.poke()
	}
}

// Close writes what is waiting, closes the files and exporters and waits for every goroutine. A file that takes no
// bytes for the grace time is left behind with an error that names it.
func (s *Sinks) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.stop)
	spans := s.spans
	s.mu.Unlock()

	var errs []error
	for url, sp := range spans {
		if c, ok := sp.(io.Closer); ok {
			if err := c.Close(); err != nil {
				errs = append(errs, fmt.Errorf("spans to %s: %w", url, err))
			}
		}
	}
	go func() { s.run.Wait(); close(s.ended) }()
	grace := time.NewTimer(s.opt.Grace)
	defer grace.Stop()
	select {
	case <-s.ended:
	case <-grace.C:
		errs = append(errs, s.stuck())
	}
	return errors.Join(errs...)
}

// stuck says which files keep Close from ending.
func (s *Sinks) stuck() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path, w := range s.lines {
		select {
		case <-w.done:
		default:
			return fmt.Errorf("access log %s took no bytes for %v: what waited is lost", path, s.opt.Grace)
		}
	}
	return fmt.Errorf("the agent's log took no bytes for %v", s.opt.Grace)
}

func openLog(path string) (io.WriteCloser, error) {
	switch path {
	case "stdout":
		return standard{os.Stdout}, nil
	case "stderr":
		return standard{os.Stderr}, nil
	}
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
}

// standard is a stream of the process, which is not ours to close.
type standard struct{ io.Writer }

func (standard) Close() error { return nil }
