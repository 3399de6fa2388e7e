package main

import (
	"os/exec"
	"strings"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// lab is what stands on the table: one Redis or one MariaDB or both, and the proxies in front of them, each started when it
// is first asked for.
type lab struct {
	t        server.TB
	binary   string
	versions map[string]string

	redis   *target
	mysql   *mysqlLab // nil: not asked for yet
	motan   *motanLab // likewise
	http    *httpLab  // likewise
	proxies map[string]*target
	agents  []*target
}

func openLab(t server.TB, binary string, versions map[string]string) *lab {
	return &lab{t: t, binary: binary, versions: versions, proxies: make(map[string]*target)}
}

func (l *lab) startRedis() {
	r := server.Start(l.t, server.Redis{Args: []string{"--maxclients", "25000", "--proto-max-bulk-len", "512mb"}})
	l.redis = &target{name: "redis", addr: r.Primary.Addr, pid: r.Primary.PID()}
	l.version("redis-server", "--version")
}

// version notes the first line that a program says of itself.
func (l *lab) version(program string, arg string) {
	out, err := exec.Command(program, arg).CombinedOutput()
	if err != nil && len(out) == 0 {
		l.versions[program] = err.Error()
		return
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	l.versions[program] = line
}

func (l *lab) direct() *target { return &target{name: "direct", addr: l.redis.addr} }

func (l *lab) once(name string, start func() *target) *target {
	if t := l.proxies[name]; t != nil {
		return t
	}
	t := start()
	l.proxies[name] = t
	return t
}
