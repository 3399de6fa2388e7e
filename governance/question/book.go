// Package question keeps the books of questions that are put over a link and answered in pieces: those of a centre to an agent
// (package fleet) and to another centre (package peers). The frames and the link are its users' own.
//
//	Open -> the user sends a frame with the question's ID
//	Answer, Fail  <- the link's reader, as frames come
//	GiveUp, the end of Open's ctx -> Book's cancel sends a frame that nobody waits any more
//	Close  <- the link ends
//
// A question ends once: with its last piece, with an error, or with the book. Book.mu is a leaf: no function of the user's is
// called with it held.
package question

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// Errors that callers tell apart with errors.Is.
var (
	ErrAway     = errors.New("the agent is not connected")
	ErrBusy     = errors.New("too many questions to that agent are open")
	ErrTooLarge = errors.New("the answer is too large")
)

const (
	maxWhole  = 8 << 20 // bytes of an answer that is collected
	maxPieces = 256     // of an answer that wait for who asked
)

// Book is the questions that are open on one link. Make it with NewBook; its methods may be called from any goroutine.
type Book struct {
	who    string
	most   int
	cancel func(id uint64)

	mu   sync.Mutex
	open map[uint64]*Question // nil: the book is closed
	last uint64
}

// Question is one that is open.
type Question struct {
	ID uint64 // within the book
	// Pieces are those of the answer, in order, until the question ends. The last one of a stream that ended early is a Failure,
	// unless who asked cancelled it.
	Pieces <-chan control.Answer

	book   *Book
	pieces chan control.Answer // one place more than is used, for the last word of a stream
	stream bool
	stop   func() bool // of the context's watch
	err    error       // why it ended early; read after pieces is closed
}

// NewBook returns a book for questions to who, as errors name it: "agent web-7". At most so many are open at a time. cancel tells
// the other side that nobody waits for an answer any more; it must not wait.
func NewBook(who string, most int, cancel func(id uint64)) *Book {
	return &Book{who: who, most: most, cancel: cancel, open: make(map[uint64]*Question)}
}

// Open books a question, which ends with ctx at the latest. Its errors are ErrAway, once the book is closed, and ErrBusy.
func (b *Book) Open(ctx context.Context, stream bool) (*Question, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.open == nil:
		return nil, fmt.Errorf("%s: %w", b.who, ErrAway)
	case len(b.open) >= b.most:
		return nil, fmt.Errorf("%s: %w", b.who, ErrBusy)
	}
	b.last++
	q := &Question{ID: b.last, book: b, stream: stream, pieces: make(chan control.Answer, maxPieces+1)}
	q.Pieces = q.pieces
	b.open[q.ID] = q
	q.stop = context.AfterFunc(ctx, func() { b.GiveUp(q.ID, fmt.Errorf("%s: %w", b.who, ctx.Err())) })
	return q, nil
}

// take takes a question out of the book; nil when it is over already.
func (b *Book) take(id uint64) *Question {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.open[id]
	delete(b.open, id)
	return q
}

// GiveUp ends a question that the other side may still be answering.
func (b *Book) GiveUp(id uint64, why error) {
	if q := b.take(id); q != nil {
		b.cancel(id)
		q.finish(why)
	}
}

// Fail ends a question that has no answer, as the other side says.
func (b *Book) Fail(id uint64, why error) {
	if q := b.take(id); q != nil {
		q.finish(why)
	}
}

// Answer hands a piece of an answer to who asked. Who falls too far behind has the question given up. One goroutine calls it.
func (b *Book) Answer(a control.Answer) {
	b.mu.Lock()
	q := b.open[a.ID]
	slow := q != nil && len(q.pieces) >= maxPieces
	if q != nil && !slow {
		q.pieces <- a // there is room, and only we fill it
		if !a.More {
			delete(b.open, a.ID)
		}
	}
	b.mu.Unlock()
	switch {
	case slow:
		b.GiveUp(a.ID, fmt.Errorf("%s: its answer was read too slowly", b.who))
	case q != nil && !a.More:
		q.finish(nil)
	}
}

// Close ends all questions, and lets no other be opened. The first one counts.
func (b *Book) Close(why error) {
	b.mu.Lock()
	open := b.open
	b.open = nil
	b.mu.Unlock()
	for _, q := range open {
		q.finish(fmt.Errorf("%s: %w", b.who, why))
	}
}

// finish ends a question. It is called once, by whoever took it out of the book. The reader of a stream learns why it ended early
// from a last answer of ours.
func (q *Question) finish(err error) {
	q.err = err
	if err != nil && q.stream && !errors.Is(err, context.Canceled) {
		q.pieces <- Failure(err)
	}
	close(q.pieces)
	q.stop()
}

// Whole waits for the end of the question and returns its answer, pieces joined.
func (q *Question) Whole() (control.Answer, error) {
	var whole control.Answer
	for piece := range q.Pieces {
		if len(whole.Body)+len(piece.Body) > maxWhole {
			err := fmt.Errorf("%s: %w: more than %d bytes", q.book.who, ErrTooLarge, maxWhole)
			q.book.GiveUp(q.ID, err)
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

// Failure is an answer that a centre gives in place of an agent.
func Failure(err error) control.Answer {
	type fault struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	status, code := http.StatusBadGateway, "BAD_ANSWER"
	switch {
	case errors.Is(err, ErrAway):
		status, code = http.StatusServiceUnavailable, "AWAY"
	case errors.Is(err, context.DeadlineExceeded):
		status, code = http.StatusGatewayTimeout, "TIMEOUT"
	}
	body, _ := json.Marshal(map[string]fault{"error": {code, err.Error()}}) // two texts have a JSON form
	return control.Answer{Status: status, Body: body}
}
