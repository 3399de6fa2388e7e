package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/governance/auth"
	"github.com/sluice-mesh/sluice/governance/registry"
	"github.com/sluice-mesh/sluice/governance/rollout"
	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/resources"
)

// may asks for a right on a resource. One that does not exist yet is judged by its name and what is to become of it.
func (s *Server) may(r *http.Request, right auth.Right, t auth.Target) error {
	if id := who(r); !id.Can(right, t) {
		return refuse(httpapi.Forbidden, say.Of("may.not.there", say.With{"who": id.Name, "resource": t.Name, "right": right}))
	}
	return nil
}

// mayChange asks for the right to publish, and whether nothing is on its way that a change would overtake.
func (s *Server) mayChange(r *http.Request, name string) error {
	if err := s.may(r, auth.Publish, s.targetOf(name)); err != nil {
		return err
	}
	if _, rolling := s.Rollouts.Version(name, ""); rolling {
		return refuse(httpapi.Conflict, say.Of("release.runs", say.With{"resource": name}))
	}
	return nil
}

// targetOf is a resource as it is now, for rights.
func (s *Server) targetOf(name string) auth.Target {
	d, err := s.Registry.Get(name)
	if err != nil {
		return auth.Target{Name: name}
	}
	return auth.Target{Name: name, Kind: d.Kind, Labels: d.Labels}
}

// edit reads what a change of a document has in common.
func (s *Server) edit(r *http.Request, known ...string) (e registry.Edit, q map[string][]string, err error) {
	e = registry.Edit{Name: r.PathValue("name"), Author: who(r).Name}
	values, err := httpapi.Query(r, append([]string{"why"}, known...)...)
	if err != nil {
		return e, nil, err
	}
	e.Why = values.Get("why")
	e.If, err = expected(r)
	return e, values, err
}

// document answers a change with what there is now.
func (s *Server) document(w http.ResponseWriter, d registry.Doc, err error) error {
	if err != nil {
		return explainDocument(err)
	}
	w.Header().Set("ETag", etag(d.Revision))
	status := http.StatusOK
	if d.Version == 1 {
		status = http.StatusCreated
	}
	httpapi.Reply(w, status, map[string]any{"name": d.Name, "etag": etag(d.Revision), "version": d.Version, "revision": d.Revision, "config": d.Spec})
	return nil
}

// explainDocument names the field of a document that is refused.
func explainDocument(err error) error {
	var problems *config.Errors
	if errors.As(err, &problems) {
		first := problems.Problems[0]
		return httpapi.Invalid(first.Path, "%s", problemsText(problems))
	}
	return invalid(err)
}

func problemsText(p *config.Errors) string {
	text := ""
	for i, x := range p.Problems {
		if i > 0 {
			text += "; "
		}
		text += fmt.Sprintf("line %d: %s: %s", x.Line, x.Path, x.Message)
	}
	return text
}

// nothing is the spec of what is not there, for differences.
var nothing = json.RawMessage("{}")

// problem is one line of a dry run.
type problem struct {
	Path    string `json:"path"`
	Line    int    `json:"line,omitempty"`
	Message string `json:"message"`
}

func (s *Server) putResource(w http.ResponseWriter, r *http.Request) error {
	e, q, err := s.edit(r, "dry-run")
	if err != nil {
		return err
	}
	if e.Data, err = httpapi.Body(r); err != nil {
		return err
	}
	dry, err := httpapi.Flag(q, "dry-run")
	if err != nil {
		return err
	}
	if dry {
		return s.dryRun(w, r, e)
	}
	if err := s.mayChange(r, e.Name); err != nil {
		return err
	}
	// Labels decide who may: one who may only change what has a label must not take it away, or put it on what others own.
	if next, err := s.Registry.Check(e.Name, e.Data); err == nil {
		if err := s.may(r, auth.Publish, auth.Target{Name: e.Name, Kind: next.Kind, Labels: next.Labels}); err != nil {
			return err
		}
	}
	d, err := s.Registry.Put(by(r, "publish", e.Name, e.Why), e)
	return s.document(w, d, err)
}

