package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/testenv/server"

	sim "github.com/sluice-mesh/sluice/testenv/fleet"
)

// Several real centres on one etcd, with simulated agents that joined them over TLS, as many at each. Every agent reports calls of all
// its resources, and each centre knows all agents and keeps the history of all of them. Centres, etcd and agents share this machine.

// peersOrder says what to measure.
type peersOrder struct {
	Centers   int           `json:"centers"`
	Agents    int           `json:"agents"`    // all together
	Resources int           `json:"resources"` // of each agent; one of them is common to all
	Apps      int           `json:"apps"`      // applications, whose agents have the same resources
	Commits   int           `json:"commits"`   // of the resource that all agents have, at one centre after the other
	Every     time.Duration `json:"every"`     // between two of them
	Idle      time.Duration `json:"idle"`      // in which nothing is changed and agents report every 10 s
}

// peersRow is what came out.
type peersRow struct {
	Order   peersOrder  `json:"order"`
	JoinMs  float64     `json:"join_ms"` // from the first request to join until every centre lists all agents as current
	Centers []centerRow `json:"centers"`
	Taken   []float64   `json:"taken_ms"` // from the request that publishes until the last agent has it, one for each commit
	Here    []float64   `json:"here_ms"`  // until the centre that took the commit knows all acknowledgements
	Every   []float64   `json:"every_ms"` // until every centre does
}

// centerRow is what one centre's process took.
type centerRow struct {
	Settled memory  `json:"settled"`  // after the idle time
	Finally memory  `json:"finally"`  // after all commits
	CPU     float64 `json:"idle_cpu"` // cores, in the idle time
}

func (b *bench) partPeers() error {
	o := peersOrder{Centers: 3, Agents: 1000, Resources: 20, Apps: 10, Commits: 100, Every: 500 * time.Millisecond, Idle: 60 * time.Second}
	if b.quick {
		o.Commits, o.Idle = 12, 20*time.Second
	}
	b.progress(fmt.Sprintf("%d centres with %d agents", o.Centers, o.Agents))
	r, err := measurePeers(b.t, b.binary, o)
	if err != nil {
		return err
	}
	b.results.Peers = r
	b.figure("peers-last", exactly(quantile(r.Here, 0.99)))
	var most int64
	for _, c := range r.Centers {
		most = max(most, c.Finally.Peak)
	}
	b.figure("peers-memory", exactly(float64(most)/1e6))
	return nil
}

// quantile is the least value that a share of all does not exceed.
func quantile(list []float64, share float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[max(int(math.Ceil(share*float64(len(list))))-1, 0)]
}

// peersMesh is one run.
type peersMesh struct {
	o       peersOrder
	row     *peersRow
	centers []*server.CenterProcess
	weight  int // of the newest version

	mu   sync.Mutex
	took map[string]int // agents that took a version of the common resource, by its hash
	all  chan string    // hashes that all have
}

func measurePeers(t server.TB, binary string, o peersOrder) (*peersRow, error) {
	if _, err := raiseFiles(10_000); err != nil {
		return nil, fmt.Errorf("raise the number of open files: %w", err)
	}
	m := &peersMesh{o: o, row: &peersRow{Order: o}, took: map[string]int{}, all: make(chan string, o.Commits+1)}
	if err := m.start(t, binary); err != nil {
		return nil, err
	}
	began := time.Now()
	stop, err := m.join()
	if err != nil {
		return nil, err
	}
	defer stop()
	if err := m.settled(); err != nil {
		return nil, err
	}
	m.row.JoinMs = ms(int64(time.Since(began)))
	for _, step := range []func() error{m.idle, m.commits} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return m.row, nil
}

