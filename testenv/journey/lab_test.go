package journey

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// lab is two groups of servers, each with sentinels of its own, and an agent before them.
type lab struct {
	t      *testing.T
	sluice string // the binary for the verbs: without the race detector, because they are many and short
	agent  *server.AgentProcess
	yf, tc *server.RedisServers
	last   string // ID of the last command
}

func startLab(t *testing.T, config string) *lab {
	t.Helper()
	l := &lab{t: t, sluice: server.Build(t, "github.com/sluice-mesh/sluice/cmd/sluice", false)}
	l.yf = server.Start(t, server.Redis{Replicas: 2, Sentinels: 3})
	l.tc = server.Start(t, server.Redis{Replicas: 2, Sentinels: 3})
	l.agent = server.Start(t, server.Agent{Config: config, Race: race,
		Vars: map[string]string{"yf": sentinels(l.yf), "tc": sentinels(l.tc)}})
	return l
}

func sentinels(r *server.RedisServers) string {
	var list []string
	for _, s := range r.Sentinels {
		list = append(list, strconv.Quote(s.Addr))
	}
	return strings.Join(list, ", ")
}

// order runs a verb of the command line, as an operator types it; last is one more argument, which may hold spaces.
func (l *lab) order(line string, last ...string) string {
	l.t.Helper()
	token, err := l.agent.Token()
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), 10*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, l.sluice, append(strings.Fields(line), last...)...)
	c.Dir = l.t.TempDir()
	c.Env = append(os.Environ(), "SLUICE_AT=http://"+l.agent.Admin, "SLUICE_TOKEN="+token)
	out, err := c.CombinedOutput()
	if err != nil {
		l.t.Fatalf("sluice %s: %v\n%s", line, err, out)
	}
	if id := regexp.MustCompile(`\bc-[0-9a-z]+\b`).FindString(string(out)); id != "" {
		l.last = id
	}
	return string(out)
}

// undo takes the last command back.
func (l *lab) undo() { l.t.Helper(); l.order("undo " + l.last) }

// reload gives the agent another configuration and waits until it holds.
func (l *lab) reload(config string) {
	l.t.Helper()
	before := l.metric("sluice_config_revision")
	l.agent.Rewrite(config)
	if err := syscall.Kill(l.agent.PID(), syscall.SIGHUP); err != nil {
		l.t.Fatal(err)
	}
	server.Wait(l.t, 5*time.Second, "the new configuration", func() error {
		if now := l.metric("sluice_config_revision"); now <= before {
			return fmt.Errorf("the revision is still %v", now)
		}
		return nil
	})
}

// awaitReplica waits until a server follows a primary and has its data.
func (l *lab) awaitReplica(n *server.RedisNode) {
	l.t.Helper()
	server.Wait(l.t, 20*time.Second, n.Name+" to be made a replica", func() error {
		role, err := n.Info("role")
		if err != nil {
			return err
		}
		link, err := n.Info("master_link_status")
		if err != nil || role != "slave" || link != "up" {
			return fmt.Errorf("role %s, link %s: %w", role, link, errors.Join(err, errors.New("not yet")))
		}
		return nil
	})
}

// metric returns the sum of a metric over all its labels.
func (l *lab) metric(name string) float64 {
	l.t.Helper()
	status, body, err := l.agent.Get("/metrics")
	if err != nil || status != http.StatusOK {
		l.t.Fatalf("GET /metrics: %d %v", status, err)
	}
	sum := 0.0
	for line := range strings.Lines(body) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		f := strings.Fields(rest)
		v, err := strconv.ParseFloat(f[len(f)-1], 64)
		if err != nil {
			l.t.Fatalf("metric %q: %v", line, err)
		}
		sum += v
	}
	return sum
}

// atRest checks that nothing is left when the clients are gone.
func (l *lab) atRest() {
	l.t.Helper()
	server.Wait(l.t, 10*time.Second, "the agent to be at rest", func() error {
		for _, name := range []string{"sluice_calls_open", "sluice_inflight", "sluice_sessions", "sluice_pinned_sessions"} {
			if v := l.metric(name); v != 0 {
				return fmt.Errorf("%s is %v", name, v)
			}
		}
		return nil
	})
	if v := l.metric("sluice_reply_mismatch_total"); v != 0 {
		l.t.Errorf("sluice_reply_mismatch_total is %v", v)
	}
}

// app is the running program.
type app struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startApp(t *testing.T, addr string, flags ...string) *app {
	t.Helper()
	// Without the race detector: it would judge the client library.
	bin := server.Build(t, "github.com/sluice-mesh/sluice/testenv/journey/app", false)
	a := &app{t: t, cmd: exec.Command(bin, append(flags, "--addr="+addr)...)}
	a.cmd.Stderr = os.Stderr
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := a.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	a.in, a.out = in, bufio.NewReader(out)
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if a.cmd.ProcessState == nil {
			_ = a.cmd.Process.Kill()
			_ = a.cmd.Wait()
		}
	})
	if line, err := a.out.ReadString('\n'); err != nil || line != "started\n" {
		t.Fatalf("the app said %q, %v", line, err)
	}
	return a
}

// finish ends the program and returns what it found on the servers.
func (a *app) finish(servers ...string) *report {
	a.t.Helper()
	if _, err := fmt.Fprintln(a.in, "verify", strings.Join(servers, " ")); err != nil {
		a.t.Fatal(err)
	}
	text, err := io.ReadAll(a.out)
	if err != nil {
		a.t.Fatal(err)
	}
	if err := a.cmd.Wait(); err != nil {
		a.t.Errorf("the app: %v", err)
	}
	r := new(report)
	if err := json.Unmarshal(text, r); err != nil {
		a.t.Fatalf("the app's report: %v\n%.500s", err, text)
	}
	return r
}
