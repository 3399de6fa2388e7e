package console

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/motancommand"
	"github.com/sluice-mesh/sluice/resources"
)

const service = "com.weibo.UserService"

// hold makes a document of commands.
func hold(t *testing.T, origin string, commands ...string) *Document {
	t.Helper()
	list, err := motancommand.Parse([]byte(`{"clientCommandList":[` + strings.Join(commands, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	d := &Document{Origin: origin, Commands: list, Seen: map[string]time.Time{}, Address: "10.0.9.9"}
	for i := range list {
		d.Seen[list[i].Raw] = time.Unix(int64(i+1), 0)
	}
	return d
}

func group(name string, share int, d *Document, addresses ...string) Group {
	return Group{Name: name, Registered: name, Registry: "zookeeper://z:1", Share: share, Document: d, Addresses: addresses}
}

// text is a plan in words: what is in force, what is not and why, and what is borrowed.
func text(p Plan) string {
	var out []string
	for _, o := range p.Orders {
		what := string(o.Command.Type) + " " + o.Command.Summary()
		if o.Problem != "" {
			what = "not " + o.Written + ": " + o.Problem
		}
		out = append(out, what)
	}
	for name := range p.Borrow {
		out = append(out, "borrow "+name)
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func TestCompile(t *testing.T) {
	for _, c := range []struct {
		name     string
		commands []string // of yf
		groups   []Group  // besides; yf has 10.0.0.1 and 10.0.0.2
		want     string
	}{
		{"weights are those that are written", []string{`{"pattern":"*","mergeGroups":["yf:30","tc:70"]}`}, []Group{group("tc", 0, nil, "10.1.0.1:1")}, "switch tc=70 yf=30"},
		{"weight 0", []string{`{"pattern":"*","mergeGroups":["yf:0","tc:100"]}`}, []Group{group("tc", 0, nil, "10.1.0.1:1")}, "switch tc=100 yf=0"},
		{"without weights servers count", []string{`{"pattern":"*","mergeGroups":["yf","tc"]}`}, []Group{group("tc", 0, nil, "10.1.0.1:1")}, "switch tc=1 yf=2"},
		{"a group that is borrowed and not found yet", []string{`{"pattern":"*","mergeGroups":["tc:1"]}`}, nil,
			"borrow tc; not tc=1: no server of tc is known that would get calls, so that group yf is called as before"},
		{"a group that is borrowed and found", []string{`{"pattern":"*","mergeGroups":["tc:1"]}`},
			[]Group{{Name: "tc", Registered: "tc", Registry: "zookeeper://z:1", Borrowed: true, Addresses: []string{"10.1.0.1:1"}}}, "borrow tc; switch tc=1"},
		{"a borrowed group beside one that is there", []string{`{"pattern":"*","mergeGroups":["yf:1","tc:1"]}`}, nil, "borrow tc; switch tc=1 yf=1"},
		{"a name that is another group's here", []string{`{"pattern":"*","mergeGroups":["tc:1"]}`}, []Group{{Name: "tc", Registered: "other"}},
			"not tc=1: it names group tc, and the resource calls another one so: settings.groups gives groups their names"},
		{"another service", []string{`{"pattern":"com.weibo.Tag*","mergeGroups":["tc:1"]}`, `{"commandType":1,"pattern":"!com.*"}`}, nil, ""},
		{"the first that matches", []string{`{"index":2,"pattern":"*","mergeGroups":["tc:1"]}`, `{"index":1,"pattern":"com.*","mergeGroups":["yf:1"]}`},
			nil, "not tc=1: the one with index 1 goes before it; switch yf=1"},
		{"one that is refused is passed over", []string{`{"index":1,"pattern":"*","mergeGroups":["tc:101"]}`, `{"index":2,"pattern":"*","mergeGroups":["yf:1"]}`},
			nil, `not *: the command with index 1 is refused: mergeGroups: the weight in "tc:101" is no number from 0 to 100; switch yf=1`},
		{"a degradation", []string{`{"commandType":1,"pattern":"com.*"}`}, nil, "degrade error"},
		{"switches", []string{`{"commandType":2,"pattern":"a:true"}`}, nil,
			"not a:true: it sets switches of motan-go's programs by name (a:true), which this agent has not: limits and degradations are commands of their own here"},
		{"rules", []string{`{"pattern":"*","mergeGroups":["yf:1"],"routeRules":["10.0.* to !10.0.0.1","10.2.* to 10.3.*"]}`}, nil, "drain 10.0.0.1:*; switch yf=1"},
		{"rules alone", []string{`{"pattern":"*","routeRules":["!10.1.* to 10.0.0.2*"]}`}, nil, "drain !10.0.0.2*"},
		{"rules for others", []string{`{"pattern":"*","routeRules":["10.1.* to 10.0.0.1"]}`}, nil, "switch yf=1"},
		{"rules that leave none", []string{`{"pattern":"*","routeRules":["* to !10.0.0.1","* to !10.0.0.2"]}`}, nil,
			"not * to !10.0.0.1 * to !10.0.0.2: its routeRules leave none of the servers, so that all are called as before"},
		{"rules that leave none of the groups that get calls", []string{`{"pattern":"*","mergeGroups":["yf:1","tc:0"],"routeRules":["* to 10.1.*"]}`}, []Group{group("tc", 0, nil, "10.1.0.1:1")},
			"not yf=1 tc=0 * to 10.1.*: its routeRules leave none of the servers, so that all are called as before"},
	} {
		r := Resource{Name: "user", Service: service, Running: true,
			Groups: append([]Group{group("yf", 100, hold(t, "z/yf", c.commands...), "10.0.0.1:1", "10.0.0.2:1")}, c.groups...)}
		p := Compile(r)
		if got := text(p); got != c.want {
			t.Errorf("%s:\n%s, not\n%s", c.name, got, c.want)
		}
		spec := &resources.Spec{Name: "user", Groups: map[string]resources.Group{"yf": {}, "tc": {}}}
		for _, cmd := range p.Commands() {
			if err := cmd.Validate(spec); err != nil {
				t.Errorf("%s: %+v: %v", c.name, cmd, err)
			}
		}
		if again := Compile(r); fmt.Sprint(again) != fmt.Sprint(p) {
			t.Errorf("%s: it is %v another time", c.name, again)
		}
	}
}

// Groups with a weight are callers of their own, and documents say what becomes of their share.
func TestCompileShares(t *testing.T) {
	away := `{"pattern":"*","mergeGroups":["yf:1","tc:3"]}`
	degrade := `{"commandType":1,"pattern":"*"}`
	for _, c := range []struct {
		name   string
		yf, tc *Document
		app    *Document
		want   string
	}{
		{"one of two", hold(t, "z/yf", away), nil, nil, "switch tc=7 yf=1"},
		{"both", hold(t, "z/yf", away), hold(t, "z/tc", `{"pattern":"*","mergeGroups":["yf:1"]}`), nil, "switch tc=3 yf=5; switch tc=3 yf=5"},
		{"degraded", hold(t, "z/yf", degrade), nil, nil, "degrade 50% error"},
		{"all degraded", nil, nil, hold(t, "z/app", degrade), "degrade error"},
		{"the application goes first, type by type", hold(t, "z/yf", away, degrade), nil, hold(t, "z/app", `{"pattern":"*","mergeGroups":["tc:1"]}`),
			"degrade 50% error; not yf=1 tc=3: the one with index 0 of z/app goes before it; switch tc=1"},
	} {
		p := Compile(Resource{Name: "user", Service: service, Running: true, Applications: map[string]*Document{"zookeeper://z:1": c.app},
			Groups: []Group{group("tc", 100, c.tc, "10.1.0.1:1"), group("yf", 100, c.yf, "10.0.0.1:1")}})
		if got := text(p); got != c.want {
			t.Errorf("%s:\n%s, not\n%s", c.name, got, c.want)
		}
	}
}

// Before a resource runs nobody knows its servers: what was in force is taken to be so still.
func TestCompileBeforeItRuns(t *testing.T) {
	d := hold(t, "z/yf", `{"pattern":"*","mergeGroups":["tc:1"],"routeRules":["* to 10.1.*"]}`)
	p := Compile(Resource{Name: "user", Service: service, Groups: []Group{group("yf", 100, d)}})
	if got, want := text(p), "borrow tc; drain !10.1.*; switch tc=1"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
	if p.Orders[0].Command.ID == p.Orders[1].Command.ID || p.Orders[0].Command.Created != time.Unix(1, 0) || p.Orders[0].Command.Author != Author || p.Orders[0].Origin != "z/yf" {
		t.Errorf("the orders are %+v", p.Orders)
	}
	d.Problem = "no JSON"
	if got := text(Compile(Resource{Name: "user", Service: service, Groups: []Group{group("yf", 100, d)}})); !strings.Contains(got, "the newest document is not used: no JSON") || !strings.Contains(got, "switch tc=1") {
		t.Errorf("a document that is not used: %s", got)
	}
}
