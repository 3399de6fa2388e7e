package governance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/history"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// crowd are clients that change and read the same documents, drafts and commands at once, each at all centres.
type crowd struct {
	*testing.T
	rec   *history.Recorder
	nodes []node
	stop  context.CancelFunc
	all   sync.WaitGroup

	mu        sync.Mutex
	next      int
	revisions map[int64]string    // of the store: what was written at it, as KEY VALUE
	changes   map[string]*changed // by reason, which is unique
	commands  map[string]string   // by reason of those that were attempted: the id, "" while it is not known
	live      []string            // reasons of commands that nobody has begun to undo
	count     map[history.Outcome]int
}

// node is a centre as clients know it.
type node struct{ name, url, token string }

// changed is what a client knows of a change that it made.
type changed struct {
	op       history.Op
	stored   string // beginning of the key in the store
	revision int64  // 0: not told
}

// Keys of a crowd: documents, drafts of other documents, and a command for each reason.
var (
	crowdDocuments = []string{"resources/h-1", "resources/h-2", "resources/h-3"}
	crowdDrafts    = []string{"drafts/d-1", "drafts/d-2"}
)

// promised is how long a centre waits until its own views have a change before it answers, less a reserve.
const promised = 1500 * time.Millisecond

// startCrowd starts clients that go on until end.
func startCrowd(t *testing.T, clients int, centers ...*server.CenterProcess) *crowd {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	c := &crowd{T: t, rec: history.NewRecorder(), stop: stop, revisions: make(map[int64]string), changes: make(map[string]*changed),
		commands: make(map[string]string), count: make(map[history.Outcome]int)}
	for i, center := range centers {
		c.nodes = append(c.nodes, node{fmt.Sprint("c", i+1), center.URL(), center.Token()})
	}
	for i := range clients {
		one := c.client(i + 1)
		c.all.Go(func() {
			defer one.http.CloseIdleConnections()
			for ctx.Err() == nil {
				one.do(c.nodes[one.random.IntN(len(c.nodes))])
			}
		})
	}
	t.Cleanup(c.end)
	return c
}

// end waits until no client does anything.
func (c *crowd) end() {
	c.stop()
	c.all.Wait()
}

// more waits until this many more changes were made.
func (c *crowd) more(n int, when string) {
	c.Helper()
	made := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.count[history.Done]
	}
	before := made()
	server.Wait(c, 60*time.Second, fmt.Sprint(n, " changes ", when), func() error {
		if now := made(); now < before+n {
			return fmt.Errorf("%d were made", now-before)
		}
		return nil
	})
}

// fresh returns a text that nobody had before.
func (c *crowd) fresh(what string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	return fmt.Sprint(what, "-", c.next)
}

// noted makes sure that each revision of the store is of one change.
func (c *crowd) noted(revision int64, key, value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	is := key + " " + value
	if was, ok := c.revisions[revision]; ok && was != is {
		c.Errorf("revision %d is %s and %s", revision, was, is)
	}
	c.revisions[revision] = is
}

// begun notes that a change is on its way.
func (c *crowd) begun(why, stored string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes[why] = &changed{stored: stored, op: history.Op{Outcome: history.Unknown}}
}

// crowdClient is one client of a crowd.
type crowdClient struct {
	*crowd
	number int
	http   *http.Client
	random *rand.Rand
	seen   map[string]version // by key
}

// version is what a client knows of a key: its value, and the ETag of that.
type version struct{ value, etag string }

func (c *crowd) client(number int) *crowdClient {
	return &crowdClient{c, number, &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}, rand.New(rand.NewPCG(1, uint64(number))), make(map[string]version)}
}

// answer is what a centre said; status 0: nothing that counts.
type answer struct {
	status int
	etag   string
	body   []byte
	called time.Duration
	over   time.Duration
}

// errNotSent is the error of a request that cannot have reached the centre.
var errNotSent = errors.New("nobody listens")

