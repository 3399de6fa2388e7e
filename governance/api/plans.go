package api

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/governance/auth"
	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/governance/registry"
	"github.com/sluice-mesh/sluice/governance/rollout"
	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/resources"
)

// planBody is a plan as it is sent: its steps are commands.
type planBody struct {
	Name   string             `json:"name"`
	Why    string             `json:"why"`
	For    resources.Duration `json:"for"`
	Steps  []stepBody         `json:"steps"`
	Stages []rollout.Stage    `json:"stages"`
	Guards rollout.Guards     `json:"guards"`
	Skip   []string           `json:"skip"`
}

type stepBody struct {
	command.Command
	For  resources.Duration `json:"for"`  // of the plan: a step has none of its own
	Wait resources.Duration `json:"wait"` // bake after it
}

func (s *Server) readPlan(r *http.Request) (rollout.Plan, error) {
	var body planBody
	if err := decode(r, &body, "plan", &body.Why); err != nil {
		return rollout.Plan{}, err
	}
	p := rollout.Plan{Name: body.Name, For: body.For, Skip: body.Skip,
		Course: rollout.Course{Author: who(r).Name, Why: body.Why, Stages: body.Stages, Guards: body.Guards}}
	for _, b := range body.Steps {
		c := b.Command
		if err := bounded(r, c.Why); err != nil {
			return p, err
		}
		if err := s.mayCommand(r, &c); err != nil {
			return p, err
		}
		c.Expires = nil // the plan's
		p.Steps = append(p.Steps, rollout.Step{Command: c, Wait: b.Wait})
	}
	return p, nil
}

// planView is a plan as pages show it.
type planView struct {
	rollout.Plan
	Steps  []stepView  `json:"steps"`
	Stages []stageView `json:"stages,omitempty"`
}

type stepView struct {
	N       int         `json:"n"`
	Command commandView `json:"command"`
	State   string      `json:"state"`
	Agents  spread      `json:"agents"`
	Started *time.Time  `json:"started,omitempty"`
	Ended   *time.Time  `json:"ended,omitempty"`
	Error   string      `json:"error,omitempty"`
}

type stageView struct {
	rollout.Stage
	State   string               `json:"state,omitempty"`
	Started *time.Time           `json:"started,omitempty"`
	Applied int                  `json:"applied"`
	Of      int                  `json:"of"`
	Guards  []rollout.GuardState `json:"guards,omitempty"`
}

// stagesOf shows the stages of the step that runs, or ran last.
func stagesOf(stages []rollout.Stage, p *rollout.Progress) []stageView {
	out := make([]stageView, 0, len(stages))
	for i, st := range stages {
		v := stageView{Stage: st}
		if p != nil && i < len(p.Stages) {
			at := p.Stages[i]
			v.State, v.Started, v.Applied, v.Of, v.Guards = at.State, at.Started, at.Applied, at.Of, at.Guards
			if at.State == rollout.StageBaking || at.State == rollout.StageWaiting {
				v.State = "running"
			}
		}
		out = append(out, v)
	}
	return out
}

func (s *Server) planView(p rollout.Plan) planView {
	v := planView{Plan: p}
	all := s.Resources()
	var at *rollout.Progress
	for i := range p.Steps {
		step := &p.Steps[i]
		if step.State != rollout.StepWaiting {
			at = &step.Progress
		}
		state := step.State
		if state == rollout.StepWaiting {
			state = "waiting"
		}
		sv := stepView{N: i + 1, Command: s.view(step.Command, all), State: state, Started: step.Started, Ended: step.Ended, Error: step.Error}
		if step.Given != "" {
			sv.Agents = spreadOf(s.Fleet.Ordered(step.Given))
		}
		v.Steps = append(v.Steps, sv)
	}
	v.Stages = stagesOf(p.Stages, at)
	return v
}

func (s *Server) getPlans(w http.ResponseWriter, r *http.Request) error {
	plans := s.Rollouts.Plans()
	out := make([]planView, 0, len(plans))
	for _, p := range plans {
		out = append(out, s.planView(p))
	}
	slices.SortFunc(out, func(a, b planView) int { return b.Created.Compare(a.Created) })
	httpapi.Reply(w, http.StatusOK, map[string]any{"plans": out})
	return nil
}

func (s *Server) getPlan(w http.ResponseWriter, r *http.Request) error {
	p, err := s.Rollouts.Plan(r.PathValue("id"))
	if err != nil {
		return err
	}
	httpapi.Reply(w, http.StatusOK, s.planView(p))
	return nil
}

