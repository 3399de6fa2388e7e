package mesh

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluice-mesh/sluice/agent/ha"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// hedging is an agent that sends slow calls of marked operations a second time: of one resource when they take longer than nine of ten
// calls did, of the other at once, within a small budget.
const hedging = `
agent: { admin: {{addr "admin"}}, application: mesh-test, drain: { wait: 0s } }
resources:
  calls:
    kind: {{.kind}}
    listen: {{addr "calls"}}
    settings: { {{.settings}} }
    groups: { g: { endpoints: ["{{.one}}", "{{.two}}"] } }
    policy: { timeout: 20s, balance: round-robin, backup: { after: p90, budget: 100% } }
  tight:
    kind: {{.kind}}
    listen: {{addr "tight"}}
    settings: { {{.settings}} }
    groups: { g: { endpoints: ["{{.one}}", "{{.two}}"] } }
    policy: { timeout: 20s, balance: round-robin, failover: { budget: 10% }, backup: { after: 1ms, budget: 10% } }
`

// lagging is a server that answers "NAME ID" after a while, and keeps when it got what. It answers calls that were given up as well.
type lagging struct {
	name  string
	delay atomic.Int64 // ns

	mu  sync.Mutex
	got map[string][]time.Time // by id
}

func (l *lagging) answer(id string) string {
	l.mu.Lock()
	l.got[id] = append(l.got[id], time.Now())
	l.mu.Unlock()
	time.Sleep(time.Duration(l.delay.Load()))
	return l.name + " " + id
}

func (l *lagging) times(id string) []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.got[id]
}

// caller makes one call of an operation, "Marked" or "Plain", at an address.
type caller func(ctx context.Context, addr, op, id string) (string, error)

func serveHTTP(t *testing.T, l *lagging) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := io.ReadAll(r.Body)
		if err != nil {
			return // the agent took it back while it wrote
		}
		fmt.Fprint(w, l.answer(string(id)))
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func callHTTP(t *testing.T) caller {
	tr := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(tr.CloseIdleConnections)
	return func(ctx context.Context, addr, op, id string) (string, error) {
		r, err := http.NewRequestWithContext(ctx, "POST", "http://"+addr+"/"+op, strings.NewReader(id))
		if err != nil {
			return "", err
		}
		a, err := tr.RoundTrip(r)
		if err != nil {
			return "", err
		}
		defer a.Body.Close()
		text, err := io.ReadAll(a.Body)
		if a.StatusCode != 200 {
			return "", fmt.Errorf("%s: %s", a.Status, text)
		}
		return string(text), err
	}
}

func serveGRPC(t *testing.T, l *lagging) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpcgo.NewServer(grpcgo.UnknownServiceHandler(func(_ any, stream grpcgo.ServerStream) error {
		var in wrapperspb.StringValue
		if err := stream.RecvMsg(&in); err != nil {
			return err
		}
		return stream.SendMsg(wrapperspb.String(l.answer(in.Value)))
	}))
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(ln) })
	t.Cleanup(func() {
		s.Stop()
		serving.Wait()
	})
	return ln.Addr().String()
}

func callGRPC(t *testing.T) caller {
	var mu sync.Mutex
	to := map[string]*grpcgo.ClientConn{}
	t.Cleanup(func() {
		for _, cc := range to {
			cc.Close()
		}
	})
	return func(ctx context.Context, addr, op, id string) (string, error) {
		mu.Lock()
		cc := to[addr]
		if cc == nil {
			var err error
			if cc, err = grpcgo.NewClient("passthrough:///"+addr, grpcgo.WithTransportCredentials(insecure.NewCredentials())); err != nil {
				mu.Unlock()
				return "", err
			}
			to[addr] = cc
		}
		mu.Unlock()
		var out wrapperspb.StringValue
		err := cc.Invoke(ctx, "/sluice.testenv.Lagging/"+op, wrapperspb.String(id), &out)
		return out.Value, err
	}
}

