package mesh

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// Oneway requests are executed once, by real servers behind one agent and two, and nothing comes back for them, though motan-go's
// server writes answers to them.
func TestOneway(t *testing.T) {
	t.Parallel()
	for _, s := range []*motan.ServerProcess{motan.Serve(t, motan.Server{}), motan.Serve(t, motan.Server{Peer: motan.Java})} {
		one := forward(t, s.Addr)
		theirs := motan.StartAgent(t, motan.Agent{Exports: []motan.Export{{Local: s.Addr}}, Filters: "-"})
		for what, addr := range map[string]string{
			"our agent": one.Addr("peers"), "two of ours": forward(t, one.Addr("peers")).Addr("peers"),
			"ours and theirs": forward(t, theirs.Export).Addr("peers"),
		} {
			t.Run(s.Name+" behind "+what, func(t *testing.T) {
				const calls = 40
				r := dialRaw(t, "tcp", addr)
				id := fmt.Sprint(t.Name(), time.Now().UnixNano())
				next := uint64(1)
				for range calls {
					r.send(next, motan2.TypeOneway, "count", id, int64(0))
					r.send(next+1, 0, "join", "after", int64(next), true)
					r.want(next+1, fmt.Sprint("after ", next, " true")) // and nothing else
					next += 2
				}
				server.Wait(t, 10*time.Second, "all to be executed", func() error {
					next++
					r.send(next, 0, "counted", id)
					if n := r.answer(next); n != int64(calls) {
						return fmt.Errorf("%v are", n)
					}
					return nil
				})
			})
		}
	}
}

// delayed holds each call that an agent gets.
func delayed(t *testing.T, a *server.AgentProcess, by time.Duration) (id string) {
	t.Helper()
	return command(t, a, fmt.Sprintf(`{"type":"fault","resource":"peers","delay":%q,"why":"test"}`, by))
}

// The time that a call has is less by what each agent on its way took of it, and a call that has none left goes no further.
func TestTimeIsCountedDown(t *testing.T) {
	t.Parallel()
	const took = 150 * time.Millisecond // at each agent
	for _, s := range []*motan.ServerProcess{motan.Serve(t, motan.Server{}), motan.Serve(t, motan.Server{Peer: motan.Java})} {
		second := forward(t, s.Addr)
		tap := motan.StartTap(t, second.Addr("peers"))
		first := forward(t, tap.Addr)
		delayed(t, second, took)
		hold := delayed(t, first, took)
		for peer, asked := range map[motan.Peer]int{motan.Go: 2500, motan.Java: 3000, motan.PHP: 3000} { // where the client says nothing, it is policy.timeout
			c := motan.Dial(t, motan.Client{Peer: peer, Registry: motan.Direct(first.Addr("peers"))})
			call := motan.Attachments()
			if peer == motan.Go {
				call.Timeout = time.Duration(asked) * time.Millisecond
			}
			tap.Take()
			got, _ := c.Must(call).(map[string]string)
			at := map[string]string{}
			for _, f := range tap.Frames() {
				if !f.FromServer && f.Meta()[motan2.KeyMethod] == call.Method {
					at = f.Meta()
				}
			}
			most := asked
			for hop, meta := range []map[string]string{at, got} {
				most -= int(took.Milliseconds())
				left, err := strconv.Atoi(meta[motan2.KeyTimeout])
				if err != nil || left < 1 || left > most {
					t.Errorf("%s to %s: of %d ms are %q left behind agent %d, at most %d could be: %v", peer, s.Name, asked, meta[motan2.KeyTimeout], hop+1, most, err)
				}
				most = left
			}
		}
		undo(t, first, hold)
		hold = delayed(t, first, time.Second)
		c := motan.Dial(t, motan.Client{Registry: motan.Direct(first.Addr("peers"))})
		tap.Take()
		id := fmt.Sprint(t.Name(), time.Now().UnixNano())
		late := motan.Count(id, 0)
		late.Attachments = map[string]string{motan2.KeyTimeout: "50"}
		coded(t, c, late, 10003, "sluice: ")
		undo(t, first, hold)
		is(t, c, motan.Counted(id), int64(0))
		for _, f := range tap.Frames() {
			if !f.FromServer && f.Meta()[motan2.KeyMethod] == late.Method {
				t.Error("a call whose time was over was sent")
			}
		}
	}
}