func (s *Server) postPlan(w http.ResponseWriter, r *http.Request) error {
	q, err := httpapi.Query(r, "dry-run")
	if err != nil {
		return err
	}
	dry, err := httpapi.Flag(q, "dry-run")
	if err != nil {
		return err
	}
	p, err := s.readPlan(r)
	if err != nil {
		return err
	}
	if dry {
		return s.previewPlan(w, p)
	}
	kept, err := s.Rollouts.AddPlan(by(r, "make plan", p.Name, p.Why), p)
	if err != nil {
		return invalid(err)
	}
	w.Header().Set("Location", "/v1/plans/"+kept.ID)
	httpapi.Reply(w, http.StatusCreated, s.planView(kept))
	return nil
}

func (s *Server) previewPlan(w http.ResponseWriter, p rollout.Plan) error {
	preview, err := s.Rollouts.Preview(p)
	if err != nil {
		return invalid(err)
	}
	type step struct {
		Command   commandView    `json:"command"`
		Text      []string       `json:"text"`
		TextSay   []say.Sentence `json:"textSay"`
		Agents    []string       `json:"agents"`
		Resources []string       `json:"resources"`
	}
	all := s.Resources()
	steps := make([]step, 0, len(preview.Steps))
	for _, ps := range preview.Steps {
		out := step{Command: s.view(ps.Command, all), Agents: nonNil(ps.Agents), Resources: nonNil(ps.Resources)}
		effects := make([]effect, 0, len(ps.Effects))
		for _, e := range ps.Effects {
			effects = append(effects, effect{Name: e.Resource, Calls: round(e.Calls), Before: rounded(e.Before), After: rounded(e.After), Agents: ps.Agents})
		}
		out.TextSay = previewText(ps.Command, effects)
		out.Text = say.Texts(out.TextSay)
		steps = append(steps, out)
	}
	httpapi.Reply(w, http.StatusOK, map[string]any{"checks": nonNil(preview.Checks), "warnings": say.Texts(preview.Warnings),
		"warningsSay": nonNil(preview.Warnings), "steps": steps})
	return nil
}

func rounded(in map[string]float64) map[string]float64 {
	out := make(map[string]float64, len(in))
	for k, v := range in {
		out[k] = round(v)
	}
	return out
}

// mayRun asks for the right on everything that a plan touches.
func (s *Server) mayRun(r *http.Request, id string) (rollout.Plan, error) {
	p, err := s.Rollouts.Plan(id)
	if err != nil {
		return p, err
	}
	for i := range p.Steps {
		if err := s.mayCommand(r, &p.Steps[i].Command); err != nil {
			return p, err
		}
	}
	return p, nil
}

// steering is what is said with an order to a plan or release.
type steering struct {
	Why      string            `json:"why"`
	Override map[string]string `json:"override"` // checks that may fail, and why
}

func (s *Server) postPlanRun(w http.ResponseWriter, r *http.Request) error {
	var body steering
	if err := decode(r, &body, "run", &body.Why); err != nil {
		return err
	}
	p, err := s.mayRun(r, r.PathValue("id"))
	if err != nil {
		return err
	}
	p, err = s.Rollouts.RunPlan(by(r, "run plan", p.Name, body.Why), p.ID, rollout.Start{By: who(r).Name, Why: body.Why, Override: body.Override})
	var failed *rollout.ChecksError
	if errors.As(err, &failed) {
		return httpapi.Conflict("%v", err)
	}
	if err != nil {
		return steered(err)
	}
	httpapi.Reply(w, http.StatusOK, s.planView(p))
	return nil
}

// steered answers what a plan or release cannot take now.
func steered(err error) error {
	if errors.Is(err, rollout.ErrState) {
		return httpapi.Conflict("%v", err)
	}
	return invalid(err)
}

