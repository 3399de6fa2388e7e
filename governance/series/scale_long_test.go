//go:build long

package series

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// A thousand agents that call twenty resources with ten operations each, at the end of eleven minutes: past the first slots of
// ten minutes.
func TestLongThousandAgents(t *testing.T) {
	const agents, resources, ops = 1000, 20, 10
	f := newFixture(t, Options{Dir: t.TempDir()})
	rnd := rand.New(rand.NewPCG(1, 2))
	// Reports of different agents differ; making a thousand registries would measure them and not the store.
	const kinds = 20
	var makers []*testAgent
	for range kinds {
		makers = append(makers, newAgent("x", "x", "x"))
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	var most uint64
	var spent time.Duration
	reports, size := 0, 0
	payloads := make([][]byte, kinds)
	for slot := range 70 {
		f.step(10 * time.Second)
		for i, m := range makers {
			for r := range resources {
				for op := range ops {
					for range 20 {
						m.done(fmt.Sprint("resource-", r), []string{"yf", "tc"}[i%2], fmt.Sprint("OPERATION", op), 0, int64(200e3*(0.3+rnd.ExpFloat64())))
					}
				}
			}
			payloads[i] = m.enc.Append(payloads[i][:0], f.now.Add(time.Hour))
		}
		for a := range agents {
			if slot < 66 && a%20 != 0 {
				continue // all of them in the last four slots alone: with the race detector a report takes milliseconds
			}
			info := AgentInfo{fmt.Sprintf("host-%04d", a), fmt.Sprintf("application-%d", a%50), []string{"yf", "tc"}[a%2]}
			p := payloads[a%kinds]
			at := time.Now()
			if err := f.Ingest(info, p, f.now); err != nil {
				t.Fatal(err)
			}
			spent += time.Since(at)
			reports, size = reports+1, size+len(p)
		}
		if slot%20 == 19 || slot > 65 {
			most = max(most, heap()-before)
		}
	}
	st := f.Stats()
	t.Logf("%d reports of %d bytes, %v each; heap at most %.1f MB; %.1f MB on disk for %v: %+v", reports, size/reports,
		spent/time.Duration(reports), float64(most)/1e6, float64(st.Disk)/1e6, f.now.Sub(epoch), st)
	for _, q := range []struct {
		name string
		ask  func() (int, error)
	}{
		{"fleet by 10 s", func() (int, error) {
			p, err := f.Query(Query{Resource: "resource-3", From: epoch, To: f.now, Step: 10 * time.Second})
			return len(p), err
		}},
		{"operation by 1 min", func() (int, error) {
			p, err := f.Query(Query{Resource: "resource-3", Op: "OPERATION3", From: epoch, To: f.now, Step: time.Minute})
			return len(p), err
		}},
		{"all agents by 1 min", func() (int, error) {
			p, err := f.Query(Query{Resource: "resource-3", Agent: "*", From: epoch, To: f.now, Step: time.Minute})
			return len(p), err
		}},
		{"canaries, 2 min", func() (int, error) {
			p, err := f.Window(Query{Agent: "host-00*", From: f.now.Add(-2 * time.Minute), To: f.now})
			return int(p.Calls), err
		}},
		{"edges, 15 min", func() (int, error) { p, err := f.Edges(f.now.Add(-15*time.Minute), f.now); return len(p), err }},
		{"top, 15 min", func() (int, error) {
			p, err := f.Top(Query{From: f.now.Add(-15 * time.Minute), To: f.now}, ByP99, 20)
			return len(p), err
		}},
		{"live", func() (int, error) { return len(f.Live()), nil }},
	} {
		at := time.Now()
		n, err := q.ask()
		t.Logf("%-20s %6d in %v, %v", q.name, n, time.Since(at).Round(10*time.Microsecond), err)
		if n == 0 || err != nil {
			t.Errorf("%s: %d, %v", q.name, n, err)
		}
	}
	if most > 150e6 {
		t.Errorf("%.1f MB of heap, want far less than 200", float64(most)/1e6)
	}
}
