package server

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/testenv/load/resp"
)

// sentinelPeriods make sentinels find each other and their replicas within fractions of a second instead of 2 and 10 s.
// They are not kept in the configuration file, so each start sets them again. Names: sentinel.c of Redis 7. While the
// primary is down, a replica is asked for INFO every second and is no candidate if its INFO is older than five periods
// of PING: with much less than 300 ms most failovers are given up and begun again after twice the failover timeout.
var sentinelPeriods = []string{"INFO-PERIOD", "500", "ASK-PERIOD", "200", "PUBLISH-PERIOD", "200", "PING-PERIOD", "300"}

// startSentinels adds sentinels to a running primary with replicas: down after 500 ms, failover within 3 s.
func startSentinels(t TB, spec Redis, r *RedisServers) {
	t.Helper()
	for range spec.Sentinels {
		n := prepareNode(t, spec, r.Certs, "sentinel")
		conf := n.commonConf() + "sentinel monitor " + SentinelName + " " + hostPort(r.Primary.Addr) + " " +
			strconv.Itoa(spec.Sentinels/2+1) + "\n"
		for _, line := range []string{"down-after-milliseconds %s 500", "failover-timeout %s 3000", "parallel-syncs %s 2"} {
			conf += "sentinel " + fmt.Sprintf(line, SentinelName) + "\n"
		}
		if spec.Password != "" {
			conf += "sentinel auth-pass " + SentinelName + " " + spec.Password + "\nsentinel sentinel-pass " + spec.Password + "\n"
		}
		file := filepath.Join(n.dir, "sentinel.conf")
		writeFile(t, file, conf)
		cmd := Command{Program: "redis-sentinel", Image: "redis:7", Args: []string{file}}
		n.Process = newProcess(t, "redis", n.dir, cmd, func() error {
			_, err := n.Query(append([]string{"SENTINEL", "DEBUG"}, sentinelPeriods...)...)
			return err
		})
		n.launch()
		r.Sentinels = append(r.Sentinels, n)
	}
	for _, n := range r.Sentinels {
		n.awaitReady()
	}
	for _, n := range r.Sentinels {
		Wait(t, readyTimeout, n.Name+" to know its peers", func() error {
			return n.knows(len(r.Sentinels)-1, len(r.Replicas))
		})
	}
}

// knows reports whether a sentinel sees the primary up, with that many other sentinels and replicas.
func (n *RedisNode) knows(sentinels, replicas int) error {
	v, err := n.Query("SENTINEL", "MASTER", SentinelName)
	if err != nil {
		return err
	}
	state := fieldsOf(v)
	got := state["flags"] + " " + state["num-other-sentinels"] + " " + state["num-slaves"]
	if want := fmt.Sprintf("master %d %d", sentinels, replicas); got != want {
		return fmt.Errorf("flags, other sentinels and replicas are %q, want %q", got, want)
	}
	return nil
}

// SentinelPrimary returns the address of the primary as this sentinel sees it.
func (n *RedisNode) SentinelPrimary() (string, error) {
	v, err := n.Query("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SentinelName)
	if err != nil {
		return "", err
	}
	if len(v.Elem) != 2 {
		return "", fmt.Errorf("sentinel does not know %s", SentinelName)
	}
	return string(v.Elem[0].Str) + ":" + string(v.Elem[1].Str), nil
}

// AwaitFailover waits until all sentinels that run agree on a primary other than old and that server accepts writes.
// It returns the new primary.
func (r *RedisServers) AwaitFailover(t TB, old *RedisNode) *RedisNode {
	t.Helper()
	var found *RedisNode
	Wait(t, readyTimeout, "a failover from "+old.Name, func() error {
		found = nil
		for _, s := range r.Sentinels {
			if !s.Running() {
				continue
			}
			addr, err := s.SentinelPrimary()
			if err != nil {
				return err
			}
			n := r.nodeAt(addr)
			switch {
			case n == nil || n == old:
				return fmt.Errorf("%s still names %s", s.Name, addr)
			case found != nil && found != n:
				return fmt.Errorf("the sentinels disagree: %s and %s", found.Addr, addr)
			}
			found = n
		}
		if found == nil {
			return fmt.Errorf("no sentinel runs")
		}
		return found.hasRole("master")
	})
	return found
}

// hasRole reports whether the server's own ROLE is master or slave.
func (n *RedisNode) hasRole(role string) error {
	v, err := n.Query("ROLE")
	if err != nil {
		return err
	}
	if len(v.Elem) == 0 || string(v.Elem[0].Str) != role {
		return fmt.Errorf("%s is no %s: ROLE is %v", n.Name, role, v)
	}
	return nil
}

func (r *RedisServers) nodeAt(addr string) *RedisNode {
	for _, n := range r.Nodes() {
		if n.Addr == addr {
			return n
		}
	}
	return nil
}

// fieldsOf reads a flat list of names and values.
func fieldsOf(v resp.Value) map[string]string {
	m := make(map[string]string, len(v.Elem)/2)
	for i := 0; i+1 < len(v.Elem); i += 2 {
		m[strings.ToLower(string(v.Elem[i].Str))] = string(v.Elem[i+1].Str)
	}
	return m
}
