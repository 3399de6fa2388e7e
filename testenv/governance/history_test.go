package governance

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/testenv/fleet"
	"github.com/sluice-mesh/sluice/testenv/history"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// Six clients change and read the same documents, drafts and commands at two centres on one etcd at once, and do not always wait for the
// answer: one order of all changes explains what each of them saw, the audit log has each change once, and what agents and pages were told
// piece by piece is what there is.
func TestHistoryOfTwoCenters(t *testing.T) {
	t.Parallel()
	c, _ := startCenters(t, 1)
	one, two := c.all["c1"], c.all["c2"]
	clients := startCrowd(t, 6, one, two)
	told := clients.follow(c.lab, one, two)
	clients.more(300, "at two centres")
	clients.judge(told)
	final := clients.final()
	c.await(10*time.Second, "the agent to have the commands that are in force", func() error {
		s, err := statusOf(c.agent)
		var has []string
		for _, x := range s.Commands {
			has = append(has, x.ID)
		}
		slices.Sort(has)
		if err == nil && !slices.Equal(has, final.ids()) {
			err = fmt.Errorf("it has %v and there are %v", has, final.ids())
		}
		return err
	})
	c.app.unharmed(t, "while two centres were busy")
}

// The same at one centre with a file.
func TestHistoryOfOneCenter(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.put("feed-cache", redisSpec("127.0.0.1:1", "127.0.0.1:2"))
	clients := startCrowd(t, 6, l.center)
	told := clients.follow(l, l.center)
	clients.more(400, "at one centre")
	clients.judge(told)
}

// judge ends the clients and judges all that they saw.
func (c *crowd) judge(told []*told) {
	c.Helper()
	c.end()
	last := c.client(0)
	for _, n := range c.nodes {
		c.level(last, n)
		for _, key := range crowdDocuments {
			last.look(n, key, history.Read)
		}
		for _, key := range crowdDrafts {
			last.look(n, key, history.Read)
		}
		last.list(n, history.Read)
		last.ended(n)
	}
	ops := c.rec.Ops()
	c.Logf("%d operations; of the changes %v", len(ops), c.count)
	for _, o := range []history.Outcome{history.Done, history.Refused, history.Missing, history.Unknown} {
		if c.count[o] == 0 {
			c.Errorf("no change was %s: this says little", o)
		}
	}
	if err := history.Check(ops, 20*time.Second); err != nil {
		c.Error(err)
	}
	c.audited()
	final := c.final()
	for _, x := range told {
		x.replays(c, final)
	}
}

// level waits until a centre's own views have all that was changed so far: it answers a change when they do.
func (c *crowd) level(last *crowdClient, n node) {
	c.Helper()
	server.Wait(c, 30*time.Second, n.name+" to be up to date", func() error {
		for _, change := range [][3]string{
			{http.MethodPut, "/v1/resources/h-end?why=end", "kind: redis\nlabels: { by: " + c.fresh("e") + " }\ngroups: { yf: { endpoints: [\"127.0.0.1:1\"] } }\n"},
			{http.MethodPost, "/v1/commands", `{"type": "switch", "select": {"name": "feed-cache"}, "weights": {"tc": 1}, "why": "end at ` + n.name + `"}`},
		} {
			a, err := last.ask(c.Context(), n, change[0], change[1], change[2], nil)
			switch {
			case err != nil:
				return err
			case a.status > 299:
				return fmt.Errorf("%d %s", a.status, a.body)
			case a.over-a.called > promised:
				return errors.New("it took too long")
			}
			if change[0] == http.MethodPost {
				var made struct{ ID string }
				if err := json.Unmarshal(a.body, &made); err != nil {
					return err
				}
				if a, err := last.ask(c.Context(), n, http.MethodDelete, "/v1/commands/"+made.ID, "", nil); err != nil || a.status != http.StatusOK || a.over-a.called > promised {
					return fmt.Errorf("%d %s %v", a.status, a.body, err)
				}
			}
		}
		return nil
	})
}

