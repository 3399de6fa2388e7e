package cmd

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/internal/cli"
)

type releaseCmd struct {
	List     releaseListCmd     `cmd:"" default:"1" help:"List releases."`
	Show     releaseShowCmd     `cmd:"" help:"Show how far a release is."`
	Pause    releasePauseCmd    `cmd:"" help:"Bring it to no further stage."`
	Continue releaseContinueCmd `cmd:"" help:"Go on with the next stage."`
	Back     releaseBackCmd     `cmd:"" help:"Take the version back from all agents."`
}

// stage is one of a rollout, as the centre reads it.
type stage struct {
	Name   string   `json:"name,omitempty"`
	Agents []string `json:"agents,omitempty"`
	Share  string   `json:"share,omitempty"`
	Bake   string   `json:"bake,omitempty"`
}

// readStage reads a stage as people write it: "web-1,web-2 for 5m", "25% for 10m", "100%".
func readStage(text string) (stage, error) {
	who, bake, timed := strings.Cut(text, " for ")
	s := stage{Bake: strings.TrimSpace(bake)}
	if who = strings.TrimSpace(who); strings.HasSuffix(who, "%") {
		s.Share = who
	} else {
		s.Agents = strings.FieldsFunc(who, func(r rune) bool { return r == ',' || r == ' ' })
		s.Name = "canary"
	}
	if s.Share == "" && len(s.Agents) == 0 || timed && s.Bake == "" {
		return s, fmt.Errorf("%q is no stage: write agents or a share, and how long to watch, such as \"web-1,web-2 for 5m\" or \"25%% for 10m\"", text)
	}
	return s, nil
}

// releaseShown is what is shown of a release.
type releaseShown struct {
	ID, Resource, Author, Why, State, Reason string
	From, To                                 int
	Created                                  time.Time
	Stages                                   []struct {
		Name, Share, State string
		Agents             []string
		Applied, Of        int
		Guards             []struct {
			Name, Value, Limit string
			OK                 bool
		}
	}
}

func (r *releaseShown) show(h *host) error {
	fmt.Fprintf(h.stdout, "%s  version %d -> %d: %s\n", cli.Clean(r.Resource), r.From, r.To, cli.Clean(r.State))
	if r.Reason != "" {
		fmt.Fprintln(h.stdout, cli.Clean(r.Reason))
	}
	t := cli.NewTable("STAGE", "WHO", "STATE", "AGENTS>", "GUARDS")
	for _, s := range r.Stages {
		var guards []string
		for _, g := range s.Guards {
			word := "ok"
			if !g.OK {
				word = "BREACHED"
			}
			guards = append(guards, fmt.Sprintf("%s %s of %s %s", g.Name, g.Value, g.Limit, word))
		}
		who := s.Share
		if len(s.Agents) > 0 {
			who = strings.Join(s.Agents, ",")
		}
		t.Row(s.Name, who, s.State, fmt.Sprintf("%d/%d", s.Applied, s.Of), strings.Join(guards, "; "))
	}
	return t.Write(h.stdout, h.style())
}

type releaseListCmd struct{ remote }

// Run lists releases.
func (v *releaseListCmd) Run(h *host) error {
	return v.with(func(c *cli.Client) error {
		var out struct{ Releases []releaseShown }
		if err := c.Do(context.Background(), http.MethodGet, "/v1/releases", nil, nil, &out); err != nil {
			return err
		}
		if len(out.Releases) == 0 {
			_, err := fmt.Fprintln(h.stderr, "no releases")
			return err
		}
		t := cli.NewTable("ID", "RESOURCE", "VERSION", "STATE", "BY", "CREATED", "WHY")
		for _, r := range out.Releases {
			t.Row(r.ID, r.Resource, strconv.Itoa(r.From)+" -> "+strconv.Itoa(r.To), r.State, r.Author, r.Created.Local().Format(time.DateTime), r.Why)
		}
		return t.Write(h.stdout, h.style())
	})
}

type releaseShowCmd struct {
	ID string `arg:"" help:"Its id, as sluice release shows it."`
	remote
}

// Run shows a release.
func (v *releaseShowCmd) Run(h *host) error {
	return v.with(func(c *cli.Client) error {
		var r releaseShown
		if err := c.Do(context.Background(), http.MethodGet, "/v1/releases/"+url.PathEscape(v.ID), nil, nil, &r); err != nil {
			return err
		}
		return r.show(h)
	})
}

// releaseOrder is what is said to a release.
type releaseOrder struct {
	ID  string `arg:"" help:"Its id, as sluice release shows it."`
	Why string `help:"Why: kept with the release." placeholder:"TEXT"`
	remote
}

func (v *releaseOrder) give(h *host, order string) error {
	return v.with(func(c *cli.Client) error {
		var r releaseShown
		path := "/v1/releases/" + url.PathEscape(v.ID) + "/" + order
		if err := c.Do(context.Background(), http.MethodPost, path, nil, map[string]any{"why": v.Why}, &r); err != nil {
			return err
		}
		return r.show(h)
	})
}

type releasePauseCmd struct{ releaseOrder }

// Run pauses a release.
func (v *releasePauseCmd) Run(h *host) error { return v.give(h, "pause") }

type releaseContinueCmd struct{ releaseOrder }

// Run goes on with a release.
func (v *releaseContinueCmd) Run(h *host) error { return v.give(h, "continue") }

type releaseBackCmd struct{ releaseOrder }

// Run takes a release back.
func (v *releaseBackCmd) Run(h *host) error { return v.give(h, "back") }

// release publishes a document in stages.
func (v *applyCmd) release(h *host, c *cli.Client, text []byte) error {
	in := map[string]any{"why": v.Why}
	var stages []stage
	for _, s := range v.Stage {
		one, err := readStage(s)
		if err != nil {
			return err
		}
		stages = append(stages, one)
	}
	guards := map[string]any{}
	if v.Errors != "" {
		guards["errors"] = v.Errors
	}
	if v.P99 != "" {
		guards["p99"] = v.P99
	}
	if v.Refusals != 0 {
		guards["refusals"] = v.Refusals
	}
	in["stages"], in["guards"] = stages, guards
	// The draft is begun from the revision that the author has seen, or from what is published now, whatever draft there was.
	base := url.Values{}
	if v.Revision != nil {
		base.Set("base", strconv.FormatInt(*v.Revision, 10))
	} else {
		var now struct{ ETag string }
		if err := c.Do(context.Background(), http.MethodGet, resourcePath(v.Resource, ""), nil, nil, &now); err != nil {
			return err
		}
		base.Set("base", strings.Trim(now.ETag, `"`))
	}
	if err := c.Do(context.Background(), http.MethodPut, resourcePath(v.Resource, "draft"), base, cli.Text(text), nil); err != nil {
		return err
	}
	var r releaseShown
	if err := c.Do(context.Background(), http.MethodPost, resourcePath(v.Resource, "publish"), nil, in, &r); err != nil {
		return err
	}
	if err := r.show(h); err != nil {
		return err
	}
	_, err := fmt.Fprintf(h.stderr, "sluice release show %s\n", cli.Clean(r.ID))
	return err
}
