package peers

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/governance/question"
	"github.com/sluice-mesh/sluice/protocols/control"
)

// Bounds of questions to another centre.
const (
	maxAsks = 2048 // that are open on a link: who observes a resource asks all its agents
	askTime = 10 * time.Second
)

// whole asks, and returns the whole answer. Without a deadline of ctx it waits 10 s.
func (l *link) whole(ctx context.Context, m ask) (control.Answer, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, askTime)
		defer cancel()
	}
	q, err := l.ask(ctx, m)
	if err != nil {
		return control.Answer{}, err
	}
	return q.Whole()
}

// stream asks a question whose answer comes in pieces; see fleet.AskStream.
func (l *link) stream(ctx context.Context, m ask) (<-chan control.Answer, error) {
	q, err := l.ask(ctx, m)
	if err != nil {
		return nil, err
	}
	return q.Pieces, nil
}

// ask books a question and sends it.
func (l *link) ask(ctx context.Context, m ask) (*question.Question, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if at, ok := ctx.Deadline(); ok {
		m.Wait = max(int64(time.Until(at)), 1)
	}
	q, err := l.asks.Open(ctx, m.Stream)
	if err != nil {
		return nil, err
	}
	m.ID = q.ID
	b, err := frame(typeAsk, m)
	if err != nil {
		l.asks.GiveUp(m.ID, nil)
		return nil, err
	}
	l.post(b) // a link that does not take it is cut, which ends the question
	return q, nil
}

// cancelAsk tells the other centre that nobody waits for an answer any more.
func (l *link) cancelAsk(id uint64) {
	if b, err := frame(typeCancel, cancel{id}); err == nil { // a number has a JSON form
		l.post(b)
	}
}

// codes are the errors that callers tell apart.
var codes = map[string]error{
	"away": fleet.ErrAway, "unknown": fleet.ErrUnknown, "busy": fleet.ErrBusy, "large": fleet.ErrTooLarge, "closed": fleet.ErrClosed, "late": context.DeadlineExceeded,
}

// relayed is an error that another centre met.
type relayed struct {
	text string
	kind error // nil: none of codes
}

func (e *relayed) Error() string { return e.text }
func (e *relayed) Unwrap() error { return e.kind }

func errorOf(f failed) error { return &relayed{f.Message, codes[f.Code]} }

func failedOf(id uint64, err error) failed {
	f := failed{ID: id, Code: "other", Message: err.Error()}
	for code, known := range codes {
		if errors.Is(err, known) {
			f.Code = code
		}
	}
	return f
}