// audited compares the audit log with the changes: each that was made is there once, each that was refused is not, and the log's order is
// that of the revisions.
func (c *crowd) audited() {
	c.Helper()
	type entry struct {
		N    uint64
		Why  string
		Keys []struct{ Key string }
	}
	var log []entry // newest first
	for before := uint64(0); ; {
		var page struct {
			Entries []entry
			Chain   struct {
				OK   bool
				UpTo uint64
				Why  string
			}
		}
		last := c.client(0)
		path := "/v1/audit?limit=1000"
		if before > 0 {
			path += fmt.Sprint("&before=", before)
		}
		for _, n := range c.nodes { // each of them reads the chain
			a, err := last.ask(c.Context(), n, http.MethodGet, path, "", nil)
			if err != nil || a.status != http.StatusOK || json.Unmarshal(a.body, &page) != nil {
				c.Fatalf("GET %s at %s: %d %.200s %v", path, n.name, a.status, a.body, err)
			}
			if !page.Chain.OK {
				c.Errorf("%s says of the audit log: %s", n.name, page.Chain.Why)
			}
		}
		if len(page.Entries) == 0 {
			break
		}
		log = append(log, page.Entries...)
		if before = log[len(log)-1].N; before == 1 {
			break
		}
	}
	times := make(map[string]int)
	revision, at := int64(0), uint64(0)
	for _, e := range slices.Backward(log) {
		if at++; e.N != at {
			c.Fatalf("entry %d of the audit log is where %d should be", e.N, at)
		}
		change := c.changes[e.Why]
		if change == nil {
			continue
		}
		times[e.Why]++
		if !slices.ContainsFunc(e.Keys, func(k struct{ Key string }) bool { return strings.HasPrefix(k.Key, change.stored) }) {
			c.Errorf("entry %d tells of %v, and the change was: %v", e.N, e.Keys, change.op)
		}
		if change.revision > 0 {
			if change.revision <= revision {
				c.Errorf("entry %d is of revision %d, and one before it of %d", e.N, change.revision, revision)
			}
			revision = change.revision
		}
	}
	for why, change := range c.changes {
		least, most := 0, 0
		switch change.op.Outcome {
		case history.Done:
			least, most = 1, 1
		case history.Unknown:
			most = 1
		}
		if n := times[why]; n < least || n > most {
			c.Errorf("the audit log has %d entries for %s: %v", n, why, change.op)
		}
	}
}

// final is what there is in the end: the ETags of documents, and the commands in force by reason.
type final struct {
	documents map[string]string
	commands  map[string]string
}

// ids returns the commands in force.
func (f final) ids() []string { return slices.Sorted(maps.Values(f.commands)) }

func (f final) equal(g final) bool {
	return maps.Equal(f.documents, g.documents) && maps.Equal(f.commands, g.commands)
}

// final reads what there is in the end. All centres must say the same.
func (c *crowd) final() final {
	c.Helper()
	var first final
	for i, n := range c.nodes {
		f, err := c.client(0).all(c.Context(), n)
		switch {
		case err != nil:
			c.Fatal(err)
		case i == 0:
			first = f
		case !f.equal(first):
			c.Fatalf("%s says %v and %s says %v", c.nodes[0].name, first, n.name, f)
		}
	}
	return first
}

// all reads what a page shows.
func (c *crowdClient) all(ctx context.Context, n node) (final, error) {
	f := final{make(map[string]string), make(map[string]string)}
	for _, path := range []string{"/v1/resources", "/v1/commands"} {
		a, err := c.ask(ctx, n, http.MethodGet, path, "", nil)
		if err != nil || a.status != http.StatusOK {
			return f, fmt.Errorf("GET %s at %s: %d %.200s %w", path, n.name, a.status, a.body, err)
		}
		var body struct {
			Resources []struct{ Name, ETag string }
			Commands  []struct{ ID, Why string }
		}
		if err := json.Unmarshal(a.body, &body); err != nil {
			return f, err
		}
		for _, r := range body.Resources {
			f.documents[r.Name] = r.ETag
		}
		for _, x := range body.Commands {
			f.commands[x.Why] = x.ID
		}
	}
	return f, nil
}

// told is who is told of changes by one centre: a page, and an agent.
type told struct {
	node  node
	agent *fleet.Agent
	late  func() *fleet.Agent // another agent, which links now

	mu    sync.Mutex
	page  final // guarded by mu
	links int   // streams of the page; guarded by mu
}

// wanted are the resources of the simulated agents.
var wanted = []string{"feed-cache", "h-1", "h-2", "h-3"}

