package etcd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// load commits from several centres until stop, and remembers what was acknowledged.
type load struct {
	t     *testing.T
	stop  context.CancelFunc
	wg    sync.WaitGroup
	acked atomic.Int64

	mu      sync.Mutex
	made    map[string]int64 // key -> revision that was acknowledged
	unknown map[string]bool  // keys of commits without an answer
}

// startLoad begins commits through a store of its own for each writer. Each commit makes one key, on the condition that it does not
// exist, and never a key twice.
func startLoad(t *testing.T, conf Config, writers int) *load {
	ctx, stop := context.WithCancel(t.Context())
	l := &load{t: t, stop: stop, made: map[string]int64{}, unknown: map[string]bool{}}
	t.Cleanup(l.wg.Wait)
	t.Cleanup(stop)
	for w := range writers {
		s := open(t, conf)
		l.wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				l.commit(s, fmt.Sprintf("load/%d-%d", w, i))
			}
		})
	}
	return l
}

func (l *load) commit(s *Store, key string) {
	rev, err := s.Commit(l.t.Context(), store.Txn{If: []store.Cond{{Key: key}}, Then: []store.Op{{Key: key, Value: []byte("v")}}})
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.made[key] = rev
		l.acked.Add(1)
	case errors.Is(err, store.ErrConflict):
		l.t.Errorf("%s was sent once and exists already: it was made twice", key)
	case errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrCompacted):
		l.t.Errorf("%s: a commit without an answer has an error of the store: %v", key, err)
	case !errors.Is(err, store.ErrFailed):
		l.t.Errorf("%s: a commit without an answer is no failure of the store: %v", key, err)
	default:
		l.unknown[key] = true
	}
}

// goOn waits until that many more commits were acknowledged.
func (l *load) goOn(n int64) {
	l.t.Helper()
	from := l.acked.Load()
	server.Wait(l.t, time.Minute, fmt.Sprint(n, " more commits"), func() error {
		if done := l.acked.Load() - from; done < n {
			return fmt.Errorf("%d were made", done)
		}
		return nil
	})
}

// last commits one more key and returns its revision. A member that was away may lose what it is asked to pass on, so one
// commit may stay without an answer, as those of the load may.
func (l *load) last(s *Store) int64 {
	l.t.Helper()
	for i := range 3 {
		key := fmt.Sprint("load/end-", i)
		l.commit(s, key)
		if rev := l.made[key]; rev != 0 {
			return rev
		}
		l.t.Logf("%s has no answer", key)
	}
	l.t.Fatal("no commit is answered after the load")
	return 0
}

// check stops the load and compares what was acknowledged with what is there and with what a watch from the beginning sent.
func (l *load) check(s *Store, w store.Watch) {
	l.t.Helper()
	l.stop()
	l.wg.Wait()
	end := l.last(s)
	list, _, err := s.List(l.t.Context(), "load/")
	if err != nil {
		l.t.Fatal(err)
	}
	there := map[string]int64{}
	for _, e := range list {
		if e.Revision > end {
			continue // a commit without an answer that was made late
		}
		there[e.Key] = e.Revision
		if e.Created != e.Revision {
			l.t.Errorf("%s was made at %d and again at %d", e.Key, e.Created, e.Revision)
		}
		if l.made[e.Key] == 0 && !l.unknown[e.Key] {
			l.t.Errorf("%s is there and was never sent", e.Key)
		}
	}
	for key, rev := range l.made {
		if there[key] != rev {
			l.t.Errorf("%s was acknowledged at %d and is at %d", key, rev, there[key])
		}
	}
	seen, last := map[string]int64{}, int64(0)
	for last != end {
		select {
		case b, ok := <-w.C():
			if !ok {
				l.t.Fatalf("the watch ended: %v", w.Err())
			}
			if b.Revision <= last {
				l.t.Fatalf("the watch sent %d after %d", b.Revision, last)
			}
			last = b.Revision
			for _, c := range b.Changes {
				seen[c.Key] = b.Revision
			}
		case <-time.After(time.Minute):
			l.t.Fatalf("the watch is at %d of %d", last, end)
		}
	}
	for key, rev := range there {
		if seen[key] != rev {
			l.t.Errorf("%s is at %d, and the watch sent it at %d", key, rev, seen[key])
		}
	}
	l.t.Logf("%d acknowledged, %d without an answer", len(l.made), len(l.unknown))
}

