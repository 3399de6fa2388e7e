package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// An update's frame reads as encoding/json would have it, with the bytes of specs as they are.
func TestFrameOfAnUpdate(t *testing.T) {
	texts := rapid.SliceOfN(rapid.String(), 0, 3)
	raws := rapid.Custom(func(rt *rapid.T) json.RawMessage {
		b, _ := json.Marshal(rapid.String().Draw(rt, "raw"))
		return b
	})
	rapid.Check(t, func(rt *rapid.T) {
		var u update
		u.Revision, u.Full = rapid.Uint64().Draw(rt, "revision"), rapid.Bool().Draw(rt, "full")
		for range rapid.IntRange(0, 3).Draw(rt, "resources") {
			u.resource(control.Resource{Name: rapid.String().Draw(rt, "name"), Revision: rapid.Uint64().Draw(rt, "at"), Hash: "h", Spec: raws.Draw(rt, "spec")})
		}
		for range rapid.IntRange(0, 3).Draw(rt, "commands") {
			u.command(raws.Draw(rt, "command"))
		}
		u.Removed, u.Undone = texts.Draw(rt, "removed"), texts.Draw(rt, "undone")
		frame, err := u.frame()
		if err != nil {
			rt.Fatal(err)
		}
		kind, payload, err := control.NewReader(bytes.NewReader(frame), control.MaxToAgent).Next()
		if err != nil || kind != control.TypeUpdate {
			rt.Fatal(kind, err)
		}
		var got, want control.Update
		if err := json.Unmarshal(payload, &got); err != nil {
			rt.Fatal(err)
		}
		text, _ := json.Marshal(u.Update)
		if err := json.Unmarshal(text, &want); err != nil {
			rt.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			rt.Fatal(d)
		}
	})
}

func TestSpecsAreSentAsTheyAre(t *testing.T) {
	var u update
	spec := `{"a": "<&>", "b":1.0}`
	u.resource(control.Resource{Name: "r", Spec: json.RawMessage(spec)})
	frame, err := u.frame()
	if err != nil || !bytes.Contains(frame, []byte(spec)) {
		t.Errorf("%q, %v", frame, err)
	}
	u.resource(control.Resource{Name: "r", Spec: make([]byte, control.MaxToAgent)})
	_, err = u.frame()
	contains(t, err, "agents take 67108864")
}

func TestIdenticalUpdatesShareTheirBytes(t *testing.T) {
	var f frames
	one := func(revision uint64, hash string, commands ...string) *shared {
		u := &update{Update: control.Update{Revision: revision}}
		u.resource(control.Resource{Name: "r", Hash: hash, Spec: []byte(`{}`)})
		for _, c := range commands {
			u.command([]byte(c))
		}
		return f.get(u)
	}
	a, b := one(1, "x"), one(1, "x")
	if &a.bytes[0] != &b.bytes[0] {
		t.Error("the same update was made twice")
	}
	for i, other := range []*shared{one(1, "y"), one(1, "x", "{}"), one(2, "x")} {
		if &a.bytes[0] == &other.bytes[0] {
			t.Errorf("other update %d has the same bytes", i)
		}
	}
	if len(f.known) != 1 {
		t.Errorf("%d updates are known", len(f.known))
	}
	runtime.KeepAlive(b)
}

func TestRing(t *testing.T) {
	r := ring{floor: 10}
	a := &Agent{Wants: []string{"mine"}, Owns: []Owned{{Name: "own"}}}
	check := func(since int64, want bool) {
		t.Helper()
		if got := r.untouched(a, since); got != want {
			t.Errorf("untouched since %d: %v", since, got)
		}
	}
	check(9, false)
	check(10, true)
	r.add("other", 11)
	check(10, true)
	r.add("own", 12)
	check(11, false)
	check(12, true)
	r.add("mine", 13)
	check(12, false)
	for i := range ringSize {
		r.add("other", int64(14+i))
	}
	check(12, false)
	check(13, true)
	r.all = 5000
	check(4999, false)
	check(5000, true)
}

// Whatever an agent sends, its link ends in time and the fleet goes on.
func FuzzServe(f *testing.F) {
	hello := frameOf(control.TypeHello, control.Hello{Protocol: 1, Name: "a", Boot: "x", Wants: []string{"cache"}, Owns: []control.Owned{{Name: "o"}}})
	for _, rest := range [][]byte{
		nil,
		frameOf(control.TypeResult, control.Result{Revision: 101, Lines: []control.Line{{Resource: "cache", Hash: "x"}, {Command: "g-1", Error: "no"}}, Pinned: []control.Count{{N: 3}}}),
		frameOf(control.TypeState, control.State{Full: true, Resources: []control.ResourceState{{Name: "cache", Source: "center", Endpoints: []control.EndpointState{{Lag: 1}}}, {Name: "s", Source: "center"}}, Removed: []string{"x"}}),
		frameOf(control.TypeAnswer, control.Answer{ID: 1, Status: 200}),
		frameOf(control.TypeExport, control.Export{Services: []control.Service{{Resource: "r"}}}),
		frameOf(control.TypeReport, "x"), frameOf(control.TypePing, nil), frameOf(control.TypePing, control.Clock{Now: 1 << 40}), frameOf(control.TypeUpdate, nil), hello, {0xff, 0xff, 0xff, 0xff, 1},
	} {
		f.Add(append(bytes.Clone(hello), rest...))
	}
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(frameOf(control.TypeHello, json.RawMessage(`{"wants":[""],"labels":{"":""}}`)))
	f.Fuzz(func(t *testing.T, input []byte) {
		src := newSource()
		src.put("cache", "one")
		src.order("g-1", "", "x")
		fleet, err := New(Options{Source: src, Name: "c", Cluster: "k", Heartbeat: 10 * time.Millisecond, HelloWait: 20 * time.Millisecond, WriteWait: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		ended := make(chan struct{})
		go func() {
			_ = fleet.Serve(t.Context(), far, "a")
			close(ended)
		}()
		go func() {
			_, _ = near.Write(input)
			near.Close()
		}()
		_, _ = io.Copy(io.Discard, near)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatal("the link does not end")
		}
		for _, v := range fleet.Agents() {
			if v.Connected {
				t.Error("an agent is connected without a link")
			}
			if _, err := json.Marshal(v); err != nil {
				t.Error(err)
			}
		}
		fleet.Applied("cache")
		fleet.Ordered("g-1")
		_ = fmt.Sprint(fleet.States("cache"), fleet.AgentStates("a"))
		if err := fleet.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
