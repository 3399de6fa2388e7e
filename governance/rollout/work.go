package rollout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

// work is a plan or a release, for the engine that carries out both.
type work interface {
	course() *Course
	key() string
	steps() int
	step(i int) *Progress
	wait(i int) time.Duration // bake at least this long after the last stage of a step
	expires() *time.Time
}

func (p *Plan) course() *Course          { return &p.Course }
func (p *Plan) key() string              { return planPrefix + p.ID }
func (p *Plan) steps() int               { return len(p.Steps) }
func (p *Plan) step(i int) *Progress     { return &p.Steps[i].Progress }
func (p *Plan) wait(i int) time.Duration { return p.Steps[i].Wait.D() }
func (p *Plan) expires() *time.Time      { return p.Expires }

func (r *Release) course() *Course        { return &r.Course }
func (r *Release) key() string            { return releasePrefix + r.ID }
func (r *Release) steps() int             { return 1 }
func (r *Release) step(int) *Progress     { return &r.Step }
func (r *Release) wait(int) time.Duration { return 0 }
func (r *Release) expires() *time.Time    { return nil }

// allAgents is the one stage of a rollout that has none.
var allAgents = []Stage{{Name: "all", Share: 100}}

func (c *Course) stages() []Stage {
	if len(c.Stages) == 0 {
		return allAgents
	}
	return c.Stages
}

// bake is how long a stage of a step bakes.
func bake(w work, i, k int) time.Duration {
	stages := w.course().stages()
	d := stages[k].Bake.D()
	if k == len(stages)-1 {
		d = max(d, w.wait(i))
	}
	return d
}

// commandID names the command that a stage of a plan's step gives, as agents know commands of the centre: they begin with g-. It
// is never used for anything else.
func commandID(p *Plan, i, k int) string {
	if p.Run > 1 {
		return fmt.Sprintf("g-%s-r%d-%d-%d", p.ID, p.Run, i+1, k+1)
	}
	return fmt.Sprintf("g-%s-%d-%d", p.ID, i+1, k+1)
}

// isRelease reports whether an id is a release's: RESOURCE@VERSION.
func isRelease(id string) bool { return strings.Contains(id, "@") }

func decode[T any](rec record) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(rec.value, v); err != nil {
		return nil, fmt.Errorf("the record is damaged: %w", err)
	}
	if w, ok := any(v).(work); ok {
		w.course().Revision = rec.revision
	}
	return v, nil
}

// open makes a work of a record.
func open(key string, rec record) (work, error) {
	if strings.HasPrefix(key, planPrefix) {
		return decode[Plan](rec)
	}
	return decode[Release](rec)
}

// encode makes the record of a work.
func encode(w work) ([]byte, error) {
	c := w.course()
	revision := c.Revision
	c.Revision = 0 // the store knows
	defer func() { c.Revision = revision }()
	return encodeJSON(w)
}

func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	if b.Len() > store.MaxValue {
		return nil, fmt.Errorf("it takes %d bytes in the store: the limit is %d", b.Len(), store.MaxValue)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// isKey reports whether an error is a conflict over a key.
func isKey(err error, key string) bool {
	var lost *store.ConflictError
	return errors.As(err, &lost) && lost.Key == key
}
