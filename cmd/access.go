package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/internal/cli"
)

// Users, tokens, join tokens and secrets of a centre.

type centerUserCmd struct {
	List   userListCmd   `cmd:"" default:"1" help:"List who may log in."`
	Set    userSetCmd    `cmd:"" help:"Let a person in, or give another role."`
	Remove userRemoveCmd `cmd:"" help:"Shut a person out."`
}

type userListCmd struct{ centerRemote }

// Run lists users.
func (v *userListCmd) Run(h *host) error {
	var out struct {
		Users []struct {
			Name  string
			Roles []grant
			Seen  time.Time
		}
	}
	if err := v.do(http.MethodGet, "/v1/users", nil, nil, &out); err != nil {
		return err
	}
	t := cli.NewTable("NAME", "ROLES", "SEEN")
	for _, u := range out.Users {
		var roles []string
		for _, r := range u.Roles {
			roles = append(roles, r.String())
		}
		t.Row(u.Name, strings.Join(roles, ", "), timeOr(u.Seen, "never"))
	}
	return t.Write(h.stdout, h.style())
}

type userSetCmd struct {
	Name string `arg:"" help:"Who."`
	Role string `help:"Role." enum:"viewer,operator,owner,admin" required:""`
	On   string `help:"Only for these resources (operator and owner): a name with * for anything, or name=N kind=K label.L=V." placeholder:"RESOURCES"`
	Why  string `help:"Reason, for the audit log." placeholder:"TEXT"`
	centerRemote
}

// Run makes or changes a user.
func (v *userSetCmd) Run(h *host) error {
	g, err := readGrant(v.Role, v.On)
	if err != nil {
		return err
	}
	in := map[string]any{"roles": []grant{g}, "why": v.Why}
	if err := v.do(http.MethodPut, "/v1/users/"+url.PathEscape(v.Name), nil, in, nil); err != nil {
		return err
	}
	_, err = fmt.Fprintf(h.stdout, "%s: %s. A link to log in: sluice center login --user %s\n", cli.Clean(v.Name), v.Role, cli.Clean(v.Name))
	return err
}

// grant is a role, for all resources or for some.
type grant struct {
	Role   string            `json:"role"`
	Select *command.Selector `json:"select,omitempty"`
}

// String writes it as `--role` and `--on` read it.
func (g grant) String() string {
	if g.Select == nil {
		return g.Role
	}
	return g.Role + " on " + g.Select.String()
}

// readGrant reads --role and --on, which is a name, or pairs of name, kind and label.KEY.
func readGrant(role, on string) (grant, error) {
	g := grant{Role: role}
	if on == "" {
		return g, nil
	}
	if !strings.Contains(on, "=") {
		on = "name=" + on
	}
	scope, err := command.ParseSelector(on)
	if err == nil && scope.IDC != "" {
		err = errors.New("roles are for whole resources, not for an idc")
	}
	if err != nil {
		return g, fmt.Errorf("--on: %w: write a name such as feed-*, or name=feed-* kind=redis label.team=feed", err)
	}
	g.Select = &scope
	return g, nil
}

type userRemoveCmd struct {
	Name string `arg:"" help:"Who."`
	Why  string `help:"Reason, for the audit log." placeholder:"TEXT"`
	centerRemote
}

// Run removes a user.
func (v *userRemoveCmd) Run(h *host) error { return v.remove(h, "/v1/users/", v.Name, v.Why) }

type centerSecretCmd struct {
	List   secretListCmd   `cmd:"" default:"1" help:"List secrets, without their values."`
	Set    secretSetCmd    `cmd:"" help:"Keep a secret, whose value is read from standard input."`
	Remove secretRemoveCmd `cmd:"" help:"Forget a secret that nothing refers to."`
}

type secretListCmd struct{ centerRemote }

// Run lists secrets.
func (v *secretListCmd) Run(h *host) error {
	var out struct {
		Secrets []struct {
			Name, Author    string
			Resources, Used []string
			Changed         time.Time
		}
	}
	if err := v.do(http.MethodGet, "/v1/secrets", nil, nil, &out); err != nil {
		return err
	}
	t := cli.NewTable("NAME", "FOR", "USED BY", "CHANGED", "BY")
	for _, s := range out.Secrets {
		t.Row(s.Name, cmp.Or(strings.Join(s.Resources, " "), "any resource"), strings.Join(s.Used, " "), s.Changed.Local().Format(time.DateTime), s.Author)
	}
	return t.Write(h.stdout, h.style())
}

