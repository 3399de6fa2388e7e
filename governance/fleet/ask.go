package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// asking is a question that is open at an agent.
type asking struct {
	id     uint64
	pieces chan control.Answer // one place more than is used, for the last word of a stream
	stream bool
	stop   func() bool // of the context's watch
	err    error       // why it ended early; read after pieces is closed
}

// finish ends a question. It is called once, by whoever took it out of link.asks. The reader of a stream learns why it ended
// early from a last answer of ours.
func (q *asking) finish(err error) {
	q.err = err
	if err != nil && q.stream && !errors.Is(err, context.Canceled) {
		q.pieces <- failure(err)
	}
	close(q.pieces)
	if q.stop != nil {
		q.stop()
	}
}

// failure is an answer that the centre gives in place of the agent.
func failure(err error) control.Answer {
	type fault struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	status, code := 502, "BAD_ANSWER"
	switch {
	case errors.Is(err, ErrAway):
		status, code = 503, "AWAY"
	case errors.Is(err, context.DeadlineExceeded):
		status, code = 504, "TIMEOUT"
	}
	body, _ := json.Marshal(map[string]fault{"error": {code, err.Error()}}) // two texts have a JSON form
	return control.Answer{Status: status, Body: body}
}

// Ask puts a question to an agent and returns its whole answer, pieces joined. The id of the question is given here. Without a
// deadline of ctx it waits 10 s.
func (f *Fleet) Ask(ctx context.Context, agent string, ask control.Ask) (control.Answer, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, askTimeout)
		defer cancel()
	}
	l, q, err := f.ask(ctx, agent, ask, false)
	if err != nil {
		return control.Answer{}, err
	}
	var whole control.Answer
	for piece := range q.pieces {
		if len(whole.Body)+len(piece.Body) > maxAnswer {
			err := fmt.Errorf("agent %s: %w: more than %d bytes", agent, ErrTooLarge, maxAnswer)
			l.giveUp(q.id, err)
			return control.Answer{}, err
		}
		whole.ID, whole.Status = piece.ID, piece.Status
		whole.Body = append(whole.Body, piece.Body...)
	}
	if q.err != nil {
		return control.Answer{}, q.err
	}
	return whole, nil
}

// AskStream puts a question whose answer comes in pieces, until the agent ends it, ctx ends or the link does; then the channel
// is closed. Where the agent did not end it and ctx was not cancelled, the last piece is an error of the centre: status 502,
// 503 or 504. A reader that falls 256 pieces behind has the stream ended.
func (f *Fleet) AskStream(ctx context.Context, agent string, ask control.Ask) (<-chan control.Answer, error) {
	_, q, err := f.ask(ctx, agent, ask, true)
	if err != nil {
		return nil, err
	}
	return q.pieces, nil
}

// AskAll puts one question to several agents, 32 at a time, and calls each with what became of it, one call at a time. Without
// a deadline of ctx each agent has 10 s.
func (f *Fleet) AskAll(ctx context.Context, agents []string, ask control.Ask, each func(agent string, a control.Answer, err error)) {
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, askParallel)
	for _, agent := range agents {
		slots <- struct{}{}
		all.Go(func() {
			a, err := f.Ask(ctx, agent, ask)
			mu.Lock()
			each(agent, a, err)
			mu.Unlock()
			<-slots
		})
	}
	all.Wait()
}

func (f *Fleet) ask(ctx context.Context, agent string, ask control.Ask, stream bool) (*link, *asking, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("agent %s: %w", agent, err)
	}
	e := f.entry(agent)
	if e == nil {
		return nil, nil, fmt.Errorf("agent %s: %w", agent, ErrUnknown)
	}
	e.mu.Lock()
	l := e.link
	e.mu.Unlock()
	if l == nil {
		return nil, nil, fmt.Errorf("agent %s: %w", agent, ErrAway)
	}
	q, err := l.open(ctx, stream)
	if err != nil {
		return nil, nil, fmt.Errorf("agent %s: %w", agent, err)
	}
	ask.ID = q.id
	frame := frameOf(control.TypeAsk, ask)
	if len(frame) > control.MaxToAgent {
		l.giveUp(q.id, nil)
		return nil, nil, fmt.Errorf("a question of %d bytes: agents take %d", len(frame), control.MaxToAgent)
	}
	if !l.post(frame) {
		l.giveUp(q.id, fmt.Errorf("agent %s: %w", agent, ErrAway))
	}
	return l, q, nil
}

// open books a question.
func (l *link) open(ctx context.Context, stream bool) (*asking, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed || l.leaving != nil:
		return nil, ErrAway
	case len(l.asks) >= maxAsks:
		return nil, ErrBusy
	}
	l.asked++
	q := &asking{id: l.asked, stream: stream, pieces: make(chan control.Answer, answerBuffer+1)}
	if l.asks == nil {
		l.asks = make(map[uint64]*asking)
	}
	l.asks[q.id] = q
	q.stop = context.AfterFunc(ctx, func() { l.giveUp(q.id, fmt.Errorf("agent %s: %w", l.a.Name, ctx.Err())) })
	return q, nil
}

// close takes a question out of the books; nil when it is over already.
func (l *link) close(id uint64) *asking {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.asks[id]
	delete(l.asks, id)
	return q
}

// giveUp ends a question that the agent may still be answering.
func (l *link) giveUp(id uint64, why error) {
	if q := l.close(id); q != nil {
		l.post(frameOf(control.TypeCancel, control.Cancel{ID: id}))
		q.finish(why)
	}
}

// answer hands a piece of an answer to who asked. Only the link's reader calls it.
func (l *link) answer(a control.Answer) {
	l.mu.Lock()
	q := l.asks[a.ID]
	slow := q != nil && len(q.pieces) >= answerBuffer
	if q != nil && !slow {
		q.pieces <- a // there is room, and only we fill it
		if !a.More {
			delete(l.asks, a.ID)
		}
	}
	l.mu.Unlock()
	switch {
	case slow:
		l.giveUp(a.ID, fmt.Errorf("agent %s: its answer was read too slowly", l.a.Name))
	case q != nil && !a.More:
		q.finish(nil)
	}
}
