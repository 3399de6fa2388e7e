package registry

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// trees draws what a document may hold: maps, lists and scalars, with texts that YAML must quote.
func trees(depth int) *rapid.Generator[any] {
	scalar := rapid.OneOf(
		rapid.Just[any](true), rapid.Just[any](json.Number("7")), rapid.Just[any](json.Number("0.5")), rapid.Just[any](json.Number("-12")),
		rapid.Map(rapid.SampledFrom([]string{"", "yes", "5", "10.0.0.1:6379", "a: b", "# no", "- x", "1s", "15%", "null", "~", "a\nb", "ü", "'", "\"", "*a", "&a", "{}", "<<", "0x10", "1e3", " x ", "\t", "true"}),
			func(s string) any { return s }),
	)
	if depth == 0 {
		return scalar
	}
	return rapid.OneOf(scalar,
		rapid.Map(rapid.SliceOfN(trees(depth-1), 0, 3), func(l []any) any { return l }),
		rapid.Map(mappings(depth-1), func(m mapping) any { return m }),
	)
}

func mappings(depth int) *rapid.Generator[mapping] {
	return rapid.Custom(func(t *rapid.T) mapping {
		keys := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"kind", "groups", "endpoints", "name", "address", "yf", "5", "a.b", "x y", "listen", "true"}), 0, 4, rapid.ID[string]).Draw(t, "keys")
		m := mapping{}
		for _, k := range keys {
			m = append(m, yaml.MapItem{Key: k, Value: trees(depth).Draw(t, "value")})
		}
		return m
	})
}

// What is written as YAML or JSON is read back as it was.
func TestTextsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := &text{tree: mappings(3).Draw(t, "tree"), json: rapid.Bool().Draw(t, "json")}
		b, err := in.bytes()
		if err != nil {
			t.Fatal(err)
		}
		out, err := openText(b)
		if err != nil || !sameTree(in.tree, out.tree) {
			t.Fatalf("%s\n%v", b, err)
		}
		again, err := out.bytes()
		if err != nil || string(again) != string(b) {
			t.Fatalf("it settles after one turn: %v\n%s", err, UnifiedText(b, again))
		}
	})
}

// refMerge is the pseudo-code of RFC 7396.
func refMerge(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = make(map[string]any)
	}
	for k, v := range p {
		if v == nil {
			delete(t, k)
		} else {
			t[k] = refMerge(t[k], v)
		}
	}
	return t
}

