package cmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/sluice-mesh/sluice/agent"
	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/governance"
	"github.com/sluice-mesh/sluice/internal/cli"
	"github.com/sluice-mesh/sluice/resources"
)

// centerAt is where the verbs below `center` look for it.
const centerAt = "http://127.0.0.1:9980"

type centerCmd struct {
	Serve  centerRunCmd    `cmd:"" name:"run" default:"withargs" help:"Run the governance centre (this is what sluice center does by itself)."`
	Login  centerLoginCmd  `cmd:"" help:"Print a link that logs a person in, once, within 15 minutes."`
	Join   centerJoinCmd   `cmd:"" help:"Tokens by which agents join."`
	Token  centerTokenCmd  `cmd:"" help:"Tokens for programs."`
	User   centerUserCmd   `cmd:"" help:"Who may log in."`
	Secret centerSecretCmd `cmd:"" help:"Passwords that documents refer to."`
}

type centerRunCmd struct {
	Config string `short:"c" help:"Config file; flags alone are enough." placeholder:"FILE"`
	Listen string `help:"Where pages, API and agents' links are; default: 127.0.0.1:9980." placeholder:"HOST:PORT"`
	Data   string `help:"Folder of the store; default: ./center." placeholder:"FOLDER"`
	Name   string `help:"Name of this process; default: the host's name." placeholder:"NAME"`
}

// Run runs the centre until a signal ends it.
func (v *centerRunCmd) Run(h *host) error {
	cfg := governance.DefaultConfig()
	if v.Config != "" {
		var err error
		cfg, err = governance.LoadConfig(v.Config)
		var problems *config.Errors
		switch {
		case errors.As(err, &problems):
			printProblems(h, problems)
			return &shownError{err}
		case err != nil:
			return err
		}
	}
	for _, f := range []struct {
		flag string
		at   *string
	}{{v.Listen, &cfg.Listen}, {v.Data, &cfg.Data}, {v.Name, &cfg.Name}} {
		if f.flag != "" {
			*f.at = f.flag
		}
	}
	ctx, stop := h.interrupted()
	defer stop()
	c, err := governance.Open(ctx, cfg, governance.Options{Version: h.version, Log: agent.NewLogger(h.stderr, cfg.Log), Parse: configOptions()})
	if err != nil {
		return err
	}
	fmt.Fprintf(h.stdout, "Governance centre: %s\n", c.URL())
	if link, first := c.FirstLogin(); first {
		fmt.Fprintf(h.stdout, "First start. Log in within 15 minutes, once: %s\n", link)
	} else {
		fmt.Fprintf(h.stdout, "Log in: sluice center login --data %s\n", cfg.Data)
	}
	return c.Run(ctx)
}

// centerRemote are the flags of verbs that speak to a centre alone.
type centerRemote struct {
	At    string `help:"Centre to speak to." env:"SLUICE_AT" default:"${center}" placeholder:"URL"`
	Token string `help:"Token; default: the file admin.token in the data folder." env:"SLUICE_TOKEN" placeholder:"TOKEN"`
	Data  string `help:"Data folder of the centre; default: ./center." env:"SLUICE_CENTER_DATA" placeholder:"FOLDER"`
}

// post sends a request of one of the verbs below `center`.
func (r *centerRemote) post(path string, in, out any) error {
	return r.do(http.MethodPost, path, nil, in, out)
}

func (r *centerRemote) do(method, path string, q url.Values, in, out any) error {
	data, named := r.Data, r.Data != ""
	if !named {
		data = "center"
	}
	token, err := cli.FindToken(r.At, r.Token, data, named)
	if err != nil {
		return err
	}
	c, err := cli.NewClient(r.At, token)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Do(context.Background(), method, path, q, in, out)
}

type centerLoginCmd struct {
	User string `help:"Who logs in; made with the role when there is no such user." default:"admin" placeholder:"NAME"`
	Role string `help:"Role of a new user." enum:"viewer,operator,owner,admin" default:"admin"`
	centerRemote
}

// Run prints the link.
func (v *centerLoginCmd) Run(h *host) error {
	var out struct{ Path, For string }
	in := map[string]any{"user": v.User, "roles": []map[string]string{{"role": v.Role}}}
	if err := v.post("/v1/login-links", in, &out); err != nil {
		return err
	}
	base := v.At
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u, err := url.Parse(base)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(h.stdout, "%s://%s%s\n", u.Scheme, u.Host, out.Path)
	return err
}

type centerJoinCmd struct {
	Make   joinMakeCmd   `cmd:"" default:"withargs" help:"Print a token by which agents join (this is what sluice center join does by itself)."`
	List   joinListCmd   `cmd:"" help:"List join tokens that still hold, without their texts."`
	Remove joinRemoveCmd `cmd:"" help:"End a join token. Agents that joined by it stay."`
}

type joinMakeCmd struct {
	Agent string             `help:"Names of agents that may join by it, with * for anything; default: any." placeholder:"NAME"`
	Uses  int                `help:"How many agents may join by it." default:"1"`
	For   resources.Duration `help:"How long it can be used." default:"1h" placeholder:"D"`
	Why   string             `help:"Reason, for the audit log." placeholder:"TEXT"`
	centerRemote
}

// Run prints the token.
func (v *joinMakeCmd) Run(h *host) error {
	var out struct{ Token string }
	if err := v.post("/v1/joins", map[string]any{"agent": v.Agent, "uses": v.Uses, "for": v.For, "why": v.Why}, &out); err != nil {
		return err
	}
	_, err := fmt.Fprintln(h.stdout, out.Token)
	return err
}

type centerTokenCmd struct {
	Make   tokenMakeCmd   `cmd:"" default:"withargs" help:"Print a token for a program (this is what sluice center token NAME does)."`
	List   tokenListCmd   `cmd:"" help:"List tokens, without their texts."`
	Remove tokenRemoveCmd `cmd:"" help:"End a token."`
}

type tokenMakeCmd struct {
	Name string             `arg:"" help:"What it is for."`
	Role string             `help:"Role." enum:"viewer,operator,owner,admin" default:"viewer"`
	On   string             `help:"Only for these resources (operator and owner): a name with * for anything, or name=N kind=K label.L=V." placeholder:"RESOURCES"`
	For  resources.Duration `help:"How long it holds; default: until it is deleted." placeholder:"D"`
	Why  string             `help:"Reason, for the audit log." placeholder:"TEXT"`
	centerRemote
}

// Run prints the token.
func (v *tokenMakeCmd) Run(h *host) error {
	g, err := readGrant(v.Role, v.On)
	if err != nil {
		return err
	}
	var out struct{ Token string }
	if err := v.post("/v1/tokens", map[string]any{"name": v.Name, "roles": []grant{g}, "for": v.For, "why": v.Why}, &out); err != nil {
		return err
	}
	_, err = fmt.Fprintln(h.stdout, out.Token)
	return err
}