func (c *crowdClient) ask(ctx context.Context, n node, method, path, body string, v *version) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, n.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Authorization", "Bearer "+n.token)
	switch {
	case v == nil:
	case v.value == history.Nothing:
		r.Header.Set("If-None-Match", "*")
	default:
		r.Header.Set("If-Match", v.etag)
	}
	a := answer{called: c.rec.Now()}
	defer func() { a.over = c.rec.Now() }()
	got, err := c.http.Do(r)
	if err != nil {
		var failed *net.OpError
		if errors.As(err, &failed) && failed.Op == "dial" {
			err = errNotSent
		}
		a.over = c.rec.Now()
		return a, err
	}
	defer got.Body.Close()
	a.body, err = io.ReadAll(got.Body)
	a.over = c.rec.Now()
	if err == nil {
		a.status, a.etag = got.StatusCode, got.Header.Get("ETag")
	}
	return a, err
}

// do makes one random operation at a centre.
func (c *crowdClient) do(n node) {
	switch p := c.random.IntN(100); {
	case p < 22:
		c.write(n, one(c.random, crowdDocuments))
	case p < 28:
		c.remove(n, one(c.random, crowdDocuments))
	case p < 44:
		c.show(n, one(c.random, crowdDocuments))
	case p < 54:
		c.write(n, one(c.random, crowdDrafts))
	case p < 58:
		c.remove(n, one(c.random, crowdDrafts))
	case p < 66:
		c.read(n, one(c.random, crowdDrafts))
	case p < 78:
		c.command(n)
	case p < 88:
		c.undo(n)
	case p < 96:
		c.list(n, history.View)
	default:
		c.ended(n)
	}
}

func one[T any](random *rand.Rand, list []T) T { return list[random.IntN(len(list))] }

// pathOf is where a key of the store is served.
func pathOf(key string) string {
	if name, ok := strings.CutPrefix(key, "drafts/"); ok {
		return "/v1/resources/" + name + "/draft"
	}
	return "/v1/" + key
}

// change makes a change, which some clients do not wait for, and records it. note takes what a change that was made is answered with.
func (c *crowdClient) change(n node, o history.Op, why, method, path, body string, v *version, note func(answer) int64) {
	ctx := context.Background()
	if c.random.IntN(16) == 0 {
		short, cancel := context.WithTimeout(ctx, time.Duration(c.random.IntN(8_000))*time.Microsecond)
		defer cancel()
		ctx = short
	}
	if v != nil {
		o.If = history.Was(v.value)
	}
	stored := o.Key
	if strings.HasPrefix(stored, "commands/") {
		stored = "commands/g-"
	}
	c.begun(why, stored)
	a, err := c.ask(ctx, n, method, path, body, v)
	var revision int64
	o.Client, o.Node, o.Call, o.Return = c.number, n.name, a.called, a.over
	switch {
	case errors.Is(err, errNotSent):
		o.Outcome = history.Refused
		time.Sleep(10 * time.Millisecond) // nobody listens: this is no hurry
	case err != nil || a.status >= 500:
		o.Outcome = history.Unknown
	case a.status < 300:
		o.Outcome, o.Shown = history.Done, !strings.HasPrefix(o.Key, "drafts/") && o.Return-o.Call < promised
		if note != nil {
			revision = note(a)
		}
	case a.status == http.StatusPreconditionFailed:
		o.Outcome = history.Refused
	case a.status == http.StatusNotFound && o.Kind == history.Delete:
		o.Outcome = history.Missing
	default:
		c.Errorf("%s %s at %s: %d %s", method, path, n.name, a.status, a.body)
		o.Outcome = history.Unknown
	}
	c.mu.Lock()
	c.changes[why].op, c.changes[why].revision = o, revision
	c.count[o.Outcome]++
	c.mu.Unlock()
	if !errors.Is(err, errNotSent) {
		c.rec.Add(o)
	}
	if o.Shown && c.random.IntN(2) == 0 { // whoever was answered sees it at once
		if strings.HasPrefix(o.Key, "commands/") {
			c.list(n, history.View)
		} else {
			c.show(n, o.Key)
		}
	}
}

