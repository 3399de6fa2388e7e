package governance

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sluice-mesh/sluice/governance/series"
)

// Tables over a window, operations and who calls what, are sums of its slots. Those that this centre does not know whole are added
// up by one that does, so that the table is exact while any centre has each of the slots.

// sumsQuestion asks for the sums of slots, of those of which the centre that is asked lacks nothing.
type sumsQuestion struct {
	Query series.Query  `json:"query"`
	Step  int64         `json:"step"` // s: how long slots are
	Spans []series.Span `json:"spans"`
}

// answerSums answers another centre. Slots that are of another length here are not known here.
func (z *Center) answerSums(body []byte) ([]byte, error) {
	var m sumsQuestion
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", pathSums, err)
	}
	known, err := z.series.Known(m.Query)
	if err != nil {
		return nil, err
	}
	var have []series.Span
	for _, slot := range z.doubt(known) {
		if lacks([]series.Point{slot}) == 0 && slotStep(&slot) == m.Step && covers(m.Spans, slot.At.Unix()) {
			have = addSlot(have, &slot)
		}
	}
	if have == nil {
		return json.Marshal(series.Sums{})
	}
	sums, err := z.series.Sums(m.Query, have)
	if err != nil {
		return nil, err
	}
	return json.Marshal(sums)
}

// sums returns what other centres know of a query's window that this one does not, and whether there were calls that none of them
// knows.
func (z *Center) sums(ctx context.Context, q series.Query) (theirs []series.Sums, partial bool, err error) {
	if z.peers == nil {
		return nil, false, nil
	}
	known, err := z.series.Known(q)
	if err != nil {
		return nil, false, err
	}
	z.doubt(known)
	m := sumsQuestion{Query: q}
	for i := range known {
		if lacks(known[i:i+1]) > 0 {
			m.Step, m.Spans = slotStep(&known[i]), addSlot(m.Spans, &known[i])
		}
	}
	z.elsewhere(ctx, pathSums, &m, lacks(known), func(answer []byte) (int, bool) {
		var s series.Sums
		if json.Unmarshal(answer, &s) != nil || len(s.Spans) == 0 || z.series.Check(&s) != nil {
			return 0, false
		}
		fresh := false
		for i := range known {
			if at := known[i].At.Unix(); covers(s.Spans, at) {
				if lacks(known[i:i+1]) == 0 {
					return 0, false // nobody asked for it: it would count twice
				}
				fresh = true
			}
		}
		if !fresh {
			return 0, false
		}
		m.Spans = nil
		for i := range known {
			if covers(s.Spans, known[i].At.Unix()) {
				known[i].Gap, known[i].Partial = false, false
			} else if lacks(known[i:i+1]) > 0 {
				m.Spans = addSlot(m.Spans, &known[i])
			}
		}
		theirs = append(theirs, s)
		return lacks(known), true
	})
	begins := z.series.Begins() // before, there was no mesh, or none that anybody knows of
	for i := range known {
		if end := known[i].At.Add(known[i].Length); known[i].Partial && !begins.IsZero() && end.After(begins) {
			partial = true
		}
	}
	return theirs, partial, nil
}

// operations is series.Top, with what other centres know better.
func (z *Center) operations(ctx context.Context, q series.Query, by string, n int) (top []series.Operation, partial bool, err error) {
	theirs, partial, err := z.sums(ctx, q)
	if err == nil {
		top, err = z.series.Top(q, by, n, theirs...)
	}
	return top, partial, err
}

// edges is series.Edges, with what other centres know better.
func (z *Center) edges(ctx context.Context, from, to time.Time) (edges []series.Edge, partial bool, err error) {
	theirs, partial, err := z.sums(ctx, series.EdgesQuery(from, to))
	if err == nil {
		edges, err = z.series.Edges(from, to, theirs...)
	}
	return edges, partial, err
}

func slotStep(p *series.Point) int64 { return int64(p.Length / time.Second) }

// addSlot adds a slot that follows the others.
func addSlot(list []series.Span, slot *series.Point) []series.Span {
	from := slot.At.Unix()
	to := from + slotStep(slot)
	if n := len(list); n > 0 && list[n-1].To == from {
		list[n-1].To = to
		return list
	}
	return append(list, series.Span{From: from, To: to})
}

func covers(spans []series.Span, at int64) bool {
	for _, m := range spans {
		if m.From <= at && at < m.To {
			return true
		}
	}
	return false
}