func (m *peersMesh) start(t server.TB, binary string) error {
	etcd := server.Start(t, server.Etcd{Members: 1})
	config := fmt.Sprintf("center:\n  etcd: { endpoints: [\"%s\"] }\n", strings.Join(etcd.Endpoints(), `", "`))
	data := ""
	for i := range m.o.Centers {
		if i > 0 { // they seal with one key
			key, err := os.ReadFile(filepath.Join(m.centers[0].Data, "seal.key"))
			if err != nil {
				return err
			}
			data = filepath.Join(filepath.Dir(m.centers[0].Data), fmt.Sprintf("data-%d", i+1))
			if err := os.Mkdir(data, 0o700); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(data, "seal.key"), key, 0o600); err != nil {
				return err
			}
		}
		m.centers = append(m.centers, server.Start(t, server.Center{Name: fmt.Sprintf("c%d", i+1), Config: config, Binary: binary, Data: data}))
	}
	m.publish(m.centers[0], common)
	for app := range m.o.Apps {
		for _, name := range m.wants(app)[1:] {
			m.publish(m.centers[0], name)
		}
	}
	return nil
}

func (m *peersMesh) wants(app int) []string {
	names := []string{common}
	for i := range m.o.Resources - 1 {
		names = append(names, fmt.Sprintf("app-%d-%02d", app, i))
	}
	return names
}

// publish makes a version that no other has.
func (m *peersMesh) publish(at *server.CenterProcess, name string) {
	m.weight++
	at.Must("PUT", "/v1/resources/"+name, fmt.Sprintf(`{"kind":"redis","groups":{"yf":{"weight":%d,"endpoints":["10.1.0.1:6379","10.1.0.2:6379"]},`+
		`"tc":{"weight":1,"endpoints":["10.2.0.1:6379"]}}}`, m.weight), "Content-Type", "application/json")
}

