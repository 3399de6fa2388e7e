package mesh

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/admin"
	"github.com/sluice-mesh/sluice/agent/discovery"
	_ "github.com/sluice-mesh/sluice/agent/discovery/zookeeper"
	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// document is what a console has with one command.
func document(command string) string { return `{"clientCommandList":[` + command + `]}` }

// share returns which part of many calls went to a server, and the last exception.
func share(c *motan.ClientProcess, name string, calls int) (float64, *motan.Exception) {
	hits := 0
	var last *motan.Exception
	for range calls {
		r := c.Do(motan.Name())
		if r.Exception != nil {
			last = r.Exception
		} else if r.Value == name {
			hits++
		}
	}
	return float64(hits) / float64(calls), last
}

// awaitShare waits until the calls of all callers go to a server as much as they should, give or take a tenth.
func awaitShare(t *testing.T, what string, callers map[string]*motan.ClientProcess, name string, want float64) {
	t.Helper()
	for who, c := range callers {
		server.Wait(t, 20*time.Second, fmt.Sprintf("%s: %.0f%% of the calls by way of %s at %s", what, want*100, who, name), func() error {
			calls := 20
			if want > 0 && want < 1 {
				calls = 400
			}
			got, failed := share(c, name, calls)
			if failed != nil || math.Abs(got-want) > 0.1 || (want == 0 || want == 1) && got != want {
				return fmt.Errorf("it is %.0f%%, and the last exception is %v", got*100, failed)
			}
			return nil
		})
	}
}

// commands returns what an agent's interface says of commands, by what they do.
func commands(t *testing.T, a *server.AgentProcess) []admin.Command {
	t.Helper()
	var list struct{ Commands []admin.Command }
	status, text, err := a.Call("GET", "/v1/commands", "")
	if err != nil || status != 200 || json.Unmarshal([]byte(text), &list) != nil {
		t.Fatalf("commands: %d %v %s", status, err, text)
	}
	return list.Commands
}

// awaitCommand waits until there is one command, which says what it should.
func awaitCommand(t *testing.T, a *server.AgentProcess, summary, origin, problem string) admin.Command {
	t.Helper()
	var one admin.Command
	server.Wait(t, 20*time.Second, "the command "+summary+" "+problem, func() error {
		list := commands(t, a)
		if len(list) != 1 || list[0].Summary != summary || list[0].Origin != origin || (problem == "") != (list[0].Problem == "") ||
			!strings.Contains(list[0].Problem, problem) {
			return fmt.Errorf("there are %+v", list)
		}
		one = list[0]
		return nil
	})
	return one
}

func awaitNoCommand(t *testing.T, a *server.AgentProcess) {
	t.Helper()
	server.Wait(t, 10*time.Second, "no command", func() error {
		if list := commands(t, a); len(list) != 0 {
			return fmt.Errorf("there are %+v", list)
		}
		return nil
	})
}

// What Motan's console writes does the same by way of this agent as by way of motan-go's: the bytes are Java's.
func TestConsoleCommands(t *testing.T) {
	t.Parallel()
	z := server.Start(t, server.ZooKeeper{})
	registry := motan.ZooKeeper(z)
	home := motan.Serve(t, motan.Server{Registry: registry})
	away := motan.Serve(t, motan.Server{Registry: registry, Group: "elsewhere"})
	a := server.Start(t, server.Agent{Config: found, Vars: map[string]string{"zk": z.Addr}})
	theirs := motan.StartAgent(t, motan.Agent{Refers: []motan.Refer{{Registry: registry}}, Filters: "-"})
	callers := map[string]*motan.ClientProcess{
		"ours":     motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(a.Addr("peers"))}),
		"motan-go": motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(theirs.Forward)}),
	}
	console := motan.OpenConsole(t, z)
	origin := "zookeeper://" + z.Addr + "/motan/" + motan.Group + "/command"
	awaitShare(t, "no command", callers, home.Name, 1)

	console.Put(motan.Group, document(`{"index":1,"version":"1.0","dc":"yf","commandType":0,"pattern":"sluice.*","mergeGroups":["testenv:30","elsewhere:70"],"routeRules":[],"remark":"to the other one"}`))
	c := awaitCommand(t, a, "elsewhere=70 testenv=30", origin, "")
	if c.Author != "motan console" || c.Why != "to the other one" || c.Resource != "peers" {
		t.Errorf("the command is shown as %+v", c)
	}
	if status, text, _ := a.Call("DELETE", "/v1/commands/"+c.ID, ""); status != 409 || !strings.Contains(text, origin) {
		t.Errorf("undoing it here: %d %s", status, text)
	}
	awaitShare(t, "weights", callers, away.Name, 0.7)
	borrowed := motan.Name()
	borrowed.Group = "elsewhere"
	coded(t, callers["ours"], borrowed, 10101, "is not served in group") // it is called, and not served

	console.Put(motan.Group, document(`{"index":1,"commandType":1,"pattern":"sluice.testenv.PeerService"}`))
	awaitCommand(t, a, "error", origin, "")
	for who, c := range callers {
		server.Wait(t, 20*time.Second, "calls by way of "+who+" to be degraded", func() error {
			if r := c.Do(motan.Name()); r.Exception == nil {
				return fmt.Errorf("one got %v", r.Value)
			} else if who == "ours" && r.Exception.Code != 10021 {
				return fmt.Errorf("one got %v", r.Exception)
			}
			return nil
		})
	}

	console.Put(motan.Group, document(`{"index":2,"pattern":"*","mergeGroups":["testenv"]},{"index":1,"pattern":"sluice.*","mergeGroups":["elsewhere"]},{"index":0,"pattern":"com.example.*","mergeGroups":["testenv"]}`))
	awaitShare(t, "the lowest index that matches", callers, away.Name, 1)
	list := commands(t, a)
	if len(list) != 2 || list[0].Problem != "" && list[1].Problem != "" || !strings.Contains(list[0].Problem+list[1].Problem, "index 1 goes before it") {
		t.Errorf("the commands are %+v", list)
	}

	console.Put(motan.Group, document(`{"index":1,"pattern":"*","mergeGroups":["nowhere:100"]}`))
	awaitCommand(t, a, "nowhere=100", origin, "no server of nowhere is known")
	awaitShare(t, "a group that has no servers", callers, home.Name, 1)

	console.Put(motan.Group, document(`{"index":1,"commandType":2,"pattern":"r0_rateLimit:true"}`))
	awaitCommand(t, a, "r0_rateLimit:true", origin, "sets switches of motan-go's programs")
	awaitShare(t, "switches", callers, home.Name, 1)

	console.Put(motan.Group, document(``)) // motan-go does not notice when the entry goes
	awaitShare(t, "an empty list", callers, home.Name, 1)
	awaitNoCommand(t, a)
}

