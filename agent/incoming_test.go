package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/config"
	wire "github.com/sluice-mesh/sluice/protocols/control"
)

func FuzzReadCommand(f *testing.F) {
	f.Add([]byte(`{"id":"g-1","resource":"cache","type":"switch","weights":{"tc":1},"created":"2026-01-01T00:00:00Z","expires":"2026-01-02T00:00:00Z"}`))
	f.Add([]byte(`{"id":"g-1","resource":"cache","expires":null}`))
	f.Add([]byte(`{"id":1}`))
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := readCommand(raw, now)
		if err == nil && (!strings.HasPrefix(c.ID, centerPrefix) || c.Resource == "" || c.Expired(now)) {
			t.Fatalf("taken: %+v", c)
		}
	})
}

func TestProblemsAreExplainedByTheirPath(t *testing.T) {
	problems := &config.Errors{Problems: []config.Problem{
		{Path: "groups.yf.endpoints[0]", Message: "no address"}, {Path: "groups.yf.endpoints[0]", Message: "twice"}, {Path: "policy.timeout", Message: "too long"},
	}}
	for _, c := range []struct {
		err        error
		path, want string
	}{
		{problems, "groups.yf.endpoints[0]", "no address; twice; policy.timeout: too long"},
		{&listenError{"feed", "listen", errors.New("taken")}, "listen", "taken"},
		{fmt.Errorf("listen on :1: %w", syscall.EADDRINUSE), "listen", "listen on :1: address already in use"},
		{errors.New("other"), "", "other"},
	} {
		if path, text := explain(c.err); path != c.path || text != c.want {
			t.Errorf("%q %q", path, text)
		}
	}
	in := &incoming{c: &center{a: &Agent{log: slog.New(slog.DiscardHandler)}}}
	problems.Problems[0].Message = strings.Repeat("é", longestError)
	in.line(wire.Line{Resource: "feed"}, problems)
	if l := in.lines[0]; len(l.Error) > longestError+4 || !strings.HasSuffix(l.Error, "é ...") {
		t.Errorf("%d bytes", len(l.Error))
	}
}
