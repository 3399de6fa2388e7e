package control

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/resources"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logBuffer is a log that tests can read while others write it.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// open opens a store that is closed with the test.
func open(t *testing.T, dir string) *Store {
	t.Helper()
	return openLogged(t, dir, &logBuffer{})
}

func openLogged(t *testing.T, dir string, log *logBuffer) *Store {
	t.Helper()
	s, err := Open(dir, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// degrade is a valid command; for 0 it stays until it is undone.
func degrade(resource string, last time.Duration) resources.Command {
	c := resources.Command{Type: resources.CommandDegrade, Resource: resource, Percent: 100, Reply: "error", Author: "ana", Why: "test"}
	if last > 0 {
		at := time.Now().Add(last)
		c.Expires = &at
	}
	return c
}

func mustAdd(t *testing.T, s *Store, c resources.Command) resources.Command {
	t.Helper()
	c, err := s.Add(c)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ids(list []resources.Command) []string {
	var out []string
	for _, c := range list {
		out = append(out, c.ID)
	}
	return out
}