// A command stands while its registry is away, over restarts, and goes with its entry; what cannot be read changes nothing.
func TestConsoleCommandsStand(t *testing.T) {
	t.Parallel()
	z := server.Start(t, server.ZooKeeper{})
	registry := motan.ZooKeeper(z)
	home := motan.Serve(t, motan.Server{Registry: registry})
	away := motan.Serve(t, motan.Server{Registry: registry, Group: "elsewhere"})
	a := server.Start(t, server.Agent{Config: found, Vars: map[string]string{"zk": z.Addr}})
	caller := func() map[string]*motan.ClientProcess {
		return map[string]*motan.ClientProcess{"ours": motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(a.Addr("peers"))})}
	}
	c := caller()
	awaitShare(t, "no command", c, home.Name, 1)
	path := "/motan/" + motan.Group + "/command"
	origin := "zookeeper://" + z.Addr + path
	source, err := discovery.Open("zookeeper://"+z.Addr, discovery.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	put := func(scope discovery.Scope, text string) {
		t.Helper()
		if err := source.(discovery.Commander).PutCommands(t.Context(), scope, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	group := discovery.Scope{Group: motan.Group}
	put(group, document(`{"index":1,"pattern":"*","mergeGroups":["elsewhere:1"]}`))
	first := awaitCommand(t, a, "elsewhere=1", origin, "")
	awaitShare(t, "a command", c, away.Name, 1)

	put(group, `{"clientCommandList":[{"index":`)
	server.Wait(t, 10*time.Second, "the document that cannot be read to be shown", func() error {
		list := commands(t, a)
		if len(list) != 2 || !strings.Contains(list[0].Problem+list[1].Problem, "the newest document is not used") {
			return fmt.Errorf("there are %+v", list)
		}
		return nil
	})
	awaitShare(t, "a document that cannot be read", c, away.Name, 1)
	put(group, document(`{"index":1,"pattern":"*","mergeGroups":["elsewhere:1"]}`))
	if again := awaitCommand(t, a, "elsewhere=1", origin, ""); again.ID != first.ID || !again.Created.Equal(first.Created) {
		t.Errorf("the same command again is %+v, and was %+v", again, first)
	}

	server.Wait(t, 10*time.Second, "the agent's notes to have it", func() error { // they are written once a second
		notes, err := os.ReadFile(filepath.Join(a.Dir, "data", "endpoints.json"))
		if err == nil && (!strings.Contains(string(notes), "mergeGroups") || !strings.Contains(string(notes), away.Addr)) {
			err = fmt.Errorf("they are %s", notes)
		}
		return err
	})
	z.Kill()
	awaitShare(t, "the registry is away", c, away.Name, 1)
	a.Kill()
	a.Restart()
	c = caller()
	awaitShare(t, "a restart without the registry", c, away.Name, 1)
	if again := awaitCommand(t, a, "elsewhere=1", origin, ""); again.ID != first.ID || !again.Created.Equal(first.Created) {
		t.Errorf("after the restart the command is %+v, and was %+v", again, first)
	}
	z.Restart()
	application := discovery.Scope{Application: "mesh-test"}
	put(application, document(`{"index":1,"pattern":"*","mergeGroups":["testenv:1","elsewhere:3"]}`))
	awaitShare(t, "the application's command goes first", c, away.Name, 0.75)
	put(application, discovery.NoCommands)
	awaitShare(t, "and leaves the group's", c, away.Name, 1)
	conn := z.Connect()
	server.Wait(t, 10*time.Second, "the entry to be deleted", func() error { return conn.Delete(path, -1) })
	awaitShare(t, "without the entry", c, home.Name, 1)
	awaitNoCommand(t, a)
}