func (s *Server) patchResource(w http.ResponseWriter, r *http.Request) error {
	e, _, err := s.edit(r)
	if err != nil {
		return err
	}
	if e.Data, err = httpapi.Body(r); err != nil {
		return err
	}
	if err := s.mayChange(r, e.Name); err != nil {
		return err
	}
	var labels struct {
		Labels json.RawMessage `json:"labels"`
	}
	if json.Unmarshal(e.Data, &labels) == nil && labels.Labels != nil && !who(r).Everywhere(auth.Publish) {
		return refuse(httpapi.Forbidden, say.Of("may.not.label", say.With{"who": who(r).Name}))
	}
	d, err := s.Registry.Patch(by(r, "publish", e.Name, e.Why), e)
	return s.document(w, d, err)
}

func (s *Server) deleteResource(w http.ResponseWriter, r *http.Request) error {
	e, _, err := s.edit(r)
	if err != nil {
		return err
	}
	if err := s.mayChange(r, e.Name); err != nil {
		return err
	}
	if _, err := s.Registry.Delete(by(r, "delete", e.Name, e.Why), e.Name, e.Author, e.Why, e.If); err != nil {
		return explainDocument(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// dryRun says what a document would change, and for whom. A document that is another one by now than the author has seen is refused as
// the change would be.
func (s *Server) dryRun(w http.ResponseWriter, r *http.Request, e registry.Edit) error {
	out := struct {
		Valid    bool              `json:"valid"`
		Problems []problem         `json:"problems"`
		Diff     []registry.Change `json:"diff"`
		Agents   []string          `json:"agents"`
		Text     []string          `json:"text"`
		TextSay  []say.Sentence    `json:"textSay"`
	}{Problems: []problem{}, Diff: []registry.Change{}, Agents: []string{}}
	if err := s.Registry.Seen(r.Context(), e); err != nil {
		return explainDocument(err)
	}
	next, err := s.Registry.Check(e.Name, e.Data)
	var wrong *config.Errors
	switch {
	case errors.As(err, &wrong):
		for _, p := range wrong.Problems {
			out.Problems = append(out.Problems, problem{p.Path, p.Line, p.Message})
		}
		httpapi.Reply(w, http.StatusOK, out)
		return nil
	case err != nil:
		return explainDocument(err)
	}
	if err := s.Secrets.Check(e.Name, next.Spec, Everywhere(r.Context())); err != nil {
		out.Problems = append(out.Problems, problem{Path: "settings", Message: err.Error()})
		httpapi.Reply(w, http.StatusOK, out)
		return nil
	}
	out.Valid = true
	before := nothing
	if d, err := s.Registry.Get(e.Name); err == nil && d.Spec != nil {
		before = d.Spec
	}
	out.Diff = nonNil(registry.Diff(before, next.Spec))
	for _, a := range s.Fleet.Agents() {
		for _, name := range a.Wants {
			if name == e.Name && a.Connected {
				out.Agents = append(out.Agents, a.Name)
			}
		}
	}
	what := say.Of("document.same", nil)
	if len(out.Diff) > 0 {
		what = say.Of("document.changes", say.With{"n": len(out.Diff), "agents": len(out.Agents)})
	}
	out.Text, out.TextSay = []string{what.Text}, []say.Sentence{what}
	httpapi.Reply(w, http.StatusOK, out)
	return nil
}

func (s *Server) getConfig(w http.ResponseWriter, r *http.Request) error {
	it, err := s.item(r.PathValue("name"))
	if err != nil {
		return err
	}
	out := map[string]any{"spec": it.spec}
	if it.doc != nil {
		out["yaml"] = string(it.doc.Text)
		w.Header().Set("ETag", etag(it.doc.Revision))
	}
	httpapi.Reply(w, http.StatusOK, out)
	return nil
}

// version is a line of a history.
type version struct {
	Version  int       `json:"version"`
	Revision int64     `json:"revision"`
	Author   string    `json:"author"`
	Why      string    `json:"why,omitempty"`
	Changed  time.Time `json:"changed"`
	Deleted  bool      `json:"deleted,omitempty"`
}

func (s *Server) getHistory(w http.ResponseWriter, r *http.Request) error {
	list, err := s.Registry.History(r.Context(), r.PathValue("name"))
	if err != nil {
		return invalid(err)
	}
	out := make([]version, 0, len(list))
	for _, v := range list {
		out = append(out, version{v.Version, v.Revision, v.Author, v.Why, v.Changed, v.Deleted})
	}
	httpapi.Reply(w, http.StatusOK, map[string]any{"versions": out})
	return nil
}

func (s *Server) getVersion(w http.ResponseWriter, r *http.Request) error {
	n, err := strconv.Atoi(r.PathValue("version"))
	if err != nil || n < 1 {
		return httpapi.Invalid("version", "%s is no version: they are numbered from 1", httpapi.Quoted(r.PathValue("version")))
	}
	name := r.PathValue("name")
	d, err := s.Registry.At(r.Context(), name, n)
	if err != nil {
		return invalid(err)
	}
	diff, err := s.sinceBefore(r.Context(), d)
	if err != nil {
		return err
	}
	httpapi.Reply(w, http.StatusOK, map[string]any{"version": n, "author": d.Author, "why": d.Why, "changed": d.Changed, "deleted": d.Deleted,
		"yaml": string(d.Text), "diff": diff})
	return nil
}

// sinceBefore is what a version changed.
func (s *Server) sinceBefore(ctx context.Context, d registry.Doc) ([]registry.Change, error) {
	before, after := nothing, nothing
	if d.Version > 1 {
		old, err := s.Registry.At(ctx, d.Name, d.Version-1)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if old.Spec != nil {
			before = old.Spec
		}
	}
	if d.Spec != nil {
		after = d.Spec
	}
	return nonNil(registry.Diff(before, after)), nil
}

func (s *Server) postRevert(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	var body struct {
		Version int    `json:"version"`
		Why     string `json:"why"`
	}
	if err := decode(r, &body, "revert", &body.Why); err != nil {
		return err
	}
	if err := s.mayChange(r, name); err != nil {
		return err
	}
	d, err := s.Registry.Revert(by(r, "revert", name, body.Why), name, body.Version, who(r).Name, body.Why)
	return s.document(w, d, err)
}

// draft is a text that is not published.
type draft struct {
	YAML     string    `json:"yaml"`
	Author   string    `json:"author"`
	Why      string    `json:"why,omitempty"`
	Changed  time.Time `json:"changed"`
	Base     int64     `json:"base,omitempty"`
	Revision int64     `json:"revision"`
	Problems []problem `json:"problems"`
}

func draftOf(d registry.Draft) draft {
	out := draft{string(d.Text), d.Author, d.Why, d.Changed, d.Base, d.Revision, []problem{}}
	if d.Problems != nil {
		for _, p := range d.Problems.Problems {
			out.Problems = append(out.Problems, problem{p.Path, p.Line, p.Message})
		}
	}
	return out
}

func (s *Server) getDraft(w http.ResponseWriter, r *http.Request) error {
	d, err := s.Registry.Draft(r.Context(), r.PathValue("name"))
	if err != nil {
		return invalid(err)
	}
	w.Header().Set("ETag", etag(d.Revision))
	httpapi.Reply(w, http.StatusOK, draftOf(d))
	return nil
}

// putDraft keeps a draft. base=REVISION is the version that the text was begun from: publishing is refused once there is a newer one.
func (s *Server) putDraft(w http.ResponseWriter, r *http.Request) error {
	e, q, err := s.edit(r, "base")
	if err != nil {
		return err
	}
	if v := q["base"]; len(v) > 0 {
		base, err := strconv.ParseInt(v[0], 10, 64)
		if err != nil || base < 0 {
			return httpapi.Invalid("base", "%s is no revision: it is the number in the ETag of the version that was read", httpapi.Quoted(v[0]))
		}
		e.Base = &base
	}
	if e.Data, err = httpapi.Body(r); err != nil {
		return err
	}
	if err := s.may(r, auth.Edit, s.targetOf(e.Name)); err != nil {
		return err
	}
	d, err := s.Registry.SaveDraft(by(r, "save draft", e.Name, e.Why), e)
	if err != nil {
		return explainDocument(err)
	}
	w.Header().Set("ETag", etag(d.Revision))
	httpapi.Reply(w, http.StatusOK, draftOf(d))
	return nil
}

func (s *Server) deleteDraft(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if err := s.may(r, auth.Edit, s.targetOf(name)); err != nil {
		return err
	}
	if err := s.Registry.DiscardDraft(by(r, "discard draft", name, r.URL.Query().Get("why")), name); err != nil {
		return invalid(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) postPublish(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	var body struct {
		Why    string          `json:"why"`
		Stages []rollout.Stage `json:"stages"` // none: all agents at once
		Guards rollout.Guards  `json:"guards"`
	}
	if err := decode(r, &body, "publication", &body.Why); err != nil {
		return err
	}
	if err := s.mayChange(r, name); err != nil {
		return err
	}
	if len(body.Stages) > 0 {
		return s.publishInStages(w, r, name, body.Why, body.Stages, body.Guards)
	}
	seen, err := expected(r)
	if err != nil {
		return err
	}
	d, err := s.Registry.Publish(by(r, "publish", name, body.Why), name, who(r).Name, body.Why, seen)
	return s.document(w, d, err)
}

func (s *Server) postEndpoint(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	var body struct {
		Group   string `json:"group"`
		Address string `json:"address"`
		Role    string `json:"role"`
		Weight  *int   `json:"weight"`
		Why     string `json:"why"`
	}
	if err := decode(r, &body, "endpoint", &body.Why); err != nil {
		return err
	}
	if err := s.mayChange(r, name); err != nil {
		return err
	}
	spec := resources.EndpointSpec{Address: body.Address, Role: body.Role, Weight: body.Weight}
	seen, err := expected(r)
	if err != nil {
		return err
	}
	d, err := s.Registry.AddEndpoint(by(r, "add endpoint", name+" "+body.Address, body.Why), name, body.Group, spec, who(r).Name, body.Why, seen)
	return s.document(w, d, err)
}

func (s *Server) deleteEndpoint(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	q, err := httpapi.Query(r, "group", "address", "why")
	if err != nil {
		return err
	}
	if err := s.mayChange(r, name); err != nil {
		return err
	}
	seen, err := expected(r)
	if err != nil {
		return err
	}
	address := q.Get("address")
	d, err := s.Registry.RemoveEndpoint(by(r, "remove endpoint", name+" "+address, q.Get("why")), name, q.Get("group"),
		resources.EndpointSpec{Address: address}, who(r).Name, q.Get("why"), seen)
	return s.document(w, d, err)
}

// postRelease lets go of endpoints that protection holds.
func (s *Server) postRelease(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	var body struct {
		Group   string `json:"group"`
		Address string `json:"address"` // "": all of the group
		Why     string `json:"why"`
	}
	if err := decode(r, &body, "release", &body.Why); err != nil {
		return err
	}
	if err := s.mayChange(r, name); err != nil {
		return err
	}
	n, err := s.Registry.Release(name, body.Group, body.Address)
	if err != nil {
		return invalid(err)
	}
	s.Log.Info("held endpoints were let go", "resource", name, "group", body.Group, "endpoints", n, "by", who(r).Name, "why", body.Why)
	httpapi.Reply(w, http.StatusOK, map[string]int{"released": n})
	return nil
}
