package redis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// clusterAgent is an agent that follows a cluster.
func clusterAgent(t *testing.T, s *server.RedisServers) *agent {
	t.Helper()
	var seeds []string
	for _, n := range s.Nodes() {
		seeds = append(seeds, n.Addr)
	}
	a := startAgent(t, newFake(t), &Settings{Topology: topologyCluster})
	a.watch(t, seeds...)
	a.awaitSlots(t)
	return a
}

// awaitSlots waits until the agent knows a primary for every slot.
func (a *agent) awaitSlots(t *testing.T) {
	t.Helper()
	eventually(t, "the slots to be known", func() bool {
		for i := range resp.Slots {
			if p := a.res.place(uint16(i)); p == nil || p.Primary == nil {
				return false
			}
		}
		return true
	})
}

// ownerOf returns the shard that a key belongs to.
func ownerOf(s *server.RedisServers, key string) server.Shard {
	slot := int(resp.Slot([]byte(key)))
	for _, sh := range s.Shards {
		if sh.From <= slot && slot <= sh.To {
			return sh
		}
	}
	panic("no shard has the slot")
}

const crossSlot = "-CROSSSLOT Keys in request don't hash to the same slot\r\n"

// TestCluster does in one cluster what needs no change of it.
func TestCluster(t *testing.T) {
	s := server.Start(t, server.Redis{Shards: 3})
	a := clusterAgent(t, s)
	flush := func(t *testing.T) *wire {
		c := dial(t, a.addr)
		c.want("FLUSHALL", ok)
		return c
	}
	t.Run("routing", func(t *testing.T) { testClusterRouting(t, s, flush(t)) })
	t.Run("several keys", func(t *testing.T) { testSplit(t, flush(t)) })
	t.Run("every server", func(t *testing.T) { testEveryServer(t, flush(t)) })
	t.Run("transactions", func(t *testing.T) { testClusterTransactions(t, flush(t)) })
	t.Run("session", func(t *testing.T) { testClusterSession(t, flush(t)) })
	t.Run("stale map", func(t *testing.T) { testStaleMap(t, a, flush(t)) })
	t.Run("migration", func(t *testing.T) { testMigration(t, s, flush(t)) })
}

