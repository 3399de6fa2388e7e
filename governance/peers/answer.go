package peers

import (
	"context"
	"net/http"
	"time"

	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/protocols/control"
)

const (
	maxAnswers  = 16       // that wait to be sent
	answerPiece = 64 << 10 // bytes of an answer in a frame
	maxWait     = time.Minute

	longestStream = 24 * time.Hour // somebody who watches asks again
)

// ask begins to answer a question.
func (t *teller) ask(m ask) {
	t.mu.Lock()
	_, dup := t.asks[m.ID]
	if dup || len(t.asks) >= maxAsks {
		t.mu.Unlock()
		t.work.Go(func() { t.fail(t.life, m.ID, fleet.ErrBusy) })
		return
	}
	wait := min(max(time.Duration(m.Wait), time.Millisecond), maxWait)
	if m.Stream && m.Wait == 0 {
		wait = longestStream
	}
	ctx, cancel := context.WithTimeout(t.life, wait)
	t.asks[m.ID] = cancel
	t.mu.Unlock()
	t.work.Go(func() {
		defer t.cancel(m.ID)
		t.answer(ctx, m)
	})
}

// cancel ends a question.
func (t *teller) cancel(id uint64) {
	t.mu.Lock()
	cancel := t.asks[id]
	delete(t.asks, id)
	t.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

func (t *teller) answer(ctx context.Context, m ask) {
	switch {
	case m.Stream:
		t.stream(ctx, m)
		return
	case m.Agent == "":
		body, err := t.p.o.Answer(ctx, m.Ask.Path, m.Ask.Body)
		t.whole(ctx, m.ID, control.Answer{Status: http.StatusOK, Body: body}, err)
	default:
		a, err := t.p.fleet.AskHere(ctx, m.Agent, m.Ask)
		t.whole(ctx, m.ID, a, err)
	}
}

// whole sends an answer, in pieces.
func (t *teller) whole(ctx context.Context, id uint64, a control.Answer, err error) {
	if err != nil {
		t.fail(ctx, id, err)
		return
	}
	for {
		n := min(len(a.Body), answerPiece)
		if !t.send(ctx, typeAnswer, control.Answer{ID: id, Status: a.Status, Body: a.Body[:n], More: n < len(a.Body)}) || n == len(a.Body) {
			return
		}
		a.Body = a.Body[n:]
	}
}

// stream passes the pieces of an agent's answer on.
func (t *teller) stream(ctx context.Context, m ask) {
	pieces, err := t.p.fleet.AskStreamHere(ctx, m.Agent, m.Ask)
	if err != nil {
		t.fail(ctx, m.ID, err)
		return
	}
	ended := false
	for a := range pieces {
		a.ID = m.ID
		ended = !a.More
		t.send(ctx, typeAnswer, a) // what is not sent any more is read all the same
	}
	if !ended && ctx.Err() == nil {
		t.fail(ctx, m.ID, fleet.ErrAway)
	}
}

// fail says that a question has no answer. A question whose time is over is not waited for any more, and told all the same.
func (t *teller) fail(ctx context.Context, id uint64, err error) {
	t.send(ctx, typeFailed, failedOf(id, err))
}

// send hands a frame to the writer, and waits for room while anybody waits for the answer.
func (t *teller) send(ctx context.Context, kind control.Type, m any) bool {
	b, err := frame(kind, m)
	if err != nil {
		return false // it waits until its deadline
	}
	select {
	case t.out <- b:
		return true
	case <-ctx.Done():
		return false
	}
}
