package redis

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/resp"
)

// TestSequences plays the sessions above against a server and through the agent.
func TestSequences(t *testing.T) {
	for _, profile := range []string{profileMultiplexed, profileTransparent} {
		w := newWorld(t, &Settings{Profile: profile})
		for name, script := range sequences {
			t.Run(profile+"/"+strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
				w.flush()
				play(t, w, script)
			})
		}
	}
}

func play(t *testing.T, w *world, script string) {
	clients := map[byte]*pair{}
	for n, line := range strings.Split(strings.TrimSpace(script), "\n") {
		p := clients[line[0]]
		if p == nil {
			p = w.pair(t)
			clients[line[0]] = p
		}
		p.what = fmt.Sprintf("line %d, %q", n+1, line)
		what, rest := line[1:], ""
		if i := strings.IndexByte(line, ' '); i > 0 {
			what, rest = line[1:i], line[i+1:]
		}
		words := strings.Fields(rest)
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], `\x20`, " ")
		}
		switch what {
		case ">>":
			p.tell(words)
		case ">":
			p.tell(words)
			p.agree()
		case "<":
			p.agree()
		case "<?1", "<?2":
			w.awaitBlocked(t, what[2:])
		case "<EOF":
			if a, b := p.direct.rest(), p.agent.rest(); a != b {
				t.Fatalf("%s: before its end the server says %q, the agent %q", p.what, a, b)
			}
		default:
			t.Fatalf("%s is no line of a sequence", p.what)
		}
	}
}

// tell sends one command to both.
func (p *pair) tell(words []string) {
	p.t.Helper()
	b := resp.AppendCommand(nil, words...)
	p.direct.send(b)
	p.agent.send(b)
}

// agree compares one reply.
func (p *pair) agree() {
	p.t.Helper()
	want, got := normal(p.direct.reply()), normal(p.agent.reply())
	if want != got {
		p.t.Fatalf("%s\nserver %s\nagent  %s", p.what, show(want), show(got))
	}
}

// awaitBlocked waits until so many clients are blocked at both servers.
func (w *world) awaitBlocked(t *testing.T, n string) {
	t.Helper()
	eventually(t, n+" blocked clients", func() bool {
		a, err1 := w.direct.Info("blocked_clients")
		b, err2 := w.behind.Info("blocked_clients")
		return err1 == nil && err2 == nil && a == n && b == n
	})
}

// TestConflicts lets clients that watch the same keys take random turns.
func TestConflicts(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	lines := []string{"WATCH a", "WATCH a b", "UNWATCH", "MULTI", "EXEC", "EXEC", "DISCARD", "INCR a", "SET b x", "GET a", "DEL a", "MULTI", "PING", "BLPOP l 0.001", "RPUSH l v", "SELECT 0", "RESET"}
	for _, profile := range []string{profileMultiplexed, profileTransparent} {
		t.Run(profile, func(t *testing.T) {
			w := newWorld(t, &Settings{Profile: profile})
			rng := rand.New(rand.NewPCG(seed, 2))
			clients := []*pair{w.pair(t), w.pair(t), w.pair(t), w.pair(t)}
			for i := range 1500 {
				p := clients[rng.IntN(len(clients))]
				p.what = fmt.Sprintf("-differential.seed=%d, turn %d", seed, i)
				p.same(lines[rng.IntN(len(lines))])
			}
		})
	}
}
