package rollout

// Release is a new version of a resource's document on its way to all agents.
type Release struct {
	Course
	Resource string   `json:"resource"`
	From     int      `json:"from"` // version that the agents run
	To       int      `json:"to"`   // version that they are to run
	Step     Progress `json:"step,omitzero"`
}

// over reports whether a release has ended, so that agents get the newest version of the document.
func (r *Release) over() bool { return r.State == Done || r.State == Failed || r.State == Undone }

// serving is what agents get of a resource while a release of it is on its way. It is never changed.
type serving struct {
	from, to int
	all      bool
	agents   map[string]struct{}
}

func (r *Release) serving() *serving {
	s := &serving{from: r.From, to: r.To}
	if r.State == Undoing || r.Step.State == StepUndone {
		return s
	}
	s.all = r.Step.All
	s.agents = make(map[string]struct{}, len(r.Step.Agents))
	for _, a := range r.Step.Agents {
		s.agents[a] = struct{}{}
	}
	return s
}

// Version says which version of a resource's document an agent gets while a release of it is on its way; without one, ok is
// false and it gets the newest. It takes no lock. Between two changes that Changed tells of, answers stay the same.
func (r *Rollouts) Version(resource, agent string) (version int, ok bool) {
	s := r.served.Load().releases[resource]
	if s == nil {
		return 0, false
	}
	if _, in := s.agents[agent]; in || s.all {
		return s.to, true
	}
	return s.from, true
}