// impatient is an agent whose calls have little time, and are sent again where they may be.
const impatient = `
agent: { admin: {{addr "admin"}}, application: mesh-test, drain: { wait: 0s } }
resources:
  peers:
    kind: motan2
    listen: {{addr "forward"}}
    settings: { service: sluice.testenv.PeerService, idempotent: ["*"], heartbeat: 1s }
    groups: { testenv: { endpoints: [{{.servers}}] } }
    policy: { timeout: 500ms, balance: round-robin, failover: { tries: 3, budget: 100% }, eject: { consecutive: -1, errors: 100% } }
`

// both waits until two servers answer in turn; a call may be too late on the way there.
func both(t *testing.T, c *motan.ClientProcess) {
	t.Helper()
	server.Wait(t, 30*time.Second, "both servers to answer", func() error {
		seen := map[any]bool{}
		for range 10 {
			if r := c.Do(motan.Name()); r.Exception == nil {
				seen[r.Value] = true
			}
		}
		if len(seen) != 2 {
			return fmt.Errorf("there are %v", seen)
		}
		return nil
	})
}

// A server stops reading in the middle of large requests, which are given up and, where they are small enough, sent to another
// one. It goes on later: what it then reads are the requests as clients sent them, each answer is that of its own call, and the
// other server's calls are unharmed.
func TestStalledPeers(t *testing.T) {
	t.Parallel()
	servers := []*motan.ServerProcess{motan.Serve(t, motan.Server{}), motan.Serve(t, motan.Server{Peer: motan.Java})}
	for i, stalled := range servers {
		tap := motan.StartTap(t, stalled.Addr)
		a := server.Start(t, server.Agent{Config: impatient, Vars: map[string]string{"servers": `"` + tap.Addr + `", "` + servers[1-i].Addr + `"`}})
		c := motan.Dial(t, motan.Client{Registry: motan.Direct(a.Addr("peers")), Parameters: map[string]string{"errorCountThreshold": "1000000"}})
		both(t, c)
		n := 0
		var late, answered int
		round := func() {
			var calls []motan.Call
			for size := range 16 {
				letter := string(rune('a' + n%26))
				calls = append(calls, motan.Echo(fmt.Sprint(n, " ", strings.Repeat(letter, []int{512 << 10, 60 << 10, 200 << 10, 100}[size%4]))))
				n++
			}
			for k, r := range c.Multi(calls...) {
				switch {
				case r.Exception == nil && r.Value == calls[k].Args[0]:
					answered++
				case r.Exception != nil && (r.Exception.Code == 10003 || r.Exception.Code == 10023 || r.Exception.Code == 10001):
					late++
				default:
					t.Fatalf("%s stands still: a call with %.20v got %.40v, %v", stalled.Name, calls[k].Args[0], r.Value, r.Exception)
				}
			}
		}
		round()
		late, answered = 0, 0
		stalled.Pause()
		for range 2 {
			round()
		}
		if late == 0 || answered == 0 {
			t.Errorf("%s stands still: %d calls were too late, %d were answered", stalled.Name, late, answered)
		}
		stalled.Continue()
		both(t, c)
		round()
		requests := 0
		for _, f := range tap.Frames() {
			if f.FromServer || f.Meta()[motan2.KeyMethod] != "echo" {
				continue
			}
			requests++
			number, text, ok := strings.Cut(string(f.Body()[5:]), " ") // behind the tag and the size
			if k, err := strconv.Atoi(number); !ok || err != nil || strings.Trim(text, string(rune('a'+k%26))) != "" {
				t.Fatalf("%s was sent a request with the bytes of another: %.40q", stalled.Name, f.Body())
			}
		}
		if requests < 16 {
			t.Errorf("%s was sent %d requests", stalled.Name, requests)
		}
	}
}
