package history

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// op is an operation on key k from one time to another.
func op(from, to int, kind Kind, value string, outcome Outcome, more ...func(*Op)) Op {
	o := Op{Key: "k", Kind: kind, Value: value, Outcome: outcome, Call: time.Duration(from), Return: time.Duration(to), Node: "one"}
	for _, f := range more {
		f(&o)
	}
	return o
}

func was(value string) func(*Op) { return func(o *Op) { o.If = Was(value) } }
func at(node string) func(*Op)   { return func(o *Op) { o.Node = node } }
func shown(o *Op)                { o.Shown = true }

// Histories that were made by hand: the good ones are taken, and each kind of fault is found.
func TestCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		good bool
		ops  []Op
	}{
		"one after another": {true, []Op{
			op(1, 2, Write, "a", Done, was(Nothing)), op(3, 4, Read, "a", Done), op(5, 6, Write, "b", Done, was("a")), op(7, 8, Read, "b", Done),
			op(9, 10, Delete, "", Done, was("b")), op(11, 12, Read, Nothing, Done), op(13, 14, Delete, "", Missing),
		}},
		"a race with one winner": {true, []Op{
			op(1, 2, Write, "a", Done), op(3, 9, Write, "b", Done, was("a")), op(3, 9, Write, "c", Refused, was("a")), op(10, 11, Read, "b", Done),
		}},
		"a lost update": {false, []Op{
			op(1, 2, Write, "a", Done), op(3, 9, Write, "b", Done, was("a")), op(3, 9, Write, "c", Done, was("a")), op(10, 11, Read, "c", Done),
		}},
		"a lost write": {false, []Op{op(1, 2, Write, "a", Done), op(3, 4, Write, "b", Done), op(5, 6, Read, "a", Done)}},
		"a stale read": {false, []Op{
			op(1, 2, Write, "a", Done), op(3, 4, Write, "b", Done, was("a")), op(5, 6, Read, "a", Done), op(7, 8, Read, "b", Done),
		}},
		"reads beside a write": {true, []Op{
			op(1, 2, Write, "a", Done), op(3, 20, Write, "b", Done), op(4, 5, Read, "a", Done), op(6, 7, Read, "b", Done),
		}},
		"reads beside a write that go back": {false, []Op{
			op(1, 2, Write, "a", Done), op(3, 20, Write, "b", Done), op(4, 5, Read, "b", Done), op(6, 7, Read, "a", Done),
		}},
		"412 and written anyway": {false, []Op{
			op(1, 2, Write, "a", Done), op(3, 4, Write, "b", Done, was("a")), op(5, 6, Write, "c", Refused, was("a")), op(7, 8, Read, "c", Done),
		}},
		"412 without a reason": {false, []Op{op(1, 2, Write, "a", Done), op(3, 4, Write, "b", Refused, was("a"))}},
		"412 for what exists":  {true, []Op{op(1, 2, Write, "a", Done), op(3, 4, Write, "b", Refused, was(Nothing))}},
		"made twice":           {false, []Op{op(1, 2, Write, "a", Done, was(Nothing)), op(3, 4, Write, "b", Done, was(Nothing))}},
		"deleted twice":        {false, []Op{op(1, 2, Write, "a", Done), op(3, 4, Delete, "", Done), op(5, 6, Delete, "", Done)}},
		"missing and there":    {false, []Op{op(1, 2, Write, "a", Done), op(3, 4, Delete, "", Missing), op(5, 6, Read, "a", Done)}},
		"unknown and never made": {true, []Op{
			op(1, 2, Write, "a", Done), op(3, 4, Write, "b", Unknown), op(5, 6, Read, "a", Done),
		}},
		"unknown and made later": {true, []Op{
			op(1, 2, Write, "a", Done), op(3, 4, Write, "b", Unknown), op(5, 6, Read, "a", Done), op(7, 8, Read, "b", Done),
		}},
		"unknown and taken back": {false, []Op{
			op(1, 2, Write, "a", Done), op(3, 4, Write, "b", Unknown), op(5, 6, Read, "b", Done), op(7, 8, Read, "a", Done),
		}},
		"unknown and against its condition": {false, []Op{
			op(1, 2, Write, "a", Done), op(3, 4, Write, "b", Done), op(5, 6, Write, "c", Unknown, was("a")), op(7, 8, Read, "c", Done),
		}},
		"a read of what nobody wrote": {false, []Op{op(1, 2, Write, "a", Done), op(3, 4, Read, "z", Done)}},
		"a read before the write":     {false, []Op{op(1, 2, Read, "a", Done), op(3, 4, Write, "a", Done)}},
		"an old view of another node": {true, []Op{
			op(1, 2, Write, "a", Done, shown), op(3, 4, Write, "b", Done, shown), op(5, 6, View, Nothing, Done, at("two")),
			op(7, 8, View, "a", Done, at("two")), op(9, 10, View, "b", Done, at("two")),
		}},
		"a view that goes back": {false, []Op{
			op(1, 2, Write, "a", Done, shown), op(3, 4, Write, "b", Done, shown), op(5, 6, View, "b", Done, at("two")), op(7, 8, View, "a", Done, at("two")),
		}},
		"a view without what its node answered for": {false, []Op{
			op(1, 2, Write, "a", Done, shown), op(3, 4, Write, "b", Done, shown), op(5, 6, View, "a", Done),
		}},
		"a view beside the write at its node": {true, []Op{
			op(1, 2, Write, "a", Done, shown), op(3, 9, Write, "b", Done, shown), op(4, 5, View, "a", Done), op(10, 11, View, "b", Done),
		}},
		"a view of a write that never was": {false, []Op{
			op(1, 2, Write, "a", Done, shown), op(3, 4, Write, "b", Refused, was(Nothing)), op(5, 6, View, "b", Done, at("two")),
		}},
		"undone and shown again": {false, []Op{
			op(1, 2, Write, "a", Done, shown), op(3, 4, Delete, "", Done, shown), op(5, 6, View, "a", Done),
		}},
		"undone and gone": {true, []Op{
			op(1, 2, Write, "a", Done, shown), op(3, 4, Delete, "", Done, shown), op(5, 6, View, Nothing, Done), op(5, 6, View, "a", Done, at("two")),
			op(7, 8, View, Nothing, Done, at("two")),
		}},
	} {
		err := Check(c.ops, 10*time.Second)
		if (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !strings.Contains(err.Error(), "no order of these operations") {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

// A history without unique values cannot be judged, and says so.
func TestValuesAreUnique(t *testing.T) {
	t.Parallel()
	err := Check([]Op{op(1, 2, Write, "a", Done), op(3, 4, Write, "a", Done)}, time.Second)
	if err == nil || !strings.Contains(err.Error(), "written before") {
		t.Error(err)
	}
}

// The histories of a real register are taken, whatever the order in which goroutines run; a last read of anything else than what is
// there is found.
func TestCheckOfAConcurrentRegister(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		ops, value := race(seed)
		last := Op{Key: "k", Kind: Read, Value: value, Outcome: Done, Call: time.Hour, Return: time.Hour + 1}
		ops = append(ops, last)
		if err := Check(ops, 10*time.Second); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, o := range ops {
			if o.Kind != Write || o.Value == value {
				continue
			}
			last.Value = o.Value
			if Check(append(ops, last), 10*time.Second) == nil {
				t.Errorf("seed %d: %s is there, and a read of %s is taken", seed, value, o.Value)
			}
			break
		}
	}
}

// race lets four clients use one register at once, and returns what it holds in the end.
func race(seed uint64) ([]Op, string) {
	r := NewRecorder()
	var mu sync.Mutex
	value := Nothing
	var all sync.WaitGroup
	for client := range 4 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(client)))
			seen := Nothing
			for i := range 12 {
				o := Op{Client: client, Key: "k", Node: "one", Call: r.Now(), Outcome: Done, Kind: Read}
				if random.IntN(2) == 0 {
					o.Kind, o.Value = Write, fmt.Sprintf("%d-%d", client, i)
					if random.IntN(2) == 0 {
						o.If = Was(seen)
					}
				}
				mu.Lock()
				switch {
				case o.Kind == Read:
					o.Value = value
				case o.If != nil && *o.If != value:
					o.Outcome = Refused
				default:
					value = o.Value
				}
				seen = value
				mu.Unlock()
				o.Return = r.Now()
				r.Add(o)
			}
		})
	}
	all.Wait()
	return r.Ops(), value
}
