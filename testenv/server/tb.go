package server

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// TB is the part of testing.TB that this package uses. Fatalf must not return.
type TB interface {
	Helper()
	Name() string
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Spec describes something that can be started; E is its handle.
type Spec[E any] interface {
	start(t TB) E
}

// Start starts what spec describes, waits until it serves, and ends it with the test.
func Start[E any](t TB, spec Spec[E]) E {
	t.Helper()
	return spec.start(t)
}

// Run calls body with a TB for a program that is no test, such as the demo or the bench. Log lines go to w. Cleanups
// run when body returns, fails or panics; the error is what Fatalf or the first Errorf said.
func Run(w io.Writer, name string, body func(TB)) error {
	s := &scope{w: w, name: name}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer s.end()
		defer func() {
			if p := recover(); p != nil {
				s.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		body(s)
	}()
	<-done
	return s.err
}

// scope is the TB of Run.
type scope struct {
	w    io.Writer
	name string

	mu       sync.Mutex // guards what follows
	err      error
	cleanups []func()
}

func (s *scope) Helper()      {}
func (s *scope) Name() string { return s.name }

func (s *scope) Cleanup(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleanups = append(s.cleanups, f)
}

func (s *scope) Failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil
}

func (s *scope) Logf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.w, format+"\n", args...)
}

func (s *scope) Errorf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}

func (s *scope) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	runtime.Goexit()
}

// end runs the cleanups, last first, also those that a cleanup adds.
func (s *scope) end() {
	for {
		s.mu.Lock()
		n := len(s.cleanups)
		if n == 0 {
			s.mu.Unlock()
			return
		}
		f := s.cleanups[n-1]
		s.cleanups = s.cleanups[:n-1]
		s.mu.Unlock()
		f()
	}
}

// Wait polls cond every 5 ms until it returns nil, and fails the test with its last error after d. what completes
// "waited for".
func Wait(t TB, d time.Duration, what string, cond func() error) {
	t.Helper()
	if err := wait(d, cond); err != nil {
		t.Fatalf("waited %v for %s: %v", d, what, err)
	}
}

func wait(d time.Duration, cond func() error) error {
	deadline := time.Now().Add(d)
	for {
		err := cond()
		if err == nil || !time.Now().Before(deadline) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}
