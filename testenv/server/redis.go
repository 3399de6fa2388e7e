package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/testenv/load/resp"
)

// Redis describes Redis servers: one, a primary with replicas, the same under Sentinel, or a cluster. The zero value is
// one server without persistence on a free port of 127.0.0.1.
type Redis struct {
	Args      []string // further settings, as on redis-server's command line: "--appendonly", "yes"
	Password  string   // requirepass, and what replicas and sentinels log in with
	Users     []string // ACL users beside default, without the word user: "app on >secret ~* +@all"
	TLS       bool     // serve TLS only, with certificates of RedisServers.Certs; client certificates are optional
	Unix      bool     // listen on a unix socket too: RedisNode.Socket
	Replicas  int      // of the primary, or of each shard
	Sentinels int      // 0: none; 3 is usual; the quorum is their majority
	Shards    int      // 0: no cluster; otherwise the number of its primaries, 3 at least
}

// SentinelName is the name under which sentinels know the primary.
const SentinelName = "main"

// RedisServers are running Redis servers.
type RedisServers struct {
	Primary   *RedisNode   // nil in a cluster
	Replicas  []*RedisNode // of Primary
	Sentinels []*RedisNode
	Shards    []Shard // of a cluster, in the order of their slots
	Certs     *Certs  // with TLS
	Password  string
}

// Shard is one primary of a cluster with its replicas and the slots that it was started with. A failover changes the
// roles, not this description.
type Shard struct {
	Primary  *RedisNode
	Replicas []*RedisNode
	From, To int // slots, both included
}

// RedisNode is one redis-server or sentinel process.
type RedisNode struct {
	*Process
	Addr   string // "127.0.0.1:port"
	Socket string // path of the unix socket, if there is one
	TLS    *tls.Config

	spec    Redis
	busPort int // of a cluster node
	dir     string
	certs   *Certs
}

// Nodes returns all servers except sentinels, primaries first within each shard.
func (r *RedisServers) Nodes() []*RedisNode {
	var all []*RedisNode
	if r.Primary != nil {
		all = append(append(all, r.Primary), r.Replicas...)
	}
	for _, s := range r.Shards {
		all = append(append(all, s.Primary), s.Replicas...)
	}
	return all
}

func (spec Redis) start(t TB) *RedisServers {
	t.Helper()
	switch {
	case spec.Shards > 0 && spec.Sentinels > 0:
		t.Fatalf("server.Redis: Shards and Sentinels exclude each other")
	case spec.Shards > 0 && spec.Shards < 3:
		t.Fatalf("server.Redis: a cluster needs 3 shards at least, not %d", spec.Shards)
	}
	r := &RedisServers{Password: spec.Password}
	if spec.TLS {
		r.Certs = NewCerts(t)
	}
	if spec.Shards > 0 {
		startCluster(t, spec, r)
		return r
	}
	r.Primary = newRedisNode(t, spec, r.Certs, "redis", "")
	r.Primary.launch()
	for range spec.Replicas {
		n := newRedisNode(t, spec, r.Certs, "replica", "replicaof "+hostPort(r.Primary.Addr)+"\n")
		n.launch()
		r.Replicas = append(r.Replicas, n)
	}
	for _, n := range r.Nodes() {
		n.awaitReady()
	}
	r.AwaitReplication(t)
	if spec.Sentinels > 0 {
		startSentinels(t, spec, r)
	}
	return r
}

// newRedisNode writes the configuration of one server: the common part and extra lines.
func newRedisNode(t TB, spec Redis, certs *Certs, name, extra string) *RedisNode {
	t.Helper()
	n := prepareNode(t, spec, certs, name)
	conf := n.commonConf() + extra + `save ""
repl-diskless-sync-delay 0
repl-ping-replica-period 1
repl-timeout 5
`
	if spec.Unix {
		n.Socket = filepath.Join(n.dir, "sock")
		if len(n.Socket) > 107 {
			t.Fatalf("unix socket path %s is longer than 107 bytes: set TMPDIR to a shorter folder", n.Socket)
		}
		conf += "unixsocket " + n.Socket + "\nunixsocketperm 700\n"
	}
	for _, u := range spec.Users {
		conf += "user " + u + "\n"
	}
	file := filepath.Join(n.dir, "redis.conf")
	writeFile(t, file, conf)
	cmd := Command{Program: "redis-server", Image: "redis:7", Args: append([]string{file}, spec.Args...)}
	n.Process = newProcess(t, "redis", n.dir, cmd, n.serves)
	return n
}

