package governance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/discovery"
	_ "github.com/sluice-mesh/sluice/agent/discovery/zookeeper"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// found is a command as the centre lists it.
type found struct {
	ID, Type, Resource, Author, Why, Origin, Problem, Summary string
	Agents                                                    struct{ Total, Applied, Refused int }
}

// What agents find of Motan's console is listed by the centre and its pages among its own commands: where it is, and who carries it
// out.
func TestCenterShowsConsoleCommands(t *testing.T) {
	t.Parallel()
	server.NodeModules(t, "browser")
	z := server.Start(t, server.ZooKeeper{})
	l := newLab(t)
	l.put("user-rpc", fmt.Sprintf("kind: motan2\nsettings: { service: com.weibo.UserService }\ngroups: { user-rpc: { registry: \"zookeeper://%s\" } }\n", z.Addr))
	for _, name := range []string{"web-1", "web-2"} {
		server.Start(t, server.Agent{Config: l.configOf(name, "yf", "", []string{"user-rpc"}), Env: []string{"SLUICE_JOIN=" + l.joinToken(1)}, NoWait: true})
	}
	source, err := discovery.Open("zookeeper://"+z.Addr, discovery.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	put := func(commands string) {
		t.Helper()
		document := []byte(`{"clientCommandList":[` + commands + `]}`)
		if err := source.(discovery.Commander).PutCommands(t.Context(), discovery.Scope{Group: "user-rpc"}, document); err != nil {
			t.Fatal(err)
		}
	}
	list := func() []found {
		t.Helper()
		var out struct{ Commands []found }
		l.get("GET", "/v1/commands", "", &out)
		return out.Commands
	}
	origin := "zookeeper://" + z.Addr + "/motan/user-rpc/command"
	put(`{"index":1,"commandType":1,"pattern":"*","remark":"too slow"},{"index":2,"commandType":2,"pattern":"a:true"}`)
	var stop found
	l.await(30*time.Second, "both commands of both agents", func() error {
		all := list()
		if len(all) != 2 || all[0].Agents.Total != 2 || all[1].Agents.Total != 2 {
			return fmt.Errorf("they are %+v", all)
		}
		for _, c := range all {
			switch {
			case c.Origin != origin || c.Resource != "user-rpc" || !strings.Contains(c.Author, origin):
				return fmt.Errorf("one is %+v", c)
			case c.Type == "degrade" && c.Agents.Applied == 2 && c.Summary == "error" && c.Why == "too slow" && c.Problem == "":
				stop = c
			case c.Type == "switcher" && c.Agents.Refused == 2 && strings.Contains(c.Why, "not in force: it sets switches of motan-go's programs"):
			default:
				return fmt.Errorf("one is %+v", c)
			}
		}
		return nil
	})
	v := &verbs{l, server.Build(t, "github.com/sluice-mesh/sluice/cmd/sluice", false)}
	v.must(v.say("get", "commands"), stop.ID, "too slow", origin, "not in force", "until gone there")
	if status, text, err := l.center.Call("DELETE", "/v1/commands/"+stop.ID, ""); err != nil || status != 409 || !strings.Contains(text, origin) {
		t.Errorf("undoing it at the centre: %d %s %v", status, text, err)
	}
	inBrowser(l, l.center.URL(), "console.test.mjs")
	put("")
	l.await(10*time.Second, "no command", func() error {
		if all := list(); len(all) != 0 {
			return fmt.Errorf("they are %+v", all)
		}
		return nil
	})
}