func threeMembers(t *testing.T) (*server.EtcdServers, Config) {
	t.Helper()
	c := server.Start(t, server.Etcd{Members: 3})
	return c, Config{Endpoints: c.Endpoints()}
}

// The leader is killed during commits: nothing that was acknowledged is lost, nothing is made twice, watches miss nothing.
func TestLeaderKilledDuringCommits(t *testing.T) {
	c, conf := threeMembers(t)
	s := open(t, conf)
	w := s.Watch(t.Context(), "load/", 0)
	l := startLoad(t, conf, 3)
	l.goOn(50)
	leader := c.Leader(t)
	leader.Kill()
	l.goOn(50)
	leader.Restart()
	l.goOn(20)
	l.check(s, w)
}

// The whole cluster goes away and comes back: reads, commits, watches and candidates go on by themselves.
func TestClusterRestarts(t *testing.T) {
	c := server.Start(t, server.Etcd{})
	conf := Config{Endpoints: c.Endpoints()}
	s := open(t, conf)
	w := s.Watch(t.Context(), "load/", 0)
	l := startLoad(t, conf, 2)
	l.goOn(20)
	c.Members[0].Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := s.Get(ctx, "load/0-0"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("get without etcd: error %v", err)
	}
	led := make(chan error, 1)
	go func() {
		_, err := s.Lead(t.Context(), "x", "me")
		led <- err
	}()
	c.Members[0].Restart()
	l.goOn(20)
	if err := <-led; err != nil {
		t.Errorf("lead: %v", err)
	}
	l.check(s, w)
}

// While a watch has no connection, what it would go on with is compacted: it ends and says so.
func TestCompactionBehindAWatch(t *testing.T) {
	c := server.Start(t, server.Etcd{})
	s := open(t, Config{Endpoints: c.Endpoints()})
	put := func(key, value string) int64 {
		t.Helper()
		rev, err := s.Commit(t.Context(), store.Txn{Then: []store.Op{{Key: key, Value: []byte(value)}}})
		if err != nil {
			t.Fatal(err)
		}
		return rev
	}
	// A reader that does not read: more waits for it than the watch holds, so it has to go back for the rest.
	first := put("big", "0")
	w := s.Watch(t.Context(), "", first-1)
	value := strings.Repeat("x", 1<<20)
	var last int64
	for range 40 {
		last = put("big", value)
	}
	if err := s.Compact(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	before, count := first-1, 0
	for b := range w.C() {
		if b.Revision != before+1 {
			t.Fatalf("revision %d follows %d", b.Revision, before)
		}
		before = b.Revision
		count++
	}
	if !errors.Is(w.Err(), store.ErrCompacted) || !strings.Contains(w.Err().Error(), strconv.FormatInt(before, 10)) {
		t.Errorf("the watch ended with %v", w.Err())
	}
	if count < 4 || count > 39 {
		t.Errorf("%d of 41 revisions were sent", count)
	}
}

// The key of a leader is removed by hand, and another time its lease: it gets to know, and another one leads.
func TestLeaderRemovedByHand(t *testing.T) {
	c := server.Start(t, server.Etcd{})
	conf := Config{Endpoints: c.Endpoints()}
	s, other := open(t, conf), open(t, conf)
	for i, remove := range []func(*leadership){
		func(l *leadership) { c.Members[0].Ctl("del", s.prefix+l.key) },
		func(l *leadership) { c.Members[0].Ctl("lease", "revoke", strconv.FormatInt(int64(l.id), 16)) },
	} {
		name := fmt.Sprint("name-", i)
		got, err := s.Lead(t.Context(), name, "one")
		if err != nil {
			t.Fatal(err)
		}
		next := make(chan error, 1)
		go func() {
			_, err := other.Lead(t.Context(), name, "two")
			next <- err
		}()
		remove(got.(*leadership))
		select {
		case <-got.Lost():
		case <-time.After(store.LeaseTime):
			t.Errorf("%s does not know that it was removed", name)
		}
		if err := <-next; err != nil {
			t.Errorf("the next leader: %v", err)
		}
		_, err = s.Commit(t.Context(), store.Txn{If: []store.Cond{got.Guard()}, Then: []store.Op{{Key: "a"}}})
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("who was removed may still write: %v", err)
		}
	}
}