func testClusterRouting(t *testing.T, s *server.RedisServers, c *wire) {
	for i := range 100 {
		key := fmt.Sprintf("key:%d", i)
		c.want("SET "+key+" v", ok)
		c.want("GET "+key, "$1\r\nv\r\n")
		if v := ownerOf(s, key).Primary.Do("GET", key); string(v.Str) != "v" {
			t.Fatalf("%s is not where it belongs", key)
		}
	}
	c.want("SET {tag}a 1", ok)
	c.want("SET {tag}b 2", ok)
	c.want("MGET {tag}a {tag}b {tag}c", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n")
	c.want("EVAL return(redis.call('mget',KEYS[1],KEYS[2])) 2 {tag}a {tag}b", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n")
	c.want("SORT nosuch BY nosort", "*0\r\n")
	c.want("XADD stream 1-1 f v", "$3\r\n1-1\r\n")
	c.wantPrefix("XREAD STREAMS stream 0", "*1\r\n")
	c.wantPrefix("XREAD BLOCK 10 STREAMS stream 0", "*1\r\n")
	c.want("BLPOP nolist 0.01", "*-1\r\n")
	c.want("RPUSH list a", ":1\r\n")
	c.want("BLPOP list 0", "*2\r\n$4\r\nlist\r\n$1\r\na\r\n")
	c.want("PING", "+PONG\r\n")
	c.send(resp.AppendCommand(nil, "SET", "big", big(3<<20, 1)))
	if r := c.reply(); r != ok {
		t.Fatalf("got %q", r)
	}
	c.want("STRLEN big", ":3145728\r\n")
	// Replies of many servers come in the order of the requests.
	var cmds [][]string
	for i := range 300 {
		cmds = append(cmds, []string{"SET", fmt.Sprint("p", i), fmt.Sprint(i)}, []string{"GET", fmt.Sprint("p", i)})
	}
	c.sendLater(encode(cmds), nil)
	for i := range 300 {
		n := fmt.Sprint(i)
		if a, b := c.reply(), c.reply(); a != ok || b != fmt.Sprintf("$%d\r\n%s\r\n", len(n), n) {
			t.Fatalf("request %d is answered %q, %q", i, a, b)
		}
	}
	c.join()
}

// testSplit checks commands over keys of several servers, for a cluster and for hashed servers alike.
func testSplit(t *testing.T, c *wire) {
	var mset, keys []string
	for i := range 30 {
		keys = append(keys, fmt.Sprint("k", i))
		mset = append(mset, fmt.Sprint("k", i), fmt.Sprint(i))
	}
	all := strings.Join(keys, " ")
	c.want("MSET "+strings.Join(mset, " "), ok)
	want := "*31\r\n"
	for i := range 30 {
		want += fmt.Sprintf("$%d\r\n%d\r\n", len(fmt.Sprint(i)), i)
	}
	c.want("MGET "+all+" nosuch", want+"$-1\r\n")
	c.want("MGET k1 k1 k1", "*3\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n")
	c.want("EXISTS "+all+" nosuch k1", ":31\r\n")
	c.want("TOUCH "+all, ":30\r\n")
	c.want("DEL k0 k1 nosuch k2", ":3\r\n")
	c.want("UNLINK "+all, ":27\r\n")
	c.want("EXISTS "+all, ":0\r\n")
	c.want("MSET a 1 b 2 a 3", ok)
	c.want("MGET a b", "*2\r\n$1\r\n3\r\n$1\r\n2\r\n")
	c.want("RPUSH list x", ":1\r\n")
	c.want("MGET a list b", "*3\r\n$1\r\n3\r\n$-1\r\n$1\r\n2\r\n")
	for _, line := range []string{"MSETNX a 1 b 2", "RENAME a b", "SUNIONSTORE a b c", "BITOP AND a b c", "SINTER a b", "PFMERGE a b", "SMOVE a b m", "LMOVE a b LEFT LEFT", "BLPOP a b c 0", "EVAL return(1) 3 a b c", "WATCH a b c", "XREAD STREAMS a b c 0 0 0", "ZUNION 3 a b c"} {
		c.want(line, crossSlot)
	}
	c.want("MSET a 1 b", crossSlot)
	c.want("MGET", "-ERR wrong number of arguments for 'mget' command\r\n")
	c.want("DEL", "-ERR wrong number of arguments for 'del' command\r\n")
	c.say("HELLO 3")
	c.want("MGET a nosuch list b", "*4\r\n$1\r\n3\r\n_\r\n_\r\n$1\r\n2\r\n")
	c.say("HELLO 2")
}

// testEveryServer checks commands that speak of all keys.
func testEveryServer(t *testing.T, c *wire) {
	want := map[string]bool{}
	for i := range 500 {
		c.want(fmt.Sprintf("SET scan:%d v", i), ok)
		want[fmt.Sprintf("scan:%d", i)] = true
	}
	c.want("SADD other m", ":1\r\n")
	c.want("DBSIZE", ":501\r\n")
	for _, options := range []string{"", " COUNT 7", " COUNT 1000", " TYPE string", " MATCH scan:* COUNT 100"} {
		got := map[string]int{}
		cursor := "0"
		for {
			v := value([]byte(c.say("SCAN " + cursor + options)))
			if len(v.Elems) != 2 {
				t.Fatalf("SCAN is answered %+v", v)
			}
			cursor = v.Elems[0].Str
			if _, err := strconv.ParseInt(cursor, 10, 64); err != nil {
				t.Fatal(err)
			}
			for _, e := range v.Elems[1].Elems {
				got[e.Str]++
			}
			if cursor == "0" {
				break
			}
		}
		if options == "" || strings.HasPrefix(options, " COUNT") {
			if got["other"] != 1 {
				t.Errorf("SCAN%s found the set %d times", options, got["other"])
			}
			delete(got, "other")
		}
		for key, n := range got {
			if !want[key] || n != 1 {
				t.Errorf("SCAN%s found %s %d times", options, key, n)
			}
		}
		if len(got) != len(want) {
			t.Errorf("SCAN%s found %d keys of %d", options, len(got), len(want))
		}
	}
	c.want("SCAN notanumber", "-ERR invalid cursor\r\n")
	c.want("SCAN 0 COUNT 0", "-ERR syntax error\r\n")
	var keys []string
	for _, e := range value([]byte(c.say("KEYS scan:*"))).Elems {
		keys = append(keys, e.Str)
	}
	slices.Sort(keys)
	if len(slices.Compact(keys)) != 500 {
		t.Errorf("KEYS found %d keys", len(keys))
	}
	const one = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
	if r := c.do("SCRIPT", "LOAD", "return 1"); bulkOf(r) != one {
		t.Fatalf("got %q", r)
	}
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} { // on all servers
		c.want("EVALSHA "+one+" 1 "+key, ":1\r\n")
	}
	c.want("SCRIPT FLUSH", ok)
	c.wantPrefix("EVALSHA "+one+" 1 a", "-NOSCRIPT ")
	c.want("FLUSHALL", ok)
	c.want("DBSIZE", ":0\r\n")
	c.want("KEYS *", "*0\r\n")
	c.want("SCAN 0 COUNT 1000", "*2\r\n$16\r\n4503599627370496\r\n*0\r\n")
}

func testClusterTransactions(t *testing.T, c *wire) {
	c.want("WATCH {t}a", ok)
	c.want("MULTI", ok)
	c.want("SET {t}a 1", "+QUEUED\r\n")
	c.want("INCR {t}b", "+QUEUED\r\n")
	c.want("EXEC", "*2\r\n+OK\r\n:1\r\n")
	for i := range 20 { // on every server
		key := fmt.Sprintf("txn:%d", i)
		c.want("MULTI", ok)
		c.want("SET "+key+" 1", "+QUEUED\r\n")
		c.want("INCR "+key, "+QUEUED\r\n")
		c.want("EXEC", "*2\r\n+OK\r\n:2\r\n")
		c.send(encode([][]string{{"MULTI"}, {"SET", key, "5"}, {"INCR", key}, {"EXEC"}}))
		if got := strings.Join(c.replies(4), ""); got != "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:6\r\n" {
			t.Fatalf("%s: got %q", key, got)
		}
	}
	testPlaces(t, c)
	c.want("MULTI", ok)
	c.want("EXEC", "*0\r\n")
	c.want("MULTI", ok)
	c.want("DISCARD", ok)
	c.want("DISCARD", "-ERR DISCARD without MULTI\r\n")
}

// testPlaces checks that no connection of a session's own takes a key to a server that it does not belong to.
func testPlaces(t *testing.T, c *wire) {
	c.want("MSET a 1 b 2 c 3", ok)
	c.want("MULTI", ok)
	c.want("INCR a", "+QUEUED\r\n")
	c.want("INCR b", crossSlot)
	c.want("EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n")
	c.want("WATCH a", ok)
	c.want("WATCH b", crossSlot)
	c.want("GET a", "$1\r\n1\r\n")
	c.want("GET b", crossSlot)
	c.want("PING", "+PONG\r\n")
	c.want("UNWATCH", ok)
	c.want("GET b", "$1\r\n2\r\n")
	// Requests behind a blocking one go where they belong, and in their turn.
	c.send(encode([][]string{{"BLPOP", "nolist", "0.01"}, {"INCR", "a"}, {"INCR", "b"}, {"BLPOP", "nolist2", "0.01"}, {"INCR", "c"}, {"WATCH", "a"}, {"UNWATCH"}, {"GET", "b"}}))
	if got := strings.Join(c.replies(8), ""); got != "*-1\r\n:2\r\n:3\r\n*-1\r\n:4\r\n+OK\r\n+OK\r\n$1\r\n3\r\n" {
		t.Errorf("got %q", got)
	}
	// Requests that are passed on in parts, because they come in parts.
	value := big(200<<10, 3)
	inParts := func(want string, words ...string) {
		t.Helper()
		b := resp.AppendCommand(nil, words...)
		c.send(b[:40<<10])
		c.send(b[40<<10:])
		if r := c.reply(); r != want {
			t.Errorf("%s is answered %s, want %q", words[:2], show(r), want)
		}
	}
	for _, key := range []string{"large1", "large2", "large3", "large4"} {
		inParts(ok, "SET", key, value)
		c.want("STRLEN "+key, ":204800\r\n")
		c.want("MULTI", ok)
		inParts("+QUEUED\r\n", "APPEND", key, value)
		c.want("EXEC", "*1\r\n:409600\r\n")
	}
	c.want("WATCH large1", ok)
	inParts(crossSlot, "SET", "large2", value)
	inParts(ok, "SET", "large1", value)
	c.want("UNWATCH", ok)
	c.want("STRLEN large2", ":409600\r\n")
	c.want("DEL large1 large2 large3 large4", ":4\r\n")
	sub := dial(t, c.nc.RemoteAddr().String())
	sub.want("CLIENT TRACKING ON", string(replyTracking))
	sub.say("HELLO 3")
	sub.wantPrefix("SUBSCRIBE ch", ">3\r\n$9\r\nsubscribe\r\n")
	sub.want("MGET a b c", "*3\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n")
	for i, key := range []string{"a", "b", "c"} {
		sub.want("GET "+key, fmt.Sprintf("$1\r\n%d\r\n", i+2))
	}
}

func testClusterSession(t *testing.T, c *wire) {
	c.want("READONLY", ok)
	c.want("READWRITE", ok)
	c.want("SELECT 0", ok)
	c.want("SELECT 1", "-ERR SELECT is not allowed in cluster mode\r\n")
	if r := c.say("HELLO 3"); !strings.Contains(r, "$4\r\nmode\r\n$10\r\nstandalone\r\n") {
		t.Errorf("HELLO says %q", r)
	}
	c.want("GET nosuch", "_\r\n")
	c.say("HELLO 2")
	c.say("WATCH k")
	if r := c.say("HELLO 2"); !strings.Contains(r, "$4\r\nmode\r\n$10\r\nstandalone\r\n") {
		t.Errorf("HELLO on a connection of its own says %q", r)
	}
	c.want("UNWATCH", ok)
	sub := dial(t, c.nc.RemoteAddr().String())
	sub.want("SUBSCRIBE ch", "*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n")
	c.say("PUBLISH ch hello") // how many got it is known to the server of each only
	if r := sub.reply(); r != "*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$5\r\nhello\r\n" {
		t.Errorf("got %q", r)
	}
	for i := range 6 {
		sub = dial(t, c.nc.RemoteAddr().String())
		ch := fmt.Sprint("shard-channel-", i)
		sub.wantPrefix("SSUBSCRIBE "+ch, "*3\r\n$10\r\nssubscribe\r\n")
		c.want("SPUBLISH "+ch+" hello", ":1\r\n")
		if r := sub.reply(); !strings.HasSuffix(r, "hello\r\n") {
			t.Errorf("got %q", r)
		}
	}
}

// testStaleMap gives the agent a wrong map: the servers' redirects are followed, the client sees none.
func testStaleMap(t *testing.T, a *agent, c *wire) {
	right := a.res.slots.Load()
	wrong := &slotMap{servers: right.servers}
	for i, p := range right.places {
		q := *p
		for j, ep := range right.servers {
			if ep == p.Primary {
				q.Primary = right.servers[(j+1)%len(right.servers)]
			}
		}
		wrong.places[i] = &q
	}
	for i := range 30 {
		a.res.slots.Store(wrong)
		key := fmt.Sprint("stale", i)
		c.want("SET "+key+" 1", ok)
		a.res.slots.Store(wrong)
		c.want("INCR "+key, ":2\r\n")
		a.res.slots.Store(wrong)
		c.want("WATCH "+key, ok)
		c.want("UNWATCH", ok)
		a.res.slots.Store(wrong)
		c.want("BLPOP nolist"+key+" 0.001", "*-1\r\n")
		a.res.slots.Store(wrong)
		c.want(fmt.Sprintf("MGET %s nosuch%d other%d", key, i, i), "*3\r\n$1\r\n2\r\n$-1\r\n$-1\r\n")
	}
	eventually(t, "the right map to be back", func() bool {
		now := a.res.slots.Load()
		return now != wrong && now.places[0].Primary == right.places[0].Primary
	})
	lent := int64(0)
	for _, ep := range a.Endpoints() {
		if ep.Role() == resources.RolePrimary {
			lent += 2 // one kept for each loop
		}
	}
	if n := a.open(modeLeased); n > lent {
		t.Errorf("%d connections are lent or kept, at most %d were of use", n, lent)
	}
	a.res.slots.Store(&slotMap{}) // and one that knows nothing
	c.want("SET stale0 5", ok)
	c.want("GET stale0", "$1\r\n5\r\n")
	a.res.refresh()
	a.awaitSlots(t)
}

// testMigration moves a slot from one server to another while requests go on.
func testMigration(t *testing.T, s *server.RedisServers, c *wire) {
	const tag = "{moving}"
	from := ownerOf(s, tag).Primary
	var to *server.RedisNode
	for _, sh := range s.Shards {
		if sh.Primary != from {
			to = sh.Primary
		}
	}
	slot := strconv.Itoa(int(resp.Slot([]byte(tag))))
	id := func(n *server.RedisNode) string { return string(n.Do("CLUSTER", "MYID").Str) }
	for i := range 20 {
		c.want(fmt.Sprintf("SET %s%d %d", tag, i, i), ok)
	}
	to.Do("CLUSTER", "SETSLOT", slot, "IMPORTING", id(from))
	from.Do("CLUSTER", "SETSLOT", slot, "MIGRATING", id(to))
	host, port, _ := strings.Cut(to.Addr, ":")
	for i := range 10 {
		from.Do("MIGRATE", host, port, fmt.Sprintf("%s%d", tag, i), "0", "5000")
	}
	c.want("MULTI", ok)
	c.want("DISCARD", ok)
	fresh := dial(t, c.nc.RemoteAddr().String())
	for i := range 20 { // half of them here, half there: ASK
		fresh.want(fmt.Sprintf("INCR %s%d", tag, i), fmt.Sprintf(":%d\r\n", i+1))
	}
	for i := range 2 {
		fresh.want(fmt.Sprintf("WATCH %s%d", tag, 10*i), ok) // ASK for a connection of its own
		fresh.want("UNWATCH", ok)
	}
	c.want("SET "+tag+"new 1", ok) // is made there
	if v := to.Do("CLUSTER", "COUNTKEYSINSLOT", slot); v.Int != 11 {
		t.Errorf("%d keys are at the new server, want 11", v.Int)
	}
	c.want(fmt.Sprintf("MGET %s1 %s2", tag, tag), "*2\r\n$1\r\n2\r\n$1\r\n3\r\n")
	c.want(fmt.Sprintf("MGET %s11 %s12", tag, tag), "*2\r\n$2\r\n12\r\n$2\r\n13\r\n")
	// One key here, one there: TRYAGAIN, until both are there.
	c.wantPrefix(fmt.Sprintf("MGET %s1 %s11", tag, tag), "-TRYAGAIN ")
	for i := 10; i < 20; i++ {
		from.Do("MIGRATE", host, port, fmt.Sprintf("%s%d", tag, i), "0", "5000")
	}
	c.want(fmt.Sprintf("MGET %s1 %s11", tag, tag), "*2\r\n$1\r\n2\r\n$2\r\n12\r\n")
	for _, n := range []*server.RedisNode{to, from} {
		n.Do("CLUSTER", "SETSLOT", slot, "NODE", id(to))
	}
	for i := range 20 {
		c.want(fmt.Sprintf("INCR %s%d", tag, i), fmt.Sprintf(":%d\r\n", i+2))
	}
}

// TestClusterFailover kills a primary: its replica takes over, and the agent finds it.
func TestClusterFailover(t *testing.T) {
	s := server.Start(t, server.Redis{Shards: 3, Replicas: 1})
	a := clusterAgent(t, s)
	c := dial(t, a.addr)
	old := ownerOf(s, "key")
	c.want("SET key 1", ok)
	old.Primary.Do("SET", "key", "1")
	eventually(t, "the replica to have the key", func() bool {
		v, err := old.Replicas[0].Query("DBSIZE")
		return err == nil && v.Int == 1
	})
	old.Primary.Kill()
	eventually(t, "the new primary to take writes", func() bool {
		r := c.say("INCR key")
		if strings.HasPrefix(r, ":") {
			return true
		}
		switch word(r) {
		case "-UNAVAILABLE", "-UNKNOWN", "-TIMEOUT", "-CLUSTERDOWN", "-READONLY":
			return false
		}
		t.Fatalf("got %q", r)
		return false
	})
	if p := a.res.place(resp.Slot([]byte("key"))); p.Primary.Address != old.Replicas[0].Addr || p.Primary.Role() != resources.RolePrimary {
		t.Errorf("the slot is thought to be at %s", p.Primary.Address)
	}
}
