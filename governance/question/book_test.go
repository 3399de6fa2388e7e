package question

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// One question ends once, whatever ends it, and the other side is told of those that nobody waits for any more.
func TestBook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var canceled []uint64
		b := NewBook("agent a", 3, func(id uint64) { canceled = append(canceled, id) })
		piece := func(q *Question, text string, more bool) {
			b.Answer(control.Answer{ID: q.ID, Status: 200, Body: []byte(text), More: more})
		}
		open := func(ctx context.Context, stream bool) *Question {
			t.Helper()
			q, err := b.Open(ctx, stream)
			if err != nil {
				t.Fatal(err)
			}
			return q
		}

		q := open(t.Context(), false)
		piece(q, "one ", true)
		piece(q, "two", false)
		piece(q, "late", false) // nobody waits for it
		if a, err := q.Whole(); err != nil || string(a.Body) != "one two" || a.Status != 200 {
			t.Errorf("%+v %v", a, err)
		}

		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		q = open(short, false)
		if _, err := q.Whole(); !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "agent a: ") {
			t.Error(err)
		}

		q = open(t.Context(), false)
		b.Fail(q.ID, errors.New("no"))
		if _, err := q.Whole(); err == nil || err.Error() != "no" {
			t.Error(err)
		}

		q = open(t.Context(), false)
		go func() {
			for range 10 {
				piece(q, strings.Repeat("x", 1<<20), true)
			}
		}()
		if _, err := q.Whole(); !errors.Is(err, ErrTooLarge) {
			t.Error(err)
		}
		synctest.Wait()

		slow := open(t.Context(), true)
		for range maxPieces + 1 {
			piece(slow, "x", true)
		}
		n := 0
		for p := range slow.Pieces {
			if n++; n > maxPieces && p.Status != 502 {
				t.Errorf("the last word of a stream that was read too slowly: %+v", p)
			}
		}
		if n != maxPieces+1 {
			t.Errorf("%d pieces", n)
		}

		all := []*Question{open(t.Context(), true), open(t.Context(), true), open(t.Context(), false)}
		if _, err := b.Open(t.Context(), false); !errors.Is(err, ErrBusy) {
			t.Errorf("one too many: %v", err)
		}
		b.Close(ErrAway)
		b.Close(errors.New("again"))
		b.GiveUp(all[0].ID, nil)
		for _, q := range all[:2] {
			if p := <-q.Pieces; p.Status != 503 {
				t.Errorf("a stream whose link is gone ends with %+v", p)
			}
		}
		if _, err := all[2].Whole(); !errors.Is(err, ErrAway) {
			t.Error(err)
		}
		if _, err := b.Open(t.Context(), false); !errors.Is(err, ErrAway) {
			t.Errorf("after the end: %v", err)
		}
		if len(canceled) != 3 { // late, too large, too slow
			t.Errorf("%v were cancelled", canceled)
		}
	})
}
