package fleet

import (
	"context"
	"fmt"
	"sync"

	"github.com/sluice-mesh/sluice/governance/question"
	"github.com/sluice-mesh/sluice/protocols/control"
)

// Ask puts a question to an agent and returns its whole answer, pieces joined. The id of the question is given here. Without a
// deadline of ctx it waits 10 s.
func (f *Fleet) Ask(ctx context.Context, agent string, ask control.Ask) (control.Answer, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, askTimeout)
		defer cancel()
	}
	if center, elsewhere := f.elsewhere(agent); elsewhere {
		return f.o.Elsewhere.Ask(ctx, center, agent, ask)
	}
	return f.AskHere(ctx, agent, ask)
}

// elsewhere returns the other centre that an agent is linked to.
func (f *Fleet) elsewhere(agent string) (center string, yes bool) {
	m, yes := f.find(agent).(*mirror)
	if !yes || !m.connected || f.o.Elsewhere == nil {
		return "", false
	}
	return m.center, true
}

// AskHere is Ask for an agent that is linked here. ctx has a deadline.
func (f *Fleet) AskHere(ctx context.Context, agent string, ask control.Ask) (control.Answer, error) {
	q, err := f.ask(ctx, agent, ask, false)
	if err != nil {
		return control.Answer{}, err
	}
	return q.Whole()
}

// AskStream puts a question whose answer comes in pieces, until the agent ends it, ctx ends or the link does; then the channel
// is closed. Where the agent did not end it and ctx was not cancelled, the last piece is an error of the centre: status 502,
// 503 or 504. A reader that falls 256 pieces behind has the stream ended.
func (f *Fleet) AskStream(ctx context.Context, agent string, ask control.Ask) (<-chan control.Answer, error) {
	if center, elsewhere := f.elsewhere(agent); elsewhere {
		return f.o.Elsewhere.AskStream(ctx, center, agent, ask)
	}
	return f.AskStreamHere(ctx, agent, ask)
}

// AskStreamHere is AskStream for an agent that is linked here.
func (f *Fleet) AskStreamHere(ctx context.Context, agent string, ask control.Ask) (<-chan control.Answer, error) {
	q, err := f.ask(ctx, agent, ask, true)
	if err != nil {
		return nil, err
	}
	return q.Pieces, nil
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

func (f *Fleet) ask(ctx context.Context, agent string, ask control.Ask, stream bool) (*question.Question, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("agent %s: %w", agent, err)
	}
	e := f.entry(agent)
	if e == nil && f.find(agent) != nil {
		return nil, fmt.Errorf("agent %s: %w", agent, ErrAway)
	}
	if e == nil {
		return nil, fmt.Errorf("agent %s: %w", agent, ErrUnknown)
	}
	e.mu.Lock()
	l := e.link
	e.mu.Unlock()
	if l == nil || l.goes() {
		return nil, fmt.Errorf("agent %s: %w", agent, ErrAway)
	}
	q, err := l.asks.Open(ctx, stream)
	if err != nil {
		return nil, err
	}
	ask.ID = q.ID
	frame := frameOf(control.TypeAsk, ask)
	if len(frame) > control.MaxToAgent {
		l.asks.GiveUp(q.ID, nil)
		return nil, fmt.Errorf("a question of %d bytes: agents take %d", len(frame), control.MaxToAgent)
	}
	if !l.post(frame) {
		l.asks.GiveUp(q.ID, fmt.Errorf("agent %s: %w", agent, ErrAway))
	}
	return q, nil
}
