package server

import (
	"fmt"
	"strconv"
	"strings"
)

const clusterSlots = 16384

// startCluster starts a cluster of spec.Shards primaries with equal shares of the slots. It joins the nodes itself:
// redis-cli --cluster create does the same with pauses of seconds.
func startCluster(t TB, spec Redis, r *RedisServers) {
	t.Helper()
	for i := range spec.Shards {
		s := Shard{From: clusterSlots * i / spec.Shards, To: clusterSlots*(i+1)/spec.Shards - 1}
		s.Primary = newClusterNode(t, spec, r.Certs, fmt.Sprintf("shard%d", i))
		for j := range spec.Replicas {
			s.Replicas = append(s.Replicas, newClusterNode(t, spec, r.Certs, fmt.Sprintf("shard%d-replica%d", i, j)))
		}
		r.Shards = append(r.Shards, s)
	}
	nodes := r.Nodes()
	for _, n := range nodes {
		n.launch()
	}
	for _, n := range nodes {
		n.awaitReady()
	}
	for i, s := range r.Shards {
		s.Primary.Do("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(s.From), strconv.Itoa(s.To))
		s.Primary.Do("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
	}
	for _, n := range nodes[1:] {
		nodes[0].Do("CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(portOf(n.Addr)), strconv.Itoa(n.busPort))
	}
	for _, s := range r.Shards {
		id := string(s.Primary.Do("CLUSTER", "MYID").Str)
		for _, n := range s.Replicas {
			// The replica learns of its primary by gossip, so the first answers may be "Unknown node".
			Wait(t, readyTimeout, n.Name+" to know its primary", func() error {
				_, err := n.Query("CLUSTER", "REPLICATE", id)
				return err
			})
		}
	}
	r.AwaitReplication(t)
	r.AwaitCluster(t)
}

func newClusterNode(t TB, spec Redis, certs *Certs, name string) *RedisNode {
	t.Helper()
	bus := freePort(t)
	extra := fmt.Sprintf("cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-node-timeout 1000\ncluster-port %d\n", bus)
	if spec.TLS {
		extra += "tls-cluster yes\n"
	}
	n := newRedisNode(t, spec, certs, name, extra)
	n.busPort = bus
	return n
}

// AwaitCluster waits until every node that runs sees all slots served, by a primary and the replicas it was given.
func (r *RedisServers) AwaitCluster(t TB) {
	t.Helper()
	perShard := 1
	for _, s := range r.Shards {
		perShard = max(perShard, 1+len(s.Replicas))
	}
	for _, n := range r.Nodes() {
		if !n.Running() {
			continue
		}
		Wait(t, readyTimeout, n.Name+" to see the whole cluster", func() error { return n.seesCluster(perShard) })
	}
}

func (n *RedisNode) seesCluster(perShard int) error {
	v, err := n.Query("CLUSTER", "INFO")
	if err != nil {
		return err
	}
	if !strings.Contains(string(v.Str), "cluster_state:ok") {
		return fmt.Errorf("cluster_state is not ok")
	}
	if v, err = n.Query("CLUSTER", "SLOTS"); err != nil {
		return err
	}
	covered := 0
	for _, e := range v.Elem {
		if len(e.Elem) != 2+perShard {
			return fmt.Errorf("slots %v are served by %d nodes, want %d", e.Elem[0], len(e.Elem)-2, perShard)
		}
		covered += int(e.Elem[1].Int-e.Elem[0].Int) + 1
	}
	if covered != clusterSlots {
		return fmt.Errorf("%d of %d slots are served", covered, clusterSlots)
	}
	return nil
}