// Of two servers one becomes slow. Calls of operations that are marked are sent to the other one as well, when they take as long as the
// percentile of recent calls says and not before, and are answered by it; what the slow one answers in the end reaches nobody. Calls of
// others are sent once. Of a small budget no more is taken than there is.
func TestBackupByPercentile(t *testing.T) {
	for _, k := range []struct {
		kind, settings string
		serve          func(*testing.T, *lagging) string
		caller         func(*testing.T) caller
	}{
		{"http", "idempotent: [POST /Marked]", serveHTTP, callHTTP},
		{"grpc", "services: [sluice.testenv.Lagging], idempotent: [/sluice.testenv.Lagging/Marked]", serveGRPC, callGRPC},
	} {
		t.Run(k.kind, func(t *testing.T) {
			t.Parallel()
			const slow = 2 * time.Second
			one, two := &lagging{name: "one", got: map[string][]time.Time{}}, &lagging{name: "two", got: map[string][]time.Time{}}
			vars := map[string]string{"kind": k.kind, "settings": k.settings, "one": k.serve(t, one), "two": k.serve(t, two)}
			a := server.Start(t, server.Agent{Config: hedging, Vars: vars})
			do := k.caller(t)
			var ids atomic.Int64
			type done struct {
				id, by string
				first  *lagging      // who got it first
				gap    time.Duration // until the other one got it too; 0: it did not
			}
			// calls makes n calls, eight at a time, and checks that each answer is the call's own.
			calls := func(resource, op string, n int) (all []done) {
				t.Helper()
				var mu sync.Mutex
				var left atomic.Int64
				left.Store(int64(n))
				var running sync.WaitGroup
				for range 8 {
					running.Go(func() {
						for left.Add(-1) >= 0 {
							d := done{id: fmt.Sprint(op, "-", ids.Add(1))}
							ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
							got, err := do(ctx, a.Addr(resource), op, d.id)
							cancel()
							by, id, _ := strings.Cut(got, " ")
							if d.by = by; err != nil || id != d.id {
								t.Errorf("%s: the answer is %q, %v", d.id, got, err)
								continue
							}
							first, second := one.times(d.id), two.times(d.id)
							switch {
							case len(first) > 1 || len(second) > 1 || len(first)+len(second) == 0:
								t.Errorf("%s: one server got it %d times, the other %d times", d.id, len(first), len(second))
								continue
							case len(first) == 0:
								d.first = two
							case len(second) == 0:
								d.first = one
							default:
								if d.first, d.gap = one, second[0].Sub(first[0]); d.gap < 0 {
									d.first, d.gap = two, -d.gap
								}
							}
							mu.Lock()
							all = append(all, d)
							mu.Unlock()
						}
					})
				}
				running.Wait()
				return all
			}
			for _, base := range []time.Duration{20 * time.Millisecond, 200 * time.Millisecond} {
				one.delay.Store(int64(base))
				two.delay.Store(int64(base))
				least := base * 9 / 10 // what the histogram rounds
				calls("calls", "Marked", 200)
				server.Wait(t, 30*time.Second, fmt.Sprintf("backups after more than %v", least), func() error {
					was := 0
					for _, d := range calls("calls", "Marked", 40) {
						if d.gap > 0 && d.gap < least {
							return fmt.Errorf("%s was sent again after %v", d.id, d.gap)
						} else if d.gap > 0 {
							was++
						}
					}
					if was == 0 {
						return fmt.Errorf("there is none")
					}
					return nil
				})
				one.delay.Store(int64(slow))
				again := 0
				for _, d := range calls("calls", "Marked", 24) {
					switch {
					case d.by != "two":
						t.Errorf("%s was answered by the slow server; it was sent again after %v", d.id, d.gap)
					case d.first == one && d.gap < least:
						t.Errorf("%s was sent again after %v; calls take %v", d.id, d.gap, base)
					case d.first == one:
						again++
					}
				}
				if again < 6 {
					t.Errorf("%d calls were for the slow server first, of 24 in turn", again)
				}
				byOne := 0
				for _, d := range calls("calls", "Plain", 16) {
					if d.gap != 0 {
						t.Errorf("%s is not marked, and was sent again after %v", d.id, d.gap)
					}
					if d.by == "one" {
						byOne++
					}
				}
				if byOne < 4 {
					t.Errorf("%d calls that are not marked were answered by the slow server, of 16 in turn", byOne)
				}
			}

			one.delay.Store(int64(50 * time.Millisecond))
			two.delay.Store(int64(50 * time.Millisecond))
			const n = 120
			began, again := time.Now(), 0
			for _, d := range calls("tight", "Marked", n) {
				if d.gap > 0 {
					again++
				}
			}
			if most := n/10 + ha.Allowance*(1+int(time.Since(began)/(ha.Seconds*time.Second))); again < ha.Allowance/2 || again > most {
				t.Errorf("%d of %d slow calls were sent again, at most %d may be", again, n, most)
			}
			if _, text, err := a.Get("/metrics"); err != nil || !strings.Contains(text, `kind_of_retry="backup",outcome="no_budget"`) {
				t.Errorf("the metrics do not say that the budget was used up: %v", err)
			}
			for id := range ids.Load() { // what came after the answer
				for _, op := range []string{"Marked", "Plain"} {
					id := fmt.Sprint(op, "-", id+1)
					if n, m := len(one.times(id)), len(two.times(id)); n > 1 || m > 1 || op == "Plain" && n+m > 1 {
						t.Errorf("%s: the servers got it %d and %d times", id, n, m)
					}
				}
			}
		})
	}
}