// A leader whose lease is not renewed any more gets to know it before another one leads.
func TestLeaderWithoutRenewal(t *testing.T) {
	c := server.Start(t, server.Etcd{})
	conf := Config{Endpoints: c.Endpoints()}
	s, other := open(t, conf), open(t, conf)
	got, err := s.Lead(t.Context(), "x", "one")
	if err != nil {
		t.Fatal(err)
	}
	got.(*leadership).stop()
	if _, err := other.Lead(t.Context(), "x", "two"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-got.Lost():
	default:
		t.Error("two lead and the first does not know")
	}
}

func TestOpenErrors(t *testing.T) {
	c := server.Start(t, server.Etcd{Password: "right", TLS: true})
	good := Config{Endpoints: c.Endpoints(), Username: "root", Password: "right", TLS: c.Certs.Client()}
	s := open(t, good)
	if _, err := s.Commit(t.Context(), store.Txn{Then: []store.Op{{Key: "a", Value: []byte("1")}}}); err != nil {
		t.Fatal(err)
	}
	if got := c.Members[0].Ctl("get", "--print-value-only", "sluice/a"); got != "1\n" {
		t.Errorf("etcdctl gets %q", got)
	}
	bad := good
	bad.Password = "secret-and-wrong"
	for name, e := range map[string]struct {
		conf Config
		want string
	}{
		"password":    {bad, "check the user and the password"},
		"none":        {Config{}, "no etcd endpoint"},
		"unreachable": {Config{Endpoints: []string{"127.0.0.1:1"}}, "etcd at 127.0.0.1:1"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := Open(ctx, e.conf, nil)
		cancel()
		if err == nil || !strings.Contains(err.Error(), e.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

// A user with rights on the store's keys alone can do everything but look elsewhere.
func TestUserWithFewRights(t *testing.T) {
	c := server.Start(t, server.Etcd{Password: "right"})
	m := c.Members[0]
	m.Ctl("role", "add", "centre")
	m.Ctl("role", "grant-permission", "--prefix=true", "centre", "readwrite", "sluice/")
	m.Ctl("user", "add", "centre:pw")
	m.Ctl("user", "grant-role", "centre", "centre")
	conf := Config{Endpoints: c.Endpoints(), Username: "centre", Password: "pw"}
	s := open(t, conf)
	w := s.Watch(t.Context(), "", 0)
	rev, err := s.Commit(t.Context(), store.Txn{Then: []store.Op{{Key: "a", Value: []byte("1")}}})
	if err != nil {
		t.Fatal(err)
	}
	if b := <-w.C(); b.Revision != rev {
		t.Errorf("the watch sent %v", b)
	}
	lead, err := s.Lead(t.Context(), "x", "me")
	if err != nil {
		t.Fatal(err)
	}
	if err := lead.Resign(t.Context()); err != nil {
		t.Error(err)
	}
	conf.Prefix = "elsewhere"
	if _, err := Open(t.Context(), conf, nil); err == nil || !strings.Contains(err.Error(), "grant the user readwrite on all keys with the prefix elsewhere/") {
		t.Errorf("open elsewhere: error is %v", err)
	}
}

// etcd is full: the commit says so, and that nothing was changed.
func TestFull(t *testing.T) {
	c := server.Start(t, server.Etcd{Args: []string{"--quota-backend-bytes=4194304"}})
	s := open(t, Config{Endpoints: c.Endpoints()})
	value := []byte(strings.Repeat("x", 1<<20))
	var err error
	for i := 0; i < 20 && err == nil; i++ {
		_, err = s.Commit(t.Context(), store.Txn{Then: []store.Op{{Key: fmt.Sprint("k", i), Value: value}}})
	}
	if err == nil || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), "etcd is full") {
		t.Errorf("error is %v", err)
	}
}