func TestMergePatchIsThatOfTheRFC(t *testing.T) {
	decode := func(t *rapid.T, v any) (out any) {
		js, err := encodeJSON(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(js, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	rapid.Check(t, func(t *rapid.T) {
		target, patch := trees(3).Draw(t, "target"), trees(3).Draw(t, "patch")
		if m, ok := patch.(mapping); ok && len(m) > 0 && rapid.Bool().Draw(t, "null") {
			m[0].Value = nil
		}
		before := decode(t, target)
		got := decode(t, mergePatch(target, patch))
		if !reflect.DeepEqual(before, decode(t, target)) {
			t.Fatal("the target was changed")
		}
		if want := refMerge(decode(t, target), decode(t, patch)); !reflect.DeepEqual(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

// Two texts differ if and only if there is a change, the same ones the other way round, and no path is named twice.
func TestDiffIsComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := mappings(3).Draw(t, "a"), mappings(3).Draw(t, "b")
		if rapid.Bool().Draw(t, "similar") {
			b = asMapping(mergePatch(a, b))
		}
		textA, err := (&text{tree: a, json: true}).bytes()
		if err != nil {
			t.Fatal(err)
		}
		textB, err := (&text{tree: b}).bytes()
		if err != nil {
			t.Fatal(err)
		}
		there, back := Diff(textA, textB), Diff(textB, textA)
		if d := Diff(textA, textA); len(d) != 0 {
			t.Fatalf("a text differs from itself: %v", d)
		}
		if (len(there) == 0) != sameTree(unordered(a), unordered(b)) || len(there) != len(back) {
			t.Fatalf("%v, and back %v\n%s%s", there, back, textA, textB)
		}
		for i, c := range there {
			if c.Path != back[i].Path || string(c.Before) != string(back[i].After) || string(c.After) != string(back[i].Before) {
				t.Fatalf("%+v, and back %+v", c, back[i])
			}
			if !json.Valid(c.Before) && c.Before != nil || !json.Valid(c.After) && c.After != nil || string(c.Before) == string(c.After) {
				t.Fatalf("%+v", c)
			}
		}
	})
}

// unordered sorts the lists whose items are told apart by name: their order does not count.
func unordered(v any) any {
	switch v := plainValue(v).(type) {
	case map[string]any:
		return sortNamed(v)
	default:
		return v
	}
}

func sortNamed(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = sortNamed(v[k])
		}
	case []any:
		for i := range v {
			v[i] = sortNamed(v[i])
		}
		if _, ok := keyed(v); ok {
			slices.SortFunc(v, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
	}
	return v
}

// A unified diff turns the first text into the second.
func TestUnifiedTextApplies(t *testing.T) {
	line := rapid.SampledFrom([]string{"a", "b", "c", "d", ""})
	rapid.Check(t, func(t *rapid.T) {
		draw := func(what string) string {
			text := strings.Join(rapid.SliceOfN(line, 0, 30).Draw(t, what), "\n")
			if rapid.Bool().Draw(t, "newline") {
				text += "\n"
			}
			return text
		}
		a, b := draw("a"), draw("b")
		if got := applyUnified(t, a, UnifiedText([]byte(a), []byte(b))); got != b {
			t.Fatalf("%q and\n%sgive %q, want %q", a, UnifiedText([]byte(a), []byte(b)), got, b)
		}
	})
}

// applyUnified is a patch program, as strict as it can be.
func applyUnified(t *rapid.T, a, diff string) string {
	in, at := lines([]byte(a)), 0
	var out strings.Builder
	all := lines([]byte(diff))
	for i := 0; i < len(all); i++ {
		l := all[i]
		if strings.HasPrefix(l, "@@") {
			var from int
			fmt.Sscanf(l, "@@ -%d", &from)
			if strings.Contains(strings.Fields(l)[1], ",0") {
				from++
			}
			for ; at < from-1; at++ {
				out.WriteString(in[at])
			}
			continue
		}
		text := l[1:]
		if i+1 < len(all) && strings.HasPrefix(all[i+1], "\\") {
			text = strings.TrimSuffix(text, "\n")
			i++
		}
		if l[0] != '+' {
			if at >= len(in) || in[at] != text {
				t.Fatalf("the diff has %q where the text has something else", text)
			}
			at++
		}
		if l[0] != '-' {
			out.WriteString(text)
		}
	}
	for ; at < len(in); at++ {
		out.WriteString(in[at])
	}
	return out.String()
}

// Whatever agents report and whenever: after an endpoint left without an operator's word, no more than the share is missing of
// all that were there within the window, and if it was there at the window's beginning, neither of those that were; what is
// up is in, and what is held stays.
func TestProtectionHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		protect := Protection{Share: 40, Window: time.Minute}
		p := &pool{name: "g", slots: make(map[string]*slot)}
		now := time.Unix(0, 0)
		log := []moment{{at: now, in: map[string]bool{}}}
		address := rapid.Map(rapid.IntRange(0, 11), func(i int) string { return fmt.Sprint("a", i) })
		released := make(map[string]time.Time)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 5, 29, 31, 60, 90}).Draw(t, "seconds")) * time.Second)
			before := heldOf(p)
			free := ""
			for range rapid.IntRange(1, 8).Draw(t, "changes") {
				a := address.Draw(t, "address")
				switch rapid.SampledFrom([]string{"up", "up", "down", "gone", "release"}).Draw(t, "what") {
				case "up":
					p.member(a, true)
				case "down":
					p.member(a, false)
				case "gone":
					if s := p.slots[a]; s != nil {
						clear(s.members)
					}
				case "release":
					if s := p.slots[a]; s != nil && s.held != nil {
						p.leave(s, now)
						released[a] = now
						free += a + " "
					}
				}
			}
			p.settle(protect, nil, now)
			m := moment{at: now, in: make(map[string]bool)}
			for a, s := range p.slots {
				up := s.best() != nil
				if s.in {
					m.in[a] = true
				}
				if up && (!s.in || s.held != nil) || !up && s.in != (s.held != nil) {
					t.Fatalf("%s: up %v, in %v, held %v", a, up, s.in, s.held != nil)
				}
			}
			for _, a := range before {
				if s := p.slots[a]; (s == nil || !s.in) && !strings.Contains(free, a+" ") {
					t.Fatalf("%s was held and let go in silence", a)
				}
			}
			log = append(log, m)
			checkShare(t, log, released, protect)
		}
	})
}

type moment struct {
	at time.Time
	in map[string]bool
}

func heldOf(p *pool) (out []string) {
	for a, s := range p.slots {
		if s.held != nil {
			out = append(out, a)
		}
	}
	return out
}

func (p *pool) member(address string, up bool) {
	s := p.slots[address]
	if s == nil {
		s = &slot{slotKey: slotKey{p.name, address}, members: make(map[string]*member)}
		p.slots[address] = s
	}
	s.members["agent"] = &member{service: control.Service{Address: address, Up: up}}
}

// checkShare looks at the window that ends with the newest moment. Departures by an operator's word are not protection's.
func checkShare(t *rapid.T, log []moment, released map[string]time.Time, protect Protection) {
	now := log[len(log)-1]
	start := now.at.Add(-protect.Window)
	old, all := map[string]bool{}, map[string]bool{}
	for _, m := range log {
		if !m.at.After(start) {
			old = m.in
		}
	}
	for a := range old {
		all[a] = true
	}
	for _, m := range log {
		if m.at.After(start) {
			for a := range m.in {
				all[a] = true
			}
		}
	}
	before := log[len(log)-2].in
	for what, set := range map[string]map[string]bool{"were there at the beginning": old, "were there": all} {
		missing, left := 0, 0
		for a := range set {
			if at, ok := released[a]; !now.in[a] && !(ok && at.After(start)) {
				missing++
				if before[a] {
					left++
				}
			}
		}
		if left > 0 && float64(missing)*100 > float64(protect.Share)*float64(len(set)) {
			t.Fatalf("of %d that %s, %d are missing", len(set), what, missing)
		}
	}
}