func (c *crowdClient) write(n node, key string) {
	value := c.fresh("w")
	body := fmt.Sprintf("kind: redis\nlabels: { by: %s }\ngroups: { yf: { endpoints: [\"127.0.0.1:1\"] } }\n", value)
	c.change(n, history.Op{Key: key, Kind: history.Write, Value: value}, value, http.MethodPut, pathOf(key)+"?why="+value, body, c.condition(key),
		func(a answer) int64 { return c.know(key, value, a.etag) })
}

// condition is what the client last saw, at times.
func (c *crowdClient) condition(key string) *version {
	if v, ok := c.seen[key]; ok && c.random.IntN(3) > 0 {
		return &v
	}
	return nil
}

// know keeps what a key is, and returns its revision.
func (c *crowdClient) know(key, value, etag string) int64 {
	c.seen[key] = version{value, etag}
	if value == history.Nothing {
		return 0
	}
	revision, err := strconv.ParseInt(strings.Trim(etag, `"`), 10, 64)
	if err != nil || etag != fmt.Sprintf(`"%d"`, revision) {
		c.Errorf("%s: the ETag is %s", key, etag)
	}
	c.noted(revision, key, value)
	return revision
}

func (c *crowdClient) remove(n node, key string) {
	why := c.fresh("d")
	v := c.condition(key)
	if v != nil && v.value == history.Nothing || strings.HasPrefix(key, "drafts/") {
		v = nil
	}
	c.change(n, history.Op{Key: key, Kind: history.Delete}, why, http.MethodDelete, pathOf(key)+"?why="+why, "", v, nil)
}

var writtenBy = regexp.MustCompile(`\bby: (\w+-\d+)`)

// read reads a draft, which comes from the store.
func (c *crowdClient) read(n node, key string) { c.look(n, key, history.Read) }

// show reads a document, which comes from the centre's memory.
func (c *crowdClient) show(n node, key string) { c.look(n, key, history.View) }

func (c *crowdClient) look(n node, key string, kind history.Kind) {
	a, err := c.ask(context.Background(), n, http.MethodGet, pathOf(key), "", nil)
	if err != nil || a.status >= 500 {
		c.idle(err)
		return
	}
	o := history.Op{Client: c.number, Node: n.name, Key: key, Kind: kind, Outcome: history.Done, Call: a.called, Return: a.over}
	var body struct {
		YAML   string
		Labels struct{ By string }
		ETag   string
	}
	switch err := json.Unmarshal(a.body, &body); {
	case a.status == http.StatusNotFound:
	case a.status != http.StatusOK || err != nil:
		c.Errorf("GET %s at %s: %d %s %v", pathOf(key), n.name, a.status, a.body, err)
		return
	case body.Labels.By != "":
		o.Value, a.etag = body.Labels.By, body.ETag
	default:
		m := writtenBy.FindStringSubmatch(body.YAML)
		if m == nil {
			c.Errorf("GET %s at %s: nobody wrote %s", pathOf(key), n.name, a.body)
			return
		}
		o.Value = m[1]
	}
	c.know(key, o.Value, a.etag)
	c.rec.Add(o)
}

// idle keeps a client from asking in vain all the time.
func (c *crowdClient) idle(err error) {
	if errors.Is(err, errNotSent) {
		time.Sleep(10 * time.Millisecond)
	}
}