// join starts the agents, those of one centre after the other's and all centres' at once.
func (m *peersMesh) join() (stop func(), err error) {
	var join struct{ Token string }
	if err := json.Unmarshal([]byte(m.centers[0].Must("POST", "/v1/joins", fmt.Sprintf(`{"uses": %d}`, m.o.Agents))), &join); err != nil {
		return nil, fmt.Errorf("join token: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running, joining sync.WaitGroup
	stop = func() {
		cancel()
		running.Wait()
	}
	known := newMemo()
	failed := make(chan error, len(m.centers))
	for at := range m.centers {
		joining.Go(func() {
			for i := at; i < m.o.Agents; i += len(m.centers) {
				a := &sim.Agent{Hello: control.Hello{Name: fmt.Sprintf("agent-%04d", i), Application: fmt.Sprintf("app-%d", i%m.o.Apps), IDC: []string{"yf", "tc"}[i%2],
					Version: "bench", Host: fmt.Sprintf("host-%04d", i), Wants: m.wants(i % m.o.Apps)}}
				var err error
				if a.Dial, err = sim.Join(ctx, m.centers[at].Address, join.Token, a.Hello.Name); err != nil {
					failed <- err
					return
				}
				pretend(a)
				a.Parse, a.Hash, a.Report, a.Updated = known.parse, known.hash, sim.Calls(a.Hello.Wants), m.updated
				running.Go(func() { _ = a.Keep(ctx) }) // whoever waits for the agents sees that one is not there
			}
		})
	}
	joining.Wait()
	select {
	case err := <-failed:
		stop()
		return nil, fmt.Errorf("join: %w", err)
	default:
		return stop, nil
	}
}

// updated notes that an agent answered an update.
func (m *peersMesh) updated(u *control.Update) {
	for i := range u.Resources {
		if r := &u.Resources[i]; r.Name == common {
			m.mu.Lock()
			m.took[r.Hash]++
			last := m.took[r.Hash] == m.o.Agents
			m.mu.Unlock()
			if last {
				m.all <- r.Hash
			}
		}
	}
}

// settled waits until every centre lists all agents as current.
func (m *peersMesh) settled() error {
	for _, c := range m.centers {
		for end := time.Now().Add(3 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
			var list struct {
				Agents []struct{ Connected, Behind, Ready bool }
			}
			_, answer, err := c.Call("GET", "/v1/agents", "")
			if err == nil {
				err = json.Unmarshal([]byte(answer), &list)
			}
			current := 0
			for _, a := range list.Agents {
				if a.Connected && a.Ready && !a.Behind {
					current++
				}
			}
			if current == m.o.Agents {
				break
			}
			if time.Now().After(end) {
				return errors.Join(err, fmt.Errorf("%d of %d agents are current after three minutes", current, m.o.Agents))
			}
		}
	}
	for len(m.all) > 0 {
		<-m.all
	}
	return nil
}

func (m *peersMesh) idle() error {
	time.Sleep(10 * time.Second) // a round of reports
	before := make([]int64, len(m.centers))
	for i, c := range m.centers {
		var err error
		if before[i], err = cpuTime(c.PID()); err != nil {
			return err
		}
	}
	began := time.Now()
	time.Sleep(m.o.Idle)
	took := time.Since(began)
	for i, c := range m.centers {
		now, err := cpuTime(c.PID())
		if err != nil {
			return err
		}
		row := centerRow{CPU: float64(now-before[i]) / float64(took)}
		if row.Settled, err = memoryOf(c.PID()); err != nil {
			return err
		}
		m.row.Centers = append(m.row.Centers, row)
	}
	return nil
}

func (m *peersMesh) commits() error {
	tick := time.NewTicker(m.o.Every)
	defer tick.Stop()
	for n := range m.o.Commits {
		<-tick.C
		at := m.centers[n%len(m.centers)]
		began := time.Now()
		m.publish(at, common)
		select {
		case <-m.all:
		case <-time.After(time.Minute):
			return fmt.Errorf("commit %d did not reach all agents within a minute", n+1)
		}
		m.row.Taken = append(m.row.Taken, ms(int64(time.Since(began))))
		for i := range m.centers { // the one that took the commit first
			if err := m.acknowledged(m.centers[(n+i)%len(m.centers)]); err != nil {
				return err
			}
			if i == 0 {
				m.row.Here = append(m.row.Here, ms(int64(time.Since(began))))
			}
		}
		m.row.Every = append(m.row.Every, ms(int64(time.Since(began))))
	}
	for i, c := range m.centers {
		var err error
		if m.row.Centers[i].Finally, err = memoryOf(c.PID()); err != nil {
			return err
		}
	}
	return nil
}

// acknowledged waits until a centre knows that all agents run the newest version.
func (m *peersMesh) acknowledged(c *server.CenterProcess) error {
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		var of struct {
			Groups []struct {
				Name   string
				Weight int
			}
			Applied struct{ Agents, Applied int }
			Config  struct {
				Groups map[string]struct{ Weight int }
			}
		}
		_, answer, err := c.Call("GET", "/v1/resources/"+common, "")
		if err == nil {
			err = json.Unmarshal([]byte(answer), &of)
		}
		if err == nil && of.Config.Groups["yf"].Weight == m.weight && of.Applied.Applied == m.o.Agents {
			return nil
		}
		if time.Now().After(end) {
			return errors.Join(err, fmt.Errorf("after a minute %d of %d agents run the newest version", of.Applied.Applied, m.o.Agents))
		}
	}
}

func (r *peersRow) print(w io.Writer) {
	o := r.Order
	fmt.Fprintf(w, "\n%d centres on one etcd, %d agents of %d resources each; all known to all %.1f s after the first one asked to join\n",
		o.Centers, o.Agents, o.Resources, r.JoinMs/1e3)
	t := table(w)
	fmt.Fprintln(t, "\tcommits\tp50 ms\tp99 ms\tmax ms\t")
	for _, x := range []struct {
		name string
		ms   []float64
	}{
		{"publishing to the last agent", r.Taken},
		{"to the last acknowledgement, as the centre that published it knows", r.Here},
		{"as every centre knows, asked one after the other", r.Every},
	} {
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.1f\t%.1f\t\n", x.name, len(x.ms), median(x.ms), quantile(x.ms, 0.99), slices.Max(x.ms))
	}
	t.Flush()
	for i, c := range r.Centers {
		fmt.Fprintf(w, "centre %d: %.0f MB resident, %.0f MB at most; %.3f cores while nothing changes\n", i+1,
			float64(c.Settled.Resident)/1e6, float64(c.Finally.Peak)/1e6, c.CPU)
	}
}
