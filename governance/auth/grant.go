package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/resources"
)

// Role is a set of rights.
type Role string

// The roles, each with the rights of those before it.
const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Owner    Role = "owner"
	Admin    Role = "admin"
)

var roles = []Role{Viewer, Operator, Owner, Admin}

// Right is what a request needs.
type Right string

// The rights. Edit saves drafts; Publish makes them hold. Command is for commands and plans.
const (
	View      Right = "view"
	Command   Right = "command"
	Edit      Right = "edit"
	Publish   Right = "publish"
	Authorize Right = "admin" // users, tokens, join tokens, secrets
)

// Rights lists all rights, the least first.
func Rights() []Right { return []Right{View, Command, Edit, Publish, Authorize} }

var rightsOf = map[Role][]Right{
	Viewer:   {View},
	Operator: {View, Command, Edit},
	Owner:    {View, Command, Edit, Publish},
	Admin:    {View, Command, Edit, Publish, Authorize},
}

// Scope narrows a role to some resources. All that is set must hold; an empty one is every resource.
type Scope struct {
	Name   string            `json:"name,omitempty"` // with * for any run of characters; several separated by commas
	Kind   string            `json:"kind,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
}

// Target is a resource that somebody wants to change.
type Target struct {
	Name   string
	Kind   string
	Labels map[string]string
}

// covers reports whether a target is one of the scope's.
func (s *Scope) covers(t Target) bool {
	return s == nil || resources.GlobAny(s.Name, t.Name) && resources.GlobAny(s.Kind, t.Kind) && resources.GlobLabels(s.Labels, t.Labels)
}

// String writes the scope for people: name=feed-* kind=redis label team=feed.
func (s *Scope) String() string {
	if s == nil {
		return "everything"
	}
	var parts []string
	for _, p := range []struct{ key, value string }{{"name", s.Name}, {"kind", s.Kind}} {
		if p.value != "" {
			parts = append(parts, p.key+"="+p.value)
		}
	}
	for k, v := range s.Labels {
		parts = append(parts, "label "+k+"="+v)
	}
	slices.Sort(parts)
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, " ")
}

// Grant is a role, narrowed or not.
type Grant struct {
	Role  Role   `json:"role"`
	Scope *Scope `json:"select,omitempty"` // nil: every resource
}

// validate says what is wrong with a grant.
func (g Grant) validate() error {
	if !slices.Contains(roles, g.Role) {
		return fmt.Errorf("%q is not a role: use viewer, operator, owner or admin", g.Role)
	}
	if g.Scope != nil && (g.Role == Admin || g.Role == Viewer) {
		return fmt.Errorf("the role %s cannot be narrowed to %s: only operator and owner can", g.Role, g.Scope)
	}
	return nil
}

func validateGrants(grants []Grant) error {
	if len(grants) == 0 {
		return errors.New("no role: give at least viewer")
	}
	for _, g := range grants {
		if err := g.validate(); err != nil {
			return err
		}
	}
	return nil
}

// Identity is who makes a request.
type Identity struct {
	Name   string // of the user; "token NAME"; "admin.token"
	Grants []Grant
}

// Can reports whether the identity has a right, for every target; without targets, for something at least.
func (id *Identity) Can(right Right, targets ...Target) bool {
	if id == nil {
		return false
	}
	if len(targets) == 0 {
		return slices.ContainsFunc(id.Grants, func(g Grant) bool { return slices.Contains(rightsOf[g.Role], right) })
	}
	for _, t := range targets {
		if !slices.ContainsFunc(id.Grants, func(g Grant) bool { return slices.Contains(rightsOf[g.Role], right) && g.Scope.covers(t) }) {
			return false
		}
	}
	return true
}

// Everywhere reports whether the identity has a right whatever the resource: what changes more than one resource, or none, asks
// for this.
func (id *Identity) Everywhere(right Right) bool {
	return id != nil && slices.ContainsFunc(id.Grants, func(g Grant) bool { return slices.Contains(rightsOf[g.Role], right) && g.Scope == nil })
}

// ErrUnauthorized is wrapped by what refuses an identity: unknown, wrong, expired or used.
var ErrUnauthorized = errors.New("not accepted")

// maxName bounds names of users, tokens and agents.
const maxName = 128

// reserved are the authors in the audit log that nobody has made: the centre at work by itself (audit.Log), and whoever has admin.token
// (Bearer). The others, "center NAME", "agent NAME", "token NAME" and "login link", have a space, which no name has.
var reserved = map[string]string{"center": "the centre itself", adminName: "whoever has the token in the centre's folder"}

// adminName is the name of whoever has admin.token.
const adminName = "admin.token"

// checkNew is checkName for a user or token that is made: its name must not pass for one of the system's own, in capitals neither.
func checkNew(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if whom := reserved[strings.ToLower(name)]; whom != "" {
		return fmt.Errorf("the name %s is reserved: in the audit log it is %s: use another name, such as ops-%s", name, whom, strings.ToLower(name))
	}
	return nil
}

// checkName says whether something can be a name: it becomes part of keys, paths and certificates.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("a name has 1 to %d characters", maxName)
	}
	for i, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '@', c == ':', c == '+':
		case c == '.' && i > 0:
		default:
			return fmt.Errorf("the name %q has a %q: use letters, digits and . - _ @ : +", name, c)
		}
	}
	return nil
}
