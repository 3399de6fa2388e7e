package mesh

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// managed is an agent with which applications register by themselves.
const managed = `
agent:
  admin: {{addr "admin"}}
  application: mesh-test
  data: data
  drain: { wait: 500ms }
  motan: { forward: {{.forward}}, export: {{.export}}, registries: { zk: "zookeeper://{{.zk}}" } }
resources: {}
`

// plane is a ZooKeeper server and an agent.
type plane struct {
	*server.AgentProcess
	t               *testing.T
	zk              *server.ZooKeeperServer
	registry        string // host:port
	forward, export string
}

func startPlane(t *testing.T) *plane {
	t.Helper()
	z := server.Start(t, server.ZooKeeper{})
	p := planeOn(t, z.Addr)
	p.zk = z
	return p
}

// planeOn is a plane whose registry is somewhere else.
func planeOn(t *testing.T, registry string) *plane {
	t.Helper()
	p := &plane{t: t, registry: registry, forward: server.FreeAddr(t), export: server.FreeAddr(t)}
	p.AgentProcess = server.Start(t, server.Agent{Config: managed, Vars: map[string]string{"zk": registry, "forward": p.forward, "export": p.export}})
	return p
}

// ask sends what an application would, and returns the status and what the answer says.
func (p *plane) ask(method, path, body string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.Admin+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (p *plane) must(path, body string) {
	p.t.Helper()
	if code, text := p.ask("POST", path, body); code != 200 || !strings.Contains(text, `"code":200`) {
		p.t.Fatalf("%s: %d %s", path, code, text)
	}
}

// javaURL is what Java's registry "weibomesh" sends for a service: a URL as fastjson writes it, with the registry behind the agent
// as an escaped URL in a parameter.
func (p *plane) javaURL(port int, more string) string {
	registry := url.QueryEscape("zookeeper://" + p.registry + "/com.weibo.api.motan.registry.RegistryService?group=default_rpc&registrySessionTimeout=4000")
	text, err := json.Marshal(registry)
	if err != nil {
		p.t.Fatal(err)
	}
	return fmt.Sprintf(`{"group":%q,"host":"127.0.0.1","parameters":{"group":%q,"version":%q,"nodeType":"service","serialization":"simple",`+
		`"filter":"af_accessLog","proxyRegistryUrlString":%s%s},"path":%q,"port":%d,"protocol":"motan2"}`,
		motan.Group, motan.Group, motan.Version, text, more, motan.Service, port)
}

func portOf(addr string) (port int) {
	_, text, _ := strings.Cut(addr, ":")
	fmt.Sscan(text, &port)
	return port
}

// motan-go's own registry "mesh": its server registers with our agent, and its client subscribes and calls through it.
func TestMotanGoRegistersByItself(t *testing.T) {
	t.Parallel()
	p := startPlane(t)
	through := motan.Mesh(p.Admin, "zookeeper://"+p.zk.Addr)
	s := motan.Serve(t, motan.Server{Registry: through})
	p.exported(true)
	outside := motan.Dial(t, motan.Client{Peer: motan.Java, Registry: motan.ZooKeeper(p.zk)})
	reaches(t, outside)
	is(t, outside, motan.Name(), s.Name)
	inside := motan.Dial(t, motan.Client{Registry: through})
	exercise(t, inside, s.Name)
	code, text := p.ask("GET", "/registry/list", "")
	if code != 200 || strings.Count(text, motan.Service+`"`) != 2 || !strings.Contains(text, `"subscribe_nodes":[{"protocol":"motan2"`) {
		t.Errorf("the list: %d %s", code, text)
	}
	s.Kill() // it says nothing
	p.exported(false)
}

// exported waits until the agent's address is announced as available, or as not.
func (p *plane) exported(available bool) {
	p.t.Helper()
	server.Wait(p.t, 10*time.Second, fmt.Sprintf("the export to be available: %v", available), func() error {
		for _, one := range registryOf(p.t, p.AgentProcess).Announced {
			if one.Address == p.export && one.Stands && one.Available == available {
				return nil
			}
		}
		return fmt.Errorf("it says %+v", registryOf(p.t, p.AgentProcess).Announced)
	})
}

// Java's own registry "weibomesh": a server registers with our agent, is found by others and by a client that subscribes in the same
// way, and is there when the agent was killed and is back, though the registry says nothing again. Both go on to send heartbeats to
// the agent's forward address. A server that goes away in good order takes its service back.
func TestJavaRegistersByItself(t *testing.T) {
	t.Parallel()
	p := startPlane(t)
	through := motan.Weibomesh(p.forward, p.Admin, p.zk)
	known := func(n int, when string) {
		t.Helper()
		server.Wait(t, 20*time.Second, fmt.Sprintf("%d to be known %s", n, when), func() error {
			code, text := p.ask("GET", "/registry/list", "")
			if code != 200 || strings.Count(text, motan.Service+`"`) != n {
				return fmt.Errorf("the list: %d %s", code, text)
			}
			return nil
		})
	}
	s := motan.Serve(t, motan.Server{Peer: motan.Java, Registry: through})
	known(1, "at first") // it asks in the background
	p.exported(true)
	outside := motan.Dial(t, motan.Client{Registry: motan.ZooKeeper(p.zk)})
	reaches(t, outside)
	is(t, outside, motan.Name(), s.Name)
	inside := motan.Dial(t, motan.Client{Peer: motan.Java, Registry: through})
	reaches(t, inside)
	exercise(t, inside, s.Name)
	known(2, "with the client")

	p.Kill()
	p.Restart()
	p.exported(true)
	known(2, "after a restart")
	reaches(t, inside)
	reaches(t, outside)

	s.Stop()
	known(1, "when the service is taken back")
}

// The requests of Java's registry "weibomesh", by hand: register, which it repeats, subscribe, unregister. A service of Java is
// reached through the agent by others and by PHP, which subscribes by itself too, drains when it is taken back, and what was
// registered survives a restart of the agent.
func TestRequestsOfWeibomesh(t *testing.T) {
	t.Parallel()
	p := startPlane(t)
	java := motan.Serve(t, motan.Server{Peer: motan.Java})
	own := p.javaURL(portOf(java.Addr), "")
	p.must("/registry/register", own)
	p.must("/registry/register", own) // it says so again when it did not hear
	p.exported(true)
	p.subscribePHP(p.javaURL(0, ""))
	p.must("/registry/subscribe", p.javaURL(0, `,"nodeType":"referer"`))
	exercise(t, motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(p.forward)}), java.Name)
	c := motan.Dial(t, motan.Client{Peer: motan.Java, Registry: motan.Direct(p.forward)})
	exercise(t, c, java.Name)

	p.Kill()
	p.Restart()
	p.exported(true)
	again := motan.Dial(t, motan.Client{Peer: motan.Java, Registry: motan.Direct(p.forward)})
	server.Wait(t, 10*time.Second, "what was registered to serve", func() error {
		if r := again.Do(motan.Name()); r.Value != java.Name {
			return fmt.Errorf("%v, %v", r.Value, r.Exception)
		}
		return nil
	})

	second := motan.Serve(t, motan.Server{Peer: motan.Java}) // the same service twice on this machine: its agent has both
	p.must("/registry/register", p.javaURL(portOf(second.Addr), ""))
	awaitNames(t, again, java.Name, second.Name)
	p.must("/registry/unregister", own)
	awaitNames(t, again, second.Name)

	outside := motan.Dial(t, motan.Client{Registry: motan.ZooKeeper(p.zk)})
	reaches(t, outside)
	is(t, outside, motan.Name(), second.Name)
	other := motan.Serve(t, motan.Server{Registry: motan.ZooKeeper(p.zk)}) // on another machine, so to speak
	awaitNames(t, outside, second.Name, other.Name)
	stop, failed := make(chan struct{}), make(chan motan.Result, 1)
	go func() {
		defer close(failed)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if r := outside.Do(motan.Name()); r.Exception != nil {
				failed <- r
				return
			}
		}
	}()
	p.must("/registry/unregister", p.javaURL(portOf(second.Addr), ""))
	second.Kill() // as an application that waited for its answer may
	close(stop)
	if r, bad := <-failed; bad {
		t.Errorf("a call failed while the service was taken back: %v", r.Exception)
	}
	awaitNames(t, outside, other.Name)
}