// postPlanOrder pauses, continues or undoes.
func (s *Server) postPlanOrder(w http.ResponseWriter, r *http.Request) error {
	var body steering
	if err := decode(r, &body, "order", &body.Why); err != nil {
		return err
	}
	p, err := s.mayRun(r, r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := s.steer(r, p.ID, r.PathValue("order"), p.Name, body.Why); err != nil {
		return err
	}
	if p, err = s.Rollouts.Plan(p.ID); err != nil {
		return err
	}
	httpapi.Reply(w, http.StatusOK, s.planView(p))
	return nil
}

func (s *Server) steer(r *http.Request, id, order, target, why string) error {
	ctx := by(r, order, target, why)
	var err error
	switch order {
	case "pause":
		err = s.Rollouts.Pause(ctx, id, who(r).Name, why)
	case "continue":
		err = s.Rollouts.Continue(ctx, id, who(r).Name, why)
	case "undo", "back":
		err = s.Rollouts.Undo(ctx, id, who(r).Name, why)
	default:
		return httpapi.NotFound("there is no order %s: use pause, continue, undo or back", httpapi.Quoted(order))
	}
	if err != nil {
		return steered(err)
	}
	return nil
}

func (s *Server) deletePlan(w http.ResponseWriter, r *http.Request) error {
	p, err := s.mayRun(r, r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := s.Rollouts.Remove(by(r, "delete plan", p.Name, r.URL.Query().Get("why")), p.ID); err != nil {
		return steered(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// releaseView is a release as pages show it.
type releaseView struct {
	rollout.Release
	Stages []stageView       `json:"stages"`
	Diff   []registry.Change `json:"diff,omitempty"`
}

func releaseOf(rel rollout.Release) releaseView {
	stages := rel.Stages
	if len(stages) == 0 {
		stages = []rollout.Stage{{Name: "all", Share: 100}}
	}
	return releaseView{Release: rel, Stages: stagesOf(stages, &rel.Step)}
}

func (s *Server) getReleases(w http.ResponseWriter, r *http.Request) error {
	list := s.Rollouts.Releases()
	out := make([]releaseView, 0, len(list))
	for _, rel := range list {
		out = append(out, releaseOf(rel))
	}
	slices.SortFunc(out, func(a, b releaseView) int { return b.Created.Compare(a.Created) })
	httpapi.Reply(w, http.StatusOK, map[string]any{"releases": out})
	return nil
}

func (s *Server) getRelease(w http.ResponseWriter, r *http.Request) error {
	rel, err := s.Rollouts.Release(r.PathValue("id"))
	if err != nil {
		return err
	}
	v := releaseOf(rel)
	from, errFrom := s.Registry.At(r.Context(), rel.Resource, rel.From)
	to, errTo := s.Registry.At(r.Context(), rel.Resource, rel.To)
	if errFrom == nil && errTo == nil {
		v.Diff = registry.Diff(from.Spec, to.Spec)
	}
	httpapi.Reply(w, http.StatusOK, v)
	return nil
}

// publishInStages pins the resource to the version that agents run, publishes the next one, and starts to bring it out.
func (s *Server) publishInStages(w http.ResponseWriter, r *http.Request, name, why string, stages []rollout.Stage, guards rollout.Guards) error {
	d, err := s.Registry.Get(name)
	if err != nil {
		return err
	}
	if d.Exported || d.Version == 0 {
		return refuse(httpapi.Conflict, say.Of("release.first", say.With{"resource": name}))
	}
	seen, err := expected(r)
	if err != nil {
		return err
	}
	ctx := by(r, "release", name, why)
	rel, err := s.Rollouts.AddRelease(ctx, rollout.Release{Resource: name, From: d.Version, To: d.Version + 1,
		Course: rollout.Course{Author: who(r).Name, Why: why, Stages: stages, Guards: guards}})
	if err != nil {
		return steered(err)
	}
	published, err := s.Registry.Publish(ctx, name, who(r).Name, why, seen)
	if err == nil && published.Version != rel.To {
		err = refuse(httpapi.Conflict, say.Of("release.raced", say.With{"resource": name, "version": published.Version}))
	}
	if err != nil {
		if gone := s.Rollouts.Remove(ctx, rel.ID); gone != nil {
			s.Log.Error("a release that could not begin could not be removed", "release", rel.ID, "error", gone)
		}
		return explainDocument(err)
	}
	if rel, err = s.Rollouts.RunRelease(ctx, rel.ID, who(r).Name); err != nil {
		return steered(err)
	}
	w.Header().Set("Location", "/v1/releases/"+rel.ID)
	httpapi.Reply(w, http.StatusCreated, releaseOf(rel))
	return nil
}

func (s *Server) postReleaseOrder(w http.ResponseWriter, r *http.Request) error {
	var body steering
	if err := decode(r, &body, "order", &body.Why); err != nil {
		return err
	}
	rel, err := s.Rollouts.Release(r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := s.may(r, auth.Publish, s.targetOf(rel.Resource)); err != nil {
		return err
	}
	if err := s.steer(r, rel.ID, r.PathValue("order"), rel.Resource, body.Why); err != nil {
		return err
	}
	if rel, err = s.Rollouts.Release(rel.ID); err != nil {
		return err
	}
	httpapi.Reply(w, http.StatusOK, releaseOf(rel))
	return nil
}