func prepareNode(t TB, spec Redis, certs *Certs, name string) *RedisNode {
	t.Helper()
	n := &RedisNode{Addr: FreeAddr(t), spec: spec, dir: newDir(t, name), certs: certs}
	if certs != nil {
		n.TLS = certs.Client()
	}
	return n
}

// commonConf is what servers and sentinels share: address, TLS, password, folder.
func (n *RedisNode) commonConf() string {
	var b strings.Builder
	_, port, _ := strings.Cut(n.Addr, ":")
	fmt.Fprintf(&b, "bind 127.0.0.1\nprotected-mode no\ndaemonize no\ndir %s\n", n.dir)
	if n.certs == nil {
		fmt.Fprintf(&b, "port %s\n", port)
	} else {
		fmt.Fprintf(&b, "port 0\ntls-port %s\ntls-replication yes\ntls-auth-clients optional\n", port)
		fmt.Fprintf(&b, "tls-ca-cert-file %s\ntls-cert-file %s\ntls-key-file %s\n", n.certs.CA, n.certs.ServerCert, n.certs.ServerKey)
	}
	if n.spec.Password != "" {
		fmt.Fprintf(&b, "requirepass %s\nmasterauth %s\n", n.spec.Password, n.spec.Password)
	}
	return b.String()
}

// serves reports whether the server answers and has loaded its data.
func (n *RedisNode) serves() error {
	c, err := n.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Do("PING")
	return err
}

// Dial opens a connection that is logged in as the default user.
func (n *RedisNode) Dial() (*resp.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	nc, err := resp.Dial(ctx, n.Addr, n.TLS)
	if err != nil {
		return nil, err
	}
	c := resp.NewConn(nc, 5*time.Second)
	if err := c.Login("", n.spec.Password); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Query sends one command on a connection of its own.
func (n *RedisNode) Query(args ...string) (resp.Value, error) {
	c, err := n.Dial()
	if err != nil {
		return resp.Value{}, err
	}
	defer c.Close()
	return c.Do(args...)
}

// Do sends one command on a connection of its own and fails the test if it is answered with an error.
func (n *RedisNode) Do(args ...string) resp.Value {
	n.t.Helper()
	v, err := n.Query(args...)
	if err != nil {
		n.t.Fatalf("%s: %s: %v", n.Name, strings.Join(args, " "), err)
	}
	return v
}

// Info returns one field of the INFO command, "" if there is none.
func (n *RedisNode) Info(field string) (string, error) {
	v, err := n.Query("INFO")
	if err != nil {
		return "", err
	}
	for line := range strings.SplitSeq(string(v.Str), "\r\n") {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return value, nil
		}
	}
	return "", nil
}

// AwaitReplication waits until every replica of a primary that runs is connected to it, and outside of clusters until what
// the primary is told reaches it. A replica that is connected may get nothing for a second: the primary waits for its
// first acknowledgement.
func (r *RedisServers) AwaitReplication(t TB) {
	t.Helper()
	for _, n := range r.Replicas {
		awaitLink(t, n)
	}
	if r.Primary != nil && len(r.Replicas) > 0 {
		r.Primary.Do("PUBLISH", "testenv", "anything that is replicated")
		for _, n := range r.Replicas {
			r.awaitStream(t, n)
		}
	}
	for _, s := range r.Shards {
		for _, n := range s.Replicas {
			awaitLink(t, n)
		}
	}
}

// awaitStream waits until a replica has what its primary has.
func (r *RedisServers) awaitStream(t TB, n *RedisNode) {
	t.Helper()
	Wait(t, readyTimeout, n.Name+" to get what its primary is told", func() error {
		want, err := r.Primary.Info("master_repl_offset")
		if err != nil {
			return err
		}
		got, err := n.Info("slave_repl_offset")
		w, _ := strconv.ParseInt(want, 10, 64)
		if g, _ := strconv.ParseInt(got, 10, 64); err == nil && (w == 0 || g < w) {
			err = fmt.Errorf("it is at %d of %d", g, w)
		}
		return err
	})
}

func awaitLink(t TB, n *RedisNode) {
	t.Helper()
	Wait(t, readyTimeout, n.Name+" to follow its primary", func() error {
		status, err := n.Info("master_link_status")
		if err == nil && status != "up" {
			err = fmt.Errorf("master_link_status is %q", status)
		}
		return err
	})
}

// hostPort writes an address the way Redis's configuration wants it: "127.0.0.1 6379".
func hostPort(addr string) string { return strings.Replace(addr, ":", " ", 1) }

func portOf(addr string) int {
	_, port, _ := strings.Cut(addr, ":")
	n, _ := strconv.Atoi(port) // Addr is made by FreeAddr
	return n
}