// php is an application of PHP that subscribes by itself, as scripts do, and prints the answer.
const php = `$r = file_get_contents('http://' . $argv[1] . '/registry/subscribe', false, stream_context_create(['http' => ['method' => 'POST',
	'header' => 'Content-Type: application/json', 'content' => $argv[2], 'ignore_errors' => true]])); echo $r;`

func (p *plane) subscribePHP(body string) {
	p.t.Helper()
	said, err := exec.CommandContext(p.t.Context(), "php", "-r", php, "--", p.Admin, body).CombinedOutput()
	if err != nil || !strings.Contains(string(said), `"message":"ok"`) {
		p.t.Fatalf("%s %v", said, err)
	}
}

// What cannot be done is said, with a status that says so too.
func TestRefusedRegistrations(t *testing.T) {
	p := planeOn(t, "127.0.0.1:1") // nobody asks it
	for body, says := range map[string]string{
		`{`:                     "no URL in JSON",
		`{"protocol":"motan"}`:  "use motan2",
		`{"protocol":"motan2"}`: "is no port",
		strings.Replace(p.javaURL(8001, ""), url.QueryEscape(p.registry), "10.9.9.9%3A2181", 1): "none of those in agent.motan.registries",
	} {
		if code, text := p.ask("POST", "/registry/register", body); code != 400 || !strings.Contains(text, says) {
			t.Errorf("%s: %d %s, want %q", body, code, text, says)
		}
	}
	for _, path := range []string{"/registry/register", "/registry/nothing"} {
		if code, text := p.ask("GET", path, ""); code != 404 && code != 405 {
			t.Errorf("GET %s: %d %s", path, code, text)
		}
	}
	if code, text := p.ask("GET", "/registry/info", ""); code != 200 || !strings.Contains(text, fmt.Sprintf(`"mesh_port":%d`, portOf(p.forward))) {
		t.Errorf("info: %d %s", code, text)
	}
	without := forward(t, "127.0.0.1:1")
	if code, _, err := without.Call("GET", "/registry/info", ""); err != nil || code != 404 {
		t.Errorf("an agent whose config says nothing of it answers %d %v", code, err)
	}
	var names []string
	for _, one := range registryList(t, p) {
		names = append(names, one.Path)
	}
	if !slices.Equal(names, nil) {
		t.Errorf("what was refused is registered: %v", names)
	}
}

type listed struct{ Path, Group string }

func registryList(t *testing.T, p *plane) []listed {
	t.Helper()
	var out struct {
		Body struct {
			Register  []listed `json:"register_nodes"`
			Subscribe []listed `json:"subscribe_nodes"`
		}
	}
	_, text := p.ask("GET", "/registry/list", "")
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return append(out.Body.Register, out.Body.Subscribe...)
}
