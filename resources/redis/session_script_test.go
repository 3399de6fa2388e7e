package redis

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/internal/loop"
	sessions "github.com/sluice-mesh/sluice/testenv/script"
)

// TestSessions runs each session of testdata/sessions: what clients send and get, and what the server gets and sends,
// byte for byte.
func TestSessions(t *testing.T) {
	files, err := filepath.Glob("testdata/sessions/*.script")
	if err != nil || len(files) == 0 {
		t.Fatal("no sessions", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".script"), func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			f := newFake(t, ln.Addr().String())
			f.loops.Stop()
			if f.loops, err = loop.NewGroup(1); err != nil { // one, so that all clients share a connection
				t.Fatal(err)
			}
			a := startAgent(t, f, nil)
			sessions.Run(t, file, sessions.Env{Address: a.addr, Servers: map[string]net.Listener{"server": ln}})
			if n := f.mismatches.Swap(0); n != 0 != strings.HasSuffix(file, "garbled.script") {
				t.Errorf("%d replies could not be matched with requests", n)
			}
		})
	}
}
