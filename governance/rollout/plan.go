package rollout

import (
	"time"

	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/resources"
)

// State is where a plan or release is.
type State string

// The states.
const (
	Draft   State = "draft"   // it was not run yet
	Running State = "running" // the leader carries it on
	Paused  State = "paused"  // what was done stays, and nothing more is done
	Undoing State = "undoing" // it is being taken back
	Done    State = "done"    // all of it is done; with Expired its commands are over
	Failed  State = "failed"  // it was taken back by itself: Reason says why
	Undone  State = "undone"  // somebody took it back
)

// Plan is an ordered set of commands over several resources.
type Plan struct {
	Course
	Name      string             `json:"name"`
	For       resources.Duration `json:"for,omitempty"` // from the start of the run to the end of its commands; 0: until undone
	Steps     []Step             `json:"steps"`
	Skip      []string           `json:"skip,omitempty"`      // checks that are not made
	Checks    []Check            `json:"checks,omitempty"`    // as they were when it was run
	Overrides map[string]string  `json:"overrides,omitempty"` // why it was run although the check failed, by its name
	Expires   *time.Time         `json:"expires,omitempty"`   // when the commands of this run are over
	Expired   bool               `json:"expired,omitempty"`
}

// Step is one command of a plan.
type Step struct {
	Command command.Command    `json:"command"`        // without id, author, times and plan: those are the plan's
	Wait    resources.Duration `json:"wait,omitempty"` // bake at least this long after its last stage
	Progress
}

// Course is what plans and releases have in common.
type Course struct {
	ID      string    `json:"id"`
	Author  string    `json:"author"`
	Why     string    `json:"why,omitempty"`
	Created time.Time `json:"created"`
	Stages  []Stage   `json:"stages,omitempty"` // none: all agents at once
	Guards  Guards    `json:"guards,omitzero"`

	State   State      `json:"state"`
	Reason  string     `json:"reason,omitempty"` // why it waits, failed or was taken back
	By      string     `json:"by,omitempty"`     // who last ran, paused, continued or undid it
	Run     int        `json:"run,omitempty"`    // times that it was run
	Started *time.Time `json:"started,omitempty"`
	Ended   *time.Time `json:"ended,omitempty"`
	Fails   bool       `json:"fails,omitempty"` // it is taken back by itself
	// Revision is that of the record's last change: what an editor has seen. It is set by this package.
	Revision int64 `json:"revision,omitempty"`
}

// Stage is the agents that get a step before others do.
type Stage struct {
	Name   string             `json:"name,omitempty"`
	Agents []string           `json:"agents,omitempty"` // names, with * for any run of characters; or
	Share  resources.Percent  `json:"share,omitempty"`  // of all agents that the step concerns, at least one
	Bake   resources.Duration `json:"bake,omitempty"`   // how long the guards look before it goes on
}

// Guards bound what a stage may do to calls. One that is 0 is off, except for Refusals.
type Guards struct {
	Errors   resources.Percent `json:"errors,omitempty"`   // points that the share of failed calls may rise
	P99      Ratio             `json:"p99,omitempty"`      // to what it was before the step
	Refusals int               `json:"refusals,omitempty"` // agents that may refuse it
}

// measured reports whether there is a guard that looks at calls.
func (g Guards) measured() bool { return g.Errors > 0 || g.P99 > 0 }

// States of a step.
const (
	StepWaiting = "" // also "waiting" to those who show it
	StepRunning = "running"
	StepDone    = "done"
	StepEnded   = "ended" // somebody ended its command by hand while it ran
	StepUndoing = "undoing"
	StepUndone  = "undone"
	StepExpired = "expired"
)

// Progress is how far a step is.
type Progress struct {
	State   string     `json:"state,omitempty"`
	Error   string     `json:"error,omitempty"`
	Started *time.Time `json:"started,omitempty"`
	Ended   *time.Time `json:"ended,omitempty"`
	Back    *time.Time `json:"back,omitempty"`  // its command was taken back
	Given   string     `json:"given,omitempty"` // id of the command that its newest stage gave
	// Agents are those of the running stage, and All says that it is for every agent that the step concerns, those that come
	// later included. Agents are not kept for steps of a plan that are done.
	Agents []string        `json:"agents,omitempty"`
	All    bool            `json:"all,omitempty"`
	Stages []StageProgress `json:"stages,omitempty"` // those that began
}

// States of a stage of a step.
const (
	StageWaiting = "waiting" // for answers of agents; also shown as running
	StageBaking  = "baking"
	StageDone    = "done"
	StageSkipped = "skipped" // it would not have brought any agent anything new
	StageFailed  = "failed"
)

// StageProgress is how far a stage of a step is.
type StageProgress struct {
	Name    string       `json:"name,omitempty"`
	State   string       `json:"state"`
	Started *time.Time   `json:"started,omitempty"`
	Acked   *time.Time   `json:"acked,omitempty"` // all had answered, and it began to bake
	Ended   *time.Time   `json:"ended,omitempty"`
	Of      int          `json:"of,omitempty"`      // agents
	Applied int          `json:"applied,omitempty"` // of them, when all had answered
	Away    int          `json:"away,omitempty"`    // of them, not connected then
	Guards  []GuardState `json:"guards,omitempty"`
}

// GuardState is what a guard saw at the end of a stage.
type GuardState struct {
	Name   string `json:"name"` // errors, p99, refusals
	OK     bool   `json:"ok"`
	Value  string `json:"value"`
	Limit  string `json:"limit"`
	Detail string `json:"detail,omitempty"` // on which resource, and out of how many calls
}
