package control

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

type frame struct {
	t       Type
	payload string
}

// readAll reads frames until an error.
func readAll(in io.Reader, max int) (out []frame, err error) {
	r := NewReader(in, max)
	for {
		t, payload, err := r.Next()
		if err != nil {
			return out, err
		}
		out = append(out, frame{t, string(payload)})
	}
}

func TestFramesOnTheWire(t *testing.T) {
	got := AppendFrame(AppendFrame(nil, TypePing, nil), TypeHello, []byte(`{"a":1}`))
	want := []byte("\x00\x00\x00\x01\x07" + "\x00\x00\x00\x08\x01" + `{"a":1}`)
	if !bytes.Equal(got, want) {
		t.Fatalf("%q", got)
	}
}

// Each message has the bytes that are in testdata: an agent and a centre of different versions speak them.
func TestGoldenMessages(t *testing.T) {
	for name, m := range map[string]struct {
		t       Type
		message any
		into    any
	}{
		"hello": {TypeHello, &Hello{Protocol: 1, Name: "feed-web-7", Application: "feed-web", IDC: "yf", Version: "1.0", Host: "h",
			Labels: map[string]string{"tier": "web"}, Boot: "b00t", Started: 1700000000000, Now: 1700000001000, Kinds: []string{"redis"}, Wants: []string{"feed-cache"},
			Owns: []Owned{{Name: "x", Hash: "0011223344556677", Spec: json.RawMessage(`{"kind":"redis"}`), Also: true}},
			Have: Have{Cluster: "c1", Revision: 42}}, &Hello{}},
		"welcome": {TypeWelcome, &Welcome{Protocol: 1, Center: "a", Cluster: "c1", Heartbeat: 5e9, Report: 10e9, Now: 1700000000000}, &Welcome{}},
		"ping":    {TypePing, &Clock{Now: 1700000000000}, &Clock{}},
		"update": {TypeUpdate, &Update{Revision: 43, Full: true, Resources: []Resource{{Name: "feed-cache", Revision: 40, Hash: Hash([]byte(`{"kind":"redis"}`)),
			Spec: json.RawMessage(`{"kind":"redis"}`)}}, Removed: []string{"old"}, Commands: []json.RawMessage{json.RawMessage(`{"id":"g-1"}`)}, Undone: []string{"g-0"}}, &Update{}},
		"result": {TypeResult, &Result{Revision: 43, Lines: []Line{{Resource: "feed-cache", Hash: "0011223344556677"},
			{Resource: "b", Path: "groups.yf.endpoints[0]", Error: "not an address"}, {Command: "g-1"}}, Pinned: []Count{{"feed-cache", 3}}}, &Result{}},
		"state": {TypeState, &State{Full: true, Ready: true, Stale: 1700000000000, Resources: []ResourceState{{Name: "feed-cache", Kind: "redis", Source: "center",
			Hash: "0011223344556677", Listen: []string{"127.0.0.1:6380"}, Ready: true, Sessions: 4, Pinned: 1,
			Groups:    []GroupState{{Name: "yf", IDC: "yf", Weight: 100, Sound: 1, Of: 2}},
			Endpoints: []EndpointState{{Group: "yf", Address: "10.0.0.1:6379", Role: "replica", State: "up", Lag: 5}}, Observed: []Count{{"limit 1", 7}}}}}, &State{}},
		"ask":    {TypeAsk, &Ask{ID: 7, Method: "GET", Path: "/v1/status"}, &Ask{}},
		"answer": {TypeAnswer, &Answer{ID: 7, Status: 200, Body: []byte("{}"), More: true}, &Answer{}},
		"cancel": {TypeCancel, &Cancel{ID: 7}, &Cancel{}},
		"tune":   {TypeTune, &Tune{Report: 1e9}, &Tune{}},
		"bye":    {TypeBye, &Bye{Why: "another agent has this name", Fatal: true, Retry: 1e9}, &Bye{}},
		"export": {TypeExport, &Export{Services: []Service{{Resource: "user", Kind: "motan2", Group: "yf", IDC: "yf", Address: "10.0.0.9:8002", Weight: 50,
			Detail: "refused", Meta: map[string]string{"version": "2"}}}}, &Export{}},
	} {
		got, err := AppendMessage(nil, m.t, m.message, MaxToCenter)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name+".frame")
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is\n%q, want\n%q", name, got, want)
		}
		frameType, payload, err := NewReader(bytes.NewReader(want), MaxToCenter).Next()
		if err != nil || frameType != m.t {
			t.Fatal(frameType, err)
		}
		if err := Decode(frameType, payload, m.into); err != nil || !reflect.DeepEqual(m.into, m.message) {
			t.Errorf("%s reads as %+v (%v)", name, m.into, err)
		}
	}
}

func TestReaderSaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want string
		is   error
	}{
		"end":            {"", "EOF", io.EOF},
		"within head":    {"\x00\x00\x00", "3 of the 5 bytes that begin a frame", io.ErrUnexpectedEOF},
		"no type":        {"\x00\x00\x00\x00\x01", "a frame of length 0", nil},
		"too large":      {"\x00\x00\x01\x02\x01", "Hello of 257 bytes is too large: at most 256 are taken", ErrTooLarge},
		"far too large":  {"\xff\xff\xff\xff\x99", "frame of type 153 of 4294967294 bytes is too large", ErrTooLarge},
		"within payload": {"\x00\x00\x00\x05\x02ab", "Result: 2 of 4 bytes: unexpected EOF", io.ErrUnexpectedEOF},
		"no payload":     {"\x00\x00\x00\x05\x02", "Result: 0 of 4 bytes: unexpected EOF", io.ErrUnexpectedEOF},
	} {
		_, err := readAll(strings.NewReader(c.in), 256)
		if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readAll(iotest.ErrReader(errors.New("cut")), 9); err == nil || err.Error() != "cut" {
		t.Errorf("the stream's error: %v", err)
	}
	big := make([]byte, 300<<10)
	cut := AppendFrame(nil, TypeUpdate, big)[:200<<10]
	if _, err := readAll(bytes.NewReader(cut), MaxToAgent); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "204795 of 307200") {
		t.Errorf("a large one that ends early: %v", err)
	}
}

func TestFramesOfAllSizes(t *testing.T) {
	var stream []byte
	var want []frame
	for i, n := range []int{0, 1, ahead - 1, ahead, ahead + 1, 5 * ahead, 10, keep + ahead + 3, 3 * ahead, 0, 70000} {
		payload := strings.Repeat(fmt.Sprint(i%10), n)
		stream = AppendFrame(stream, Type(i), []byte(payload))
		want = append(want, frame{Type(i), payload})
	}
	got, err := readAll(bytes.NewReader(stream), MaxToAgent)
	if err != io.EOF || !reflect.DeepEqual(got, want) {
		t.Fatalf("%d frames, %v", len(got), err)
	}
}

