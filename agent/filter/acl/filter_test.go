package acl_test

import (
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/agent/filter/acl"
	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/resources"
)

func TestRules(t *testing.T) {
	read, config, key := resources.Match{Class: "read"}, resources.Match{Op: "CONFIG|*"}, resources.Match{Key: "user:*", Class: "write"}
	deny := func(m ...resources.Match) *resources.ACL { return &resources.ACL{Deny: m} }
	for _, tc := range []struct {
		name string
		acl  *resources.ACL
		op   string
		want string // "": allowed
	}{
		{"deny selects", deny(key, config), "CONFIG|GET", "sluice: feed-cache: denied by rule 2 (op=CONFIG|*)"},
		{"deny selects by key", deny(key), "SET", "sluice: feed-cache: denied by rule 1 (class=write key=user:*)"},
		{"deny does not select", deny(key), "GET", ""},
		{"deny all", deny(resources.Match{}), "GET", "sluice: feed-cache: denied by rule 1"},
		{"allow selects", &resources.ACL{Allow: []resources.Match{config, read}}, "GET", ""},
		{"allow does not select", &resources.ACL{Allow: []resources.Match{read}}, "SET", "sluice: feed-cache: not on the allow list"},
		{"deny wins", &resources.ACL{Allow: []resources.Match{read}, Deny: []resources.Match{{Op: "KEYS"}}}, "KEYS", "sluice: feed-cache: denied by rule 1 (op=KEYS)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fx := conformance.New(t, &resources.Policy{ACL: tc.acl})
			f := fx.Build(t, acl.Definition, nil)
			stop := fx.Do(f, tc.op, resources.OutcomeOK, 0)
			switch {
			case tc.want == "" && stop != nil:
				t.Errorf("refused with %q", stop.Fault.Text)
			case tc.want != "" && (stop == nil || stop.Fault.Text != tc.want || stop.Fault.Code != resources.Denied):
				t.Errorf("got %+v, want denied, %q", stop, tc.want)
			}
		})
	}
}

func TestBadRuleIsNamed(t *testing.T) {
	fx := conformance.New(t, &resources.Policy{ACL: &resources.ACL{Allow: []resources.Match{{}, {Class: "reed"}}}})
	if _, err := acl.Definition.Compile(fx.Env(), nil); err == nil || !strings.Contains(err.Error(), `acl.allow[1]: unknown class "reed"`) {
		t.Errorf("error is %v", err)
	}
}

func TestOffWithoutRules(t *testing.T) {
	fx := conformance.New(t, &resources.Policy{ACL: &resources.ACL{}})
	if f, err := acl.Definition.Compile(fx.Env(), nil); f != nil || err != nil {
		t.Errorf("got %v, %v; want none", f, err)
	}
}
