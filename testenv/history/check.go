package history

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Check returns why no order of the operations explains what the clients saw, key by key, or nil. limit is the longest that it may
// think about one key: a key that is not decided by then is an error, too.
func Check(ops []Op, limit time.Duration) error {
	byKey := make(map[string][]Op)
	for _, o := range ops {
		byKey[o.Key] = append(byKey[o.Key], o)
	}
	var all []error
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		if err := checkKey(byKey[key], limit); err != nil {
			all = append(all, fmt.Errorf("%s: %w", key, err))
		}
	}
	return errors.Join(all...)
}

// checkKey judges the operations on one key.
func checkKey(ops []Op, limit time.Duration) error {
	if err := unique(ops); err != nil {
		return err
	}
	var history []porcupine.Operation
	for i, o := range ops {
		s := step{Op: o, number: i}
		end := int64(o.Return)
		if o.Outcome == Unknown {
			if o.Kind == Read || o.Kind == View {
				continue // it saw nothing
			}
			end = math.MaxInt64
		}
		history = append(history, porcupine.Operation{ClientId: o.Client, Input: s, Call: int64(o.Call), Return: end})
		if o.Shown && o.Outcome == Done && (o.Kind == Write || o.Kind == Delete) {
			s.reach = true
			history = append(history, porcupine.Operation{ClientId: o.Client, Input: s, Call: int64(o.Call), Return: end})
		}
	}
	result, info := porcupine.CheckOperationsVerbose(register, history, limit)
	switch result {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("%d operations are not judged within %v", len(ops), limit)
	}
	return explain(ops, info)
}

// unique makes sure that a value tells which write it is of.
func unique(ops []Op) error {
	seen := make(map[string]bool)
	for _, o := range ops {
		if o.Kind != Write {
			continue
		}
		if o.Value == Nothing || seen[o.Value] {
			return fmt.Errorf("the history itself is wrong: a write of %q, which is nothing or was written before", o.Value)
		}
		seen[o.Value] = true
	}
	return nil
}

// explain tells the operations of a key in the order of their calls, and marks those that no order explains together with the others.
func explain(ops []Op, info porcupine.LinearizationInfo) error {
	var longest []porcupine.Operation
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, order := range partition {
			if len(order) > len(longest) {
				longest = order
			}
		}
	}
	placed := make(map[int]bool)
	for _, o := range longest {
		if s, ok := o.Input.(step); ok && !s.reach {
			placed[s.number] = true
		}
	}
	order := make([]int, len(ops))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(ops[a].Call, ops[b].Call) })
	var text strings.Builder
	text.WriteString("no order of these operations explains what was seen (! has no place in the longest one that goes some way):")
	for _, i := range order {
		mark := ' '
		if !placed[i] {
			mark = '!'
		}
		fmt.Fprintf(&text, "\n%c %v", mark, ops[i])
	}
	return errors.New(text.String())
}

// step is an operation of the model: one of the history, or, with reach, that the node that answered a change shows it.
type step struct {
	Op
	number int
	reach  bool
}

// state is what a key went through, and how much of that each node shows. It is never changed.
type state struct {
	past  []entry
	shown map[string]int // by node: index in past
}

// entry is one version of a key: the step that made it, and its value.
type entry struct {
	by    int // -1: nobody
	value string
}

func (s state) now() string { return s.past[len(s.past)-1].value }

// with is the state after one more version.
func (s state) with(by int, value string) state {
	return state{append(slices.Clip(s.past), entry{by, value}), s.shown}
}

// at is the state when a node shows a version.
func (s state) at(node string, i int) state {
	if s.shown[node] == i {
		return s
	}
	shown := make(map[string]int, len(s.shown)+1)
	maps.Copy(shown, s.shown)
	shown[node] = i
	return state{s.past, shown}
}

// register is the model of one key.
var register = porcupine.Model{
	Init: func() any { return state{past: []entry{{by: -1}}} },
	Step: func(before, input, _ any) (bool, any) { return before.(state).step(input.(step)) },
	Equal: func(a, b any) bool {
		x, y := a.(state), b.(state)
		return slices.Equal(x.past, y.past) && maps.Equal(x.shown, y.shown)
	},
	Hash: func(a any) uint64 {
		h := uint64(14695981039346656037)
		for _, e := range a.(state).past {
			h = (h ^ uint64(e.by+1)) * 1099511628211
		}
		return h
	},
}

// step makes one operation, if it can have been made now with this outcome.
func (s state) step(o step) (bool, state) {
	switch {
	case o.reach:
		i := slices.IndexFunc(s.past, func(e entry) bool { return e.by == o.number })
		return i >= 0, s.at(o.Node, max(i, s.shown[o.Node]))
	case o.Kind == Read:
		return s.now() == o.Value, s
	case o.Kind == View: // of several versions with this value, all of them Nothing, the first leaves most open
		for i := s.shown[o.Node]; i < len(s.past); i++ {
			if s.past[i].value == o.Value {
				return true, s.at(o.Node, i)
			}
		}
		return false, s
	}
	holds := o.If == nil || *o.If == s.now()
	value := o.Value
	if o.Kind == Delete {
		holds, value = holds && s.now() != Nothing, Nothing
	}
	switch o.Outcome {
	case Done:
		return holds, s.with(o.number, value)
	case Unknown:
		if holds {
			return true, s.with(o.number, value)
		}
		return true, s
	case Missing:
		return o.Kind == Delete && s.now() == Nothing, s
	case Refused: // without a condition it lost a race, and says so
		return o.If == nil || *o.If != s.now(), s
	}
	return false, s
}
