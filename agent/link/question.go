package link

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// maxAsks is how many questions are answered at once.
const maxAsks = 32

// question is one that is being answered.
type question struct {
	s      *session
	id     uint64
	ctx    context.Context
	cancel context.CancelFunc
}

// ask answers a question in a goroutine of its own. One too many is refused at once, while the reader waits.
func (s *session) ask(ctx context.Context, q control.Ask, all *sync.WaitGroup) error {
	a := &question{s: s, id: q.ID}
	a.ctx, a.cancel = context.WithCancel(ctx)
	s.asking.Lock()
	busy := len(s.asks) >= maxAsks || s.asks[q.ID] != nil
	if !busy {
		s.asks[q.ID] = a
	}
	s.asking.Unlock()
	if busy {
		defer a.cancel()
		return a.send(control.Answer{Status: http.StatusTooManyRequests,
			Body: fmt.Appendf(nil, `{"error":{"code":"too_many","message":"the agent answers %d questions at once, each with its own id"}}`, maxAsks)})
	}
	all.Go(func() {
		defer a.cancel()
		defer a.done()
		s.l.opt.Local.Ask(a.ctx, q, a.send)
	})
	return nil
}

// send queues an answer. It waits while the centre is slow, but not longer than the question lasts.
func (a *question) send(answer control.Answer) error {
	if a.ctx.Err() != nil {
		return context.Cause(a.ctx)
	}
	if answer.ID = a.id; !answer.More {
		a.done() // the centre may use the id again when it has this
	}
	frame, err := control.AppendMessage(nil, control.TypeAnswer, &answer, control.MaxToCenter)
	if err != nil {
		return err
	}
	select {
	case a.s.answers <- frame:
		return nil
	case <-a.ctx.Done():
		return context.Cause(a.ctx)
	}
}

// done forgets the question. It may be called again.
func (a *question) done() {
	a.s.asking.Lock()
	defer a.s.asking.Unlock()
	if a.s.asks[a.id] == a {
		delete(a.s.asks, a.id)
	}
}

// cancel ends a question that is not wanted any more.
func (s *session) cancel(id uint64) {
	s.asking.Lock()
	defer s.asking.Unlock()
	if q := s.asks[id]; q != nil {
		q.cancel()
	}
}