// follow opens a page and links a simulated agent at each centre.
func (c *crowd) follow(l *lab, centers ...*server.CenterProcess) []*told {
	c.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	c.Cleanup(func() {
		cancel()
		running.Wait()
	})
	var out []*told
	for i, center := range centers {
		link := func(name string) *fleet.Agent {
			dial, err := fleet.Join(ctx, center.Address, l.joinToken(1), name)
			if err != nil {
				c.Fatal(err)
			}
			a := &fleet.Agent{Hello: control.Hello{Name: name, Application: "app", IDC: "yf", Wants: wanted}, Dial: dial}
			running.Go(func() { _ = a.Keep(ctx) })
			return a
		}
		x := &told{node: c.nodes[i], agent: link("early-" + c.nodes[i].name)}
		x.late = func() *fleet.Agent { return link("late-" + x.node.name) }
		page := c.client(0)
		running.Go(func() { x.follow(ctx, page) })
		out = append(out, x)
	}
	return out
}

// follow is a page: it reads all when it comes, and again whenever it is told that documents or commands are others. When the stream
// ends it comes back and says up to where it knows.
func (x *told) follow(ctx context.Context, c *crowdClient) {
	defer c.http.CloseIdleConnections()
	last := ""
	for ctx.Err() == nil {
		x.stream(ctx, c, &last)
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (x *told) stream(ctx context.Context, c *crowdClient, last *string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, x.node.url+"/v1/events", nil)
	if err != nil {
		c.Error(err)
		return
	}
	r.Header.Set("Authorization", "Bearer "+x.node.token)
	if *last != "" {
		r.Header.Set("Last-Event-ID", *last)
	}
	answer, err := (&http.Client{Transport: c.http.Transport}).Do(r) // without a limit of time
	if err != nil {
		return
	}
	defer answer.Body.Close()
	x.mu.Lock()
	x.links++
	x.mu.Unlock()
	event, id := "", ""
	for text := bufio.NewScanner(answer.Body); text.Scan(); {
		if e, ok := strings.CutPrefix(text.Text(), "event: "); ok {
			event, id = e, ""
		}
		if n, ok := strings.CutPrefix(text.Text(), "id: "); ok {
			id = n
		}
		data, ok := strings.CutPrefix(text.Text(), "data: ")
		if !ok || event != "changed" && (event != "hello" || *last != "") {
			continue
		}
		var m struct{ Topics []string }
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			c.Errorf("%v in %s", err, data)
			return
		}
		if event == "hello" || slices.ContainsFunc(m.Topics, func(t string) bool { return t == "resources" || t == "commands" || t == "everything" }) {
			f, err := c.all(ctx, x.node)
			if err != nil {
				return // what was not read is told again: last is what it was
			}
			x.mu.Lock()
			x.page = f
			x.mu.Unlock()
		}
		if id != "" {
			*last = id
		}
	}
}

// replays makes sure that what the page and the agent were told piece by piece comes to what there is, and to what an agent gets that
// links now.
func (x *told) replays(c *crowd, f final) {
	c.Helper()
	server.Wait(c, 15*time.Second, "the page at "+x.node.name+" to show what there is", func() error {
		x.mu.Lock()
		defer x.mu.Unlock()
		if !x.page.equal(f) {
			return fmt.Errorf("it shows %v and there is %v", x.page, f)
		}
		return nil
	})
	late := x.late()
	for name, a := range map[string]*fleet.Agent{"that was linked all the time": x.agent, "that links now": late} {
		server.Wait(c, 15*time.Second, "the agent at "+x.node.name+" "+name+" to have what there is", func() error {
			var has []string
			for key := range a.Commands() {
				id, _, _ := strings.Cut(key, " ")
				has = append(has, id)
			}
			slices.Sort(has)
			if !slices.Equal(has, f.ids()) {
				return fmt.Errorf("it has the commands %v and there are %v", has, f.ids())
			}
			for _, name := range wanted {
				if _, there := f.documents[name]; there != (a.Resources()[name] != "") {
					return fmt.Errorf("it has %v and there are %v", a.Resources(), f.documents)
				}
			}
			if a == x.agent && !maps.Equal(a.Resources(), late.Resources()) {
				return fmt.Errorf("it has %v and one that links now %v", a.Resources(), late.Resources())
			}
			return nil
		})
	}
	seen := x.agent.Seen()
	c.Logf("at %s the agent got %d updates over %d links, %d of them whole", x.node.name, seen.Updates, seen.Links, seen.Fulls)
	if seen.Updates <= seen.Fulls {
		c.Errorf("at %s the agent got nothing piece by piece: %+v", x.node.name, seen)
	}
}