type secretSetCmd struct {
	Name string   `arg:"" help:"Its name: documents say \\${secret:NAME}."`
	For  []string `help:"Only for resources of this name, with * for anything; may be repeated." placeholder:"NAME"`
	File string   `short:"f" help:"File with the value; - is standard input." default:"-" placeholder:"FILE"`
	Why  string   `help:"Reason, for the audit log." placeholder:"TEXT"`
	centerRemote
}

// Run keeps a secret. A newline at the end of the value is none of it.
func (v *secretSetCmd) Run(h *host) error {
	value, err := read(v.File)
	if err != nil {
		return err
	}
	in := map[string]any{"value": strings.TrimSuffix(strings.TrimSuffix(string(value), "\n"), "\r"), "resources": v.For, "why": v.Why}
	var out struct{ Used []string }
	if err := v.do(http.MethodPut, "/v1/secrets/"+url.PathEscape(v.Name), nil, in, &out); err != nil {
		return err
	}
	text := "no resource refers to it yet"
	if n := len(out.Used); n > 0 {
		text = strconv.Itoa(n) + " refer to it and get it at once: " + strings.Join(out.Used, " ")
	}
	_, err = fmt.Fprintf(h.stdout, "%s is kept; %s\n", cli.Clean(v.Name), cli.Clean(text))
	return err
}

type secretRemoveCmd struct {
	Name string `arg:"" help:"Its name."`
	Why  string `help:"Reason, for the audit log." placeholder:"TEXT"`
	centerRemote
}

// Run removes a secret.
func (v *secretRemoveCmd) Run(h *host) error { return v.remove(h, "/v1/secrets/", v.Name, v.Why) }

type tokenListCmd struct{ centerRemote }

// Run lists tokens.
func (v *tokenListCmd) Run(h *host) error {
	var out struct {
		Tokens []struct {
			ID, Name, Author string
			Roles            []grant
			Expires          time.Time
		}
	}
	if err := v.do(http.MethodGet, "/v1/tokens", nil, nil, &out); err != nil {
		return err
	}
	t := cli.NewTable("ID", "NAME", "ROLES", "BY", "UNTIL")
	for _, x := range out.Tokens {
		var roles []string
		for _, r := range x.Roles {
			roles = append(roles, r.String())
		}
		t.Row(x.ID, x.Name, strings.Join(roles, ", "), x.Author, timeOr(x.Expires, "removed"))
	}
	return t.Write(h.stdout, h.style())
}

type tokenRemoveCmd struct {
	ID  string `arg:"" help:"Its id: sluice center token list."`
	Why string `help:"Reason, for the audit log." placeholder:"TEXT"`
	centerRemote
}

// Run ends a token.
func (v *tokenRemoveCmd) Run(h *host) error { return v.remove(h, "/v1/tokens/", v.ID, v.Why) }

type joinListCmd struct{ centerRemote }

// Run lists join tokens.
func (v *joinListCmd) Run(h *host) error {
	var out struct {
		Joins []struct {
			ID, Agent string
			Left      int
			Expires   time.Time
		}
	}
	if err := v.do(http.MethodGet, "/v1/joins", nil, nil, &out); err != nil {
		return err
	}
	t := cli.NewTable("ID", "FOR", "LEFT>", "UNTIL")
	for _, x := range out.Joins {
		t.Row(x.ID, cmp.Or(x.Agent, "any agent"), strconv.Itoa(x.Left), timeOr(x.Expires, "removed"))
	}
	return t.Write(h.stdout, h.style())
}

type joinRemoveCmd struct {
	ID  string `arg:"" help:"Its id: sluice center join list."`
	Why string `help:"Reason, for the audit log." placeholder:"TEXT"`
	centerRemote
}

// Run ends a join token.
func (v *joinRemoveCmd) Run(h *host) error { return v.remove(h, "/v1/joins/", v.ID, v.Why) }

// timeOr writes a time, or what stands for none.
func timeOr(at time.Time, none string) string {
	if at.IsZero() {
		return none
	}
	return at.Local().Format(time.DateTime)
}

// remove deletes one of a list.
func (r *centerRemote) remove(h *host, path, name, why string) error {
	q := url.Values{}
	if why != "" {
		q.Set("why", why)
	}
	if err := r.do(http.MethodDelete, path+url.PathEscape(name), q, nil, nil); err != nil {
		return err
	}
	_, err := fmt.Fprintf(h.stdout, "%s is removed\n", cli.Clean(name))
	return err
}