// A length is a claim. What it costs is bounded by the bytes that come.
func TestNoMemoryFromADeclaredLength(t *testing.T) {
	head := binary.BigEndian.AppendUint32(nil, MaxToAgent)
	head = append(head, byte(TypeUpdate))
	head = append(head, make([]byte, 1000)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := readAll(bytes.NewReader(head), MaxToAgent)
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; err == nil || grown > 3*ahead {
		t.Errorf("64 MiB were claimed and 1000 bytes came: %d bytes allocated, %v", grown, err)
	}
}

func TestAMessageThatIsTooLargeIsNotAppended(t *testing.T) {
	dst := []byte("x")
	got, err := AppendMessage(dst, TypeAnswer, &Answer{Body: make([]byte, 100)}, 90)
	if !errors.Is(err, ErrTooLarge) || string(got) != "x" {
		t.Errorf("%q %v", got, err)
	}
	if err := Decode(TypeHello, []byte("{"), &Hello{}); err == nil || !strings.HasPrefix(err.Error(), "Hello: ") {
		t.Error(err)
	}
}

// A spec is sent within a message, and kept on a disk: encoding/json takes its white space away and escapes what browsers
// misread. It is still the same one.
func TestHashSurvivesTheWay(t *testing.T) {
	spec := []byte("{\n  \"name\": \"a<b>&c\",\t\"n\": 1 }")
	sent, err := json.Marshal(Resource{Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	var r Resource
	if err := json.Unmarshal(sent, &r); err != nil {
		t.Fatal(err)
	}
	if Hash(r.Spec) != Hash(spec) || len(Hash(spec)) != 16 || Hash(nil) == Hash(spec) {
		t.Errorf("%s %s", Hash(r.Spec), Hash(spec))
	}
	if Hash([]byte(`{}`)) != "44136fa355b3678a" {
		t.Errorf("the hash of {} is %s", Hash([]byte(`{}`)))
	}
}

// Versions before Clock send empty pings and pongs, later ones may say more.
func TestClocks(t *testing.T) {
	for payload, want := range map[string]int64{
		"": 0, "{}": 0, `{"now":1700000000000,"later":"key"}`: 1700000000000, `{"now":-1}`: 0, `{"now":253402300800000}`: 0,
	} {
		c, err := DecodeClock(TypePong, []byte(payload))
		if err != nil || Said(c.Now) != (want != 0) || want != 0 && c.Now != want {
			t.Errorf("%q: %+v, said %v, %v", payload, c, Said(c.Now), err)
		}
	}
	for _, payload := range []string{"x", `{"now":"noon"}`, `{"now":1e300}`} {
		if c, err := DecodeClock(TypePing, []byte(payload)); err == nil {
			t.Errorf("%q: %+v", payload, c)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(""), 1)
	f.Add(AppendFrame(AppendFrame(nil, TypePong, nil), TypeUpdate, []byte(`{"revision":1}`)), 3)
	f.Add([]byte("\x00\x00\x00\x00\x01"), 2)
	f.Add([]byte("\xff\xff\xff\xff\x01"), 2)
	f.Add(AppendFrame(nil, TypeState, make([]byte, ahead+10)), 7)
	f.Fuzz(func(t *testing.T, stream []byte, at int) {
		const max = 1 << 20
		whole, err := readAll(bytes.NewReader(stream), max)
		var back []byte
		for _, fr := range whole {
			back = AppendFrame(back, fr.t, []byte(fr.payload))
		}
		if !bytes.HasPrefix(stream, back) {
			t.Fatalf("frames that were not sent: %q", back)
		}
		at = min(len(stream), at&0xffff)
		for _, in := range []io.Reader{
			io.MultiReader(bytes.NewReader(stream[:at]), bytes.NewReader(stream[at:])),
			iotest.DataErrReader(iotest.HalfReader(bytes.NewReader(stream))),
		} {
			split, errSplit := readAll(in, max)
			if !reflect.DeepEqual(split, whole) || fmt.Sprint(errSplit) != fmt.Sprint(err) {
				t.Fatalf("split: %v %v, whole: %v %v", split, errSplit, whole, err)
			}
		}
	})
}

func FuzzMessages(f *testing.F) {
	f.Add(uint8(TypeUpdate), []byte(`{"revision":1,"resources":[{"name":"a","spec":{}}]}`))
	f.Add(uint8(TypeHello), []byte(`{"name":"a","later":"key"}`))
	f.Add(uint8(TypeAnswer), []byte(`{"id":1,"body":"e30="}`))
	f.Add(uint8(11), []byte(`{"now":1700000000000}`))
	f.Fuzz(func(t *testing.T, kind uint8, payload []byte) {
		into := []any{&Hello{}, &Result{}, &State{}, &Answer{}, &Export{}, &Welcome{}, &Update{}, &Ask{}, &Cancel{}, &Tune{}, &Bye{}, &Clock{}}[int(kind)%12]
		if Decode(Type(kind), payload, into) != nil {
			return
		}
		again := reflect.New(reflect.TypeOf(into).Elem()).Interface()
		out, err := AppendMessage(nil, Type(kind), into, MaxToAgent)
		if err != nil {
			t.Fatal(err)
		}
		if err := Decode(Type(kind), out[headSize:], again); err != nil {
			t.Fatal(err)
		}
		second, err := AppendMessage(nil, Type(kind), again, MaxToAgent)
		if err != nil || !bytes.Equal(out, second) {
			t.Fatalf("%q, then %q (%v)", out, second, err)
		}
	})
}