func (c *crowdClient) command(n node) {
	why := c.fresh("g")
	c.mu.Lock()
	c.commands[why] = ""
	c.mu.Unlock()
	body := fmt.Sprintf(`{"type": "switch", "select": {"name": "feed-cache"}, "weights": {"tc": %d}, "for": "%dh", "why": %q}`, 1+c.random.IntN(100), 1+c.random.IntN(2), why)
	key := "commands/" + why
	o := history.Op{Key: key, Kind: history.Write, Value: why, If: history.Was(history.Nothing)}
	c.change(n, o, why, http.MethodPost, "/v1/commands", body, nil, func(a answer) int64 {
		var made struct {
			ID       string
			Revision int64
		}
		if err := json.Unmarshal(a.body, &made); err != nil || made.ID == "" || made.Revision == 0 {
			c.Errorf("a command is answered %s", a.body)
		}
		c.noted(made.Revision, key, why)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.commands[why] = made.ID
		c.live = append(c.live, why)
		return made.Revision
	})
}

// undo undoes one of the oldest commands, which somebody else may do, too: two of three stay for others to undo.
func (c *crowdClient) undo(n node) {
	c.mu.Lock()
	var of, id string
	if len(c.live) > 2 {
		i := c.random.IntN(3)
		of, id = c.live[i], c.commands[c.live[i]]
		if c.random.IntN(3) == 0 {
			c.live = slices.Delete(c.live, i, i+1)
		}
	}
	c.mu.Unlock()
	if of == "" {
		return
	}
	why := c.fresh("u")
	c.change(n, history.Op{Key: "commands/" + of, Kind: history.Delete}, why, http.MethodDelete, "/v1/commands/"+id+"?why="+why, "", nil, nil)
}

// attempted returns the reasons of all commands that may be in force, and of those that were answered for.
func (c *crowd) attempted() (all, made []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for why, id := range c.commands {
		all = append(all, why)
		if id != "" {
			made = append(made, why)
		}
	}
	return all, made
}

// list reads the commands in force; the answer tells of each that was attempted before whether it is there.
func (c *crowdClient) list(n node, kind history.Kind) map[string]string {
	all, _ := c.attempted()
	there, a := c.commandsAt(n, "/v1/commands")
	if there == nil {
		return nil
	}
	var ops []history.Op
	for _, why := range all {
		o := history.Op{Client: c.number, Node: n.name, Key: "commands/" + why, Kind: kind, Outcome: history.Done, Call: a.called, Return: a.over}
		if there[why] != "" {
			o.Value = why
		}
		ops = append(ops, o)
	}
	c.rec.Add(ops...)
	return there
}

// ended reads the history of commands, which comes from the store: what was answered for and is not there is in force.
func (c *crowdClient) ended(n node) {
	_, made := c.attempted()
	over, a := c.commandsAt(n, "/v1/commands/history")
	if over == nil {
		return
	}
	var ops []history.Op
	for _, why := range made {
		o := history.Op{Client: c.number, Node: n.name, Key: "commands/" + why, Kind: history.Read, Outcome: history.Done, Call: a.called, Return: a.over}
		if over[why] == "" {
			o.Value = why
		}
		ops = append(ops, o)
	}
	c.rec.Add(ops...)
}

// commandsAt returns the ids in a list of commands, by reason; nil: the centre did not say.
func (c *crowdClient) commandsAt(n node, path string) (map[string]string, answer) {
	a, err := c.ask(context.Background(), n, http.MethodGet, path, "", nil)
	if err != nil || a.status >= 500 {
		c.idle(err)
		return nil, a
	}
	var body struct{ Commands []struct{ ID, Why string } }
	if err := json.NewDecoder(bytes.NewReader(a.body)).Decode(&body); err != nil || a.status != http.StatusOK {
		c.Errorf("GET %s at %s: %d %s %v", path, n.name, a.status, a.body, err)
		return nil, a
	}
	out := make(map[string]string)
	for _, x := range body.Commands {
		if out[x.Why] != "" {
			c.Errorf("GET %s at %s: %s is there twice, as %s and %s", path, n.name, x.Why, out[x.Why], x.ID)
		}
		out[x.Why] = x.ID
	}
	return out, a
}
