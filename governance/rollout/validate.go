package rollout

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-mesh/sluice/governance/store"
)

// Bounds of a plan or release.
const (
	MaxSteps  = 64
	MaxStages = 16
	maxGlobs  = 256
	maxName   = 200
	maxNote   = 4 << 10
	maxBake   = 7 * 24 * time.Hour
	maxFor    = 366 * 24 * time.Hour
)

func (c *Course) validate(bakes bool) error {
	if c.Author == "" {
		return errors.New("author: somebody must answer for it")
	}
	for _, f := range []struct{ name, value string }{{"author", c.Author}, {"why", c.Why}} {
		if err := checkText(f.name, f.value, maxNote); err != nil {
			return err
		}
	}
	if len(c.Stages) > MaxStages {
		return fmt.Errorf("stages: %d are too many: use at most %d", len(c.Stages), MaxStages)
	}
	var share float64
	for k := range c.Stages {
		s := &c.Stages[k]
		if err := s.validate(); err != nil {
			return fmt.Errorf("stages[%d]%w", k, err)
		}
		bakes = bakes || s.Bake > 0
		switch {
		case len(s.Agents) > 0:
		case float64(s.Share) <= share:
			return fmt.Errorf("stages[%d].share: %s is not more than %v%% of a stage before it: let shares grow", k, s.Share, share)
		default:
			share = float64(s.Share)
		}
		if share == 100 && k < len(c.Stages)-1 {
			return fmt.Errorf("stages[%d].share: 100%% is for the last stage: nobody is left for those after it", k)
		}
	}
	return c.Guards.validate(bakes)
}

func (s *Stage) validate() error {
	if err := checkText(".name", s.Name, maxName); err != nil {
		return err
	}
	switch {
	case len(s.Agents) > 0 && s.Share != 0:
		return errors.New(": it has both agents and a share: give one of them")
	case len(s.Agents) == 0 && s.Share == 0:
		return errors.New(": it is for nobody: name agents, such as web-1 or web-*, or give a share, such as 25%")
	case !(s.Share >= 0 && s.Share <= 100):
		return fmt.Errorf(".share: %v is out of range: use more than 0%% and up to 100%%", float64(s.Share))
	case s.Bake < 0 || s.Bake.D() > maxBake:
		return fmt.Errorf(".bake: %s is out of range: use up to %s", s.Bake, maxBake)
	case len(s.Agents) > maxGlobs:
		return fmt.Errorf(".agents: %d are too many: use at most %d, and * for any run of characters", len(s.Agents), maxGlobs)
	}
	for n, a := range s.Agents {
		if a == "" || strings.ContainsFunc(a, unicode.IsSpace) {
			return fmt.Errorf(".agents[%d]: %.40q is no name of an agent: write web-1 or web-*", n, a)
		}
		if err := checkText(fmt.Sprintf(".agents[%d]", n), a, maxName); err != nil {
			return err
		}
	}
	return nil
}

func (g Guards) validate(bakes bool) error {
	switch {
	case !(g.Errors >= 0 && g.Errors <= 100):
		return fmt.Errorf("guards.errors: %v is out of range: use points from 0%% to 100%%, 0%% to switch it off", float64(g.Errors))
	case g.P99 != 0 && !(g.P99 >= 1 && g.P99 <= maxRatio):
		return fmt.Errorf("guards.p99: %s is out of range: use 100%% or more of what it was, such as 150%%", g.P99)
	case g.Refusals < 0:
		return fmt.Errorf("guards.refusals: %d is less than none: use 0 or more agents", g.Refusals)
	case g.measured() && !bakes:
		return errors.New("guards: errors and p99 need a time to look at: let a stage bake, such as 5m")
	}
	return nil
}

func checkText(name, text string, most int) error {
	if len(text) > most {
		return fmt.Errorf("%s: %d bytes are too many: use at most %d", name, len(text), most)
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' }) {
		return fmt.Errorf("%s: it holds control characters, or is not UTF-8", name)
	}
	return nil
}

// Validate checks a plan without looking at resources and agents. Errors say where, and what would be right.
func (p *Plan) Validate() error {
	if strings.TrimSpace(p.Name) == "" {
		return errors.New("name: give the plan a name, such as \"move yf to tc\"")
	}
	if err := checkText("name", p.Name, maxName); err != nil {
		return err
	}
	if p.For < 0 || p.For.D() > maxFor {
		return fmt.Errorf("for: %s is out of range: use up to %s, or nothing for until it is undone", p.For, maxFor)
	}
	if len(p.Steps) == 0 || len(p.Steps) > MaxSteps {
		return fmt.Errorf("steps: %d: a plan has 1 to %d", len(p.Steps), MaxSteps)
	}
	waits := false
	for i := range p.Steps {
		s := &p.Steps[i]
		waits = waits || s.Wait > 0
		switch {
		case s.Wait < 0 || s.Wait.D() > maxBake:
			return fmt.Errorf("steps[%d].wait: %s is out of range: use up to %s", i, s.Wait, maxBake)
		case s.Command.Expires != nil:
			return fmt.Errorf("steps[%d].command.expires: all commands of a plan end together: give the plan a time with for", i)
		case s.Command.Later:
			return fmt.Errorf("steps[%d].command.later: a plan is for resources that there are", i)
		case len(s.Command.Weights) > maxGlobs:
			return fmt.Errorf("steps[%d].command.weights: %d groups are too many", i, len(s.Command.Weights))
		}
	}
	for n, name := range p.Skip {
		if !slices.Contains(CheckNames, name) {
			return fmt.Errorf("skip[%d]: there is no check %q: they are %s", n, name, strings.Join(CheckNames, ", "))
		}
	}
	return p.Course.validate(waits)
}

// Validate checks a release without looking at documents and agents. Errors say where, and what would be right.
func (r *Release) Validate() error {
	if err := store.CheckName("resource", r.Resource); err != nil {
		return err
	}
	if isRelease(r.Resource) || !utf8.ValidString(r.Resource) {
		return fmt.Errorf("resource: %.40q is no name of a resource", r.Resource)
	}
	switch {
	case r.From < 1:
		return fmt.Errorf("from: %d is no version: a resource that is new has nothing to be released against, publish it", r.From)
	case r.To <= r.From:
		return fmt.Errorf("to: version %d is not newer than %d: bring an old version back as a new one", r.To, r.From)
	case len(r.Stages) == 0:
		return errors.New("stages: without any, publish the version instead")
	case r.Stages[len(r.Stages)-1].Share != 100:
		return errors.New("stages: the last one must be for 100%: a release that stops before leaves agents apart for ever")
	}
	return r.Course.validate(false)
}
