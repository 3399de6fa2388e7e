package api

import (
	"bytes"
	"strings"
	"testing"
)

func eventsOf(pieces ...[]byte) (out []string, err error) {
	var r eventReader
	for _, p := range pieces {
		if err = r.read(p, func(event string, object []byte) { out = append(out, event+" "+string(object)) }); err != nil {
			break
		}
	}
	return out, err
}

func TestEventReader(t *testing.T) {
	text := ": watching\n\nevent: call\nid: 7\ndata: {\"op\":\"GET\"}\n\nevent: dropped\ndata: {\"calls\":3}\n\n: alive\n\n" +
		"event: call\ndata: {}\n\nevent: call\ndata: [1,2]\n\nevent: call\ndata: {\"op\":\n\ndata: {\"op\":\"SET\"}\n\nevent: call\ndata: {\"op\":\"half"
	const want = `call {"op":"GET"}, dropped {"calls":3}`
	for cut := range len(text) {
		got, err := eventsOf([]byte(text[:cut]), []byte(text[cut:]))
		if err != nil || strings.Join(got, ", ") != want {
			t.Fatalf("cut at %d: %q, %v", cut, got, err)
		}
	}
	long := bytes.Repeat([]byte("x"), longestEvent+1)
	if _, err := eventsOf([]byte("event: call\ndata: {\"a\":\""), long); err == nil {
		t.Error("an event without end is kept")
	}
}

func FuzzEventReader(f *testing.F) {
	f.Add([]byte("event: call\ndata: {\"op\":\"GET\"}\n\n: alive\n\n"), 9)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		whole, errWhole := eventsOf(data)
		cut = max(0, min(cut, len(data)))
		parts, errParts := eventsOf(data[:cut], data[cut:])
		if errWhole == nil && errParts == nil && strings.Join(whole, ",") != strings.Join(parts, ",") {
			t.Errorf("%q as a whole, %q in two pieces", whole, parts)
		}
	})
}
