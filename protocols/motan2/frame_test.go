package motan2

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Frames as motan-go v1.2.0 writes them.
var golden = []struct {
	name, hex string
	want      Frame
}{
	{"request", "f1f1000830" + "0000000000000001" + "00000017" + "4d5f700a612e420a4d5f6d0a68656c6c6f0a4d5f670a67" + "00000008" + "0100000003526179",
		Frame{Head: Head{ID: 1, Serialization: 6}, Meta: Meta("M_p\na.B\nM_m\nhello\nM_g\ng"), Body: []byte("\x01\x00\x00\x00\x03Ray")}},
	{"response", "f1f1010830" + "0000000000000001" + "00000006" + "4d5f70740a32" + "00000007" + "01000000026869",
		Frame{Head: Head{ID: 1, Type: TypeResponse, Serialization: 6}, Meta: Meta("M_pt\n2"), Body: []byte("\x01\x00\x00\x00\x02hi")}},
	{"Java's heartbeat", "f1f1100808" + "00000000000000ff" + "00000000" + "00000000",
		Frame{Head: Head{ID: 255, Type: TypeHeartbeat, Serialization: 1}, Meta: Meta{}, Body: []byte{}}},
	{"motan-go's heartbeat", "f1f1120830" + "0000000000000007" + "00000000" + "00000000",
		Frame{Head: Head{ID: 7, Type: TypeHeartbeat | TypeProxy, Serialization: 6}, Meta: Meta{}, Body: []byte{}}},
}

func TestGolden(t *testing.T) {
	for _, g := range golden {
		b, err := hex.DecodeString(g.hex)
		if err != nil {
			t.Fatal(err)
		}
		g.want.Size = len(b)
		var f Frame
		ok, err := f.Scan(append(b, 0xF1), DefaultMax)
		if err != nil || !ok || !reflect.DeepEqual(f, g.want) {
			t.Errorf("%s: %v %v %+v, want %+v", g.name, ok, err, f, g.want)
		}
		if again := Append(nil, f.Head, f.Meta, f.Body); !bytes.Equal(again, b) {
			t.Errorf("%s written again: % x, want % x", g.name, again, b)
		}
		for n := range len(b) {
			if ok, err := f.Scan(b[:n], DefaultMax); ok || err != nil {
				t.Errorf("%s, %d of %d bytes: %v %v", g.name, n, len(b), ok, err)
			}
		}
	}
	if got := AppendHeartbeat(nil, 255, false); hex.EncodeToString(got) != golden[2].hex {
		t.Errorf("a heartbeat is % x", got)
	}
	if got := AppendHeartbeat(nil, 255, true); hex.EncodeToString(got) != strings.Replace(golden[2].hex, "f1f110", "f1f111", 1) {
		t.Errorf("the answer to a heartbeat is % x", got)
	}
}

func TestBadFrames(t *testing.T) {
	whole := Append(nil, Head{ID: 9}, Meta("M_p\na"), []byte("body"))
	change := func(at int, to ...byte) []byte {
		b := bytes.Clone(whole)
		copy(b[at:], to)
		return b
	}
	var large *TooLargeError
	var format *FormatError
	var f Frame
	if _, err := f.Scan([]byte("GET / HTTP/1.1\r\n"), 100); !errors.As(err, &format) {
		t.Errorf("HTTP: %v", err)
	}
	if _, err := f.Scan([]byte{0xF1, 0xF0}, 100); !errors.As(err, &format) {
		t.Errorf("a wrong second byte: %v", err)
	}
	if _, err := f.Scan(change(3, 0), 100); !errors.Is(err, ErrMotan1) {
		t.Errorf("version 0: %v", err)
	}
	if _, err := f.Scan(change(3, 2<<3), 100); !errors.As(err, &format) {
		t.Errorf("version 2: %v", err)
	}
	if _, err := f.Scan(change(headSize, 0x7f, 0xff, 0xff, 0xff)[:headSize+4], 100); !errors.As(err, &large) || large.What != "metadata" || large.Rest != -1 || f.ID != 9 {
		t.Errorf("2 GiB of metadata: %v, head %+v", err, f.Head)
	}
	if _, err := f.Scan(change(headSize+4+5, 0xff, 0xff, 0xff, 0xff), 100); !errors.As(err, &large) || large.What != "body" || large.Rest != 1<<32-1-4 || f.ID != 9 {
		t.Errorf("4 GiB of body: %v %+v, head %+v", err, large, f.Head)
	}
	if ok, err := f.Scan(whole, 5); !ok || err != nil {
		t.Errorf("exactly the limit: %v %v", ok, err)
	}
}

func TestCallOfMeta(t *testing.T) {
	m := Meta("M_p\na.B\nM_x\n1\nM_m\nhello\nM_md\nint,long\ngroup\nold\nM_g\ng\nM_tmo\n250\nversion\n2.0\napplication\napp\nM_rid\n-5\nM_m\nlast")
	c := m.Call()
	for _, p := range []struct{ name, got, want string }{
		{"service", string(c.Service), "a.B"}, {"method", string(c.Method), "last"}, {"desc", string(c.Desc), "int,long"},
		{"group", string(c.Group), "g"}, {"version", string(c.Version), "2.0"}, {"source", string(c.Source), "app"}, {"id", string(c.RequestID), "-5"},
	} {
		if p.got != p.want {
			t.Errorf("%s is %q, want %q", p.name, p.got, p.want)
		}
	}
	if c.Timeout != 250 {
		t.Errorf("timeout %d", c.Timeout)
	}
	for v, want := range map[string]int64{"": 0, "-1": 0, "1e3": 0, "9999999999": 0, "0": 0, "999999999": 999999999} {
		if got := AppendPair(nil, KeyTimeout, v); Meta(got).Call().Timeout != want {
			t.Errorf("a timeout of %q is %d, want %d", v, Meta(got).Call().Timeout, want)
		}
	}
	for m, want := range map[string]bool{"": true, "a\nb": true, "a": false, "a\nb\nc": false, "a\n": true, "\n": true, "a\n\nb\n": true, "a\nb\n": false} {
		if got := Meta(m).Valid(); got != want {
			t.Errorf("%q is valid: %v, want %v", m, got, want)
		}
	}
}

// pairs reads metadata in the plainest way.
func pairs(m Meta) (out [][2]string) {
	if len(m) == 0 {
		return nil
	}
	parts := strings.Split(string(m), "\n")
	for i := 0; i < len(parts); i += 2 {
		out = append(out, [2]string{parts[i], parts[i+1]})
	}
	return out
}

// Edits change what they name and nothing else.
func TestAppendEdited(t *testing.T) {
	word := rapid.StringMatching(`[a-d]{0,2}`)
	rapid.Check(t, func(t *rapid.T) {
		var m []byte
		for range rapid.IntRange(0, 6).Draw(t, "pairs") {
			m = AppendPair(m, word.Draw(t, "key"), word.Draw(t, "value"))
		}
		var edits []Edit
		named := map[string]bool{}
		for range rapid.IntRange(0, 3).Draw(t, "edits") {
			e := Edit{Key: word.Draw(t, "key"), Value: []byte(word.Draw(t, "value")), Replace: rapid.Bool().Draw(t, "replace")}
			if !named[e.Key] {
				named[e.Key] = true
				edits = append(edits, e)
			}
		}
		want := pairs(m)
		for _, e := range edits {
			found := false
			for i := range want {
				if want[i][0] == e.Key {
					want[i][1], found = string(e.Value), true
				}
			}
			if !found && !e.Replace {
				want = append(want, [2]string{e.Key, string(e.Value)})
			}
		}
		src := Frame{Head: Head{ID: 1}, Meta: m, Body: rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "body")}
		b := AppendEdited([]byte("before"), &src, Head{ID: 2, Serialization: 8, Type: TypeGzip}, edits...)
		var f Frame
		if ok, err := f.Scan(b[len("before"):], DefaultMax); !ok || err != nil || f.Size != len(b)-len("before") {
			t.Fatalf("%v %v, %d of %d bytes", ok, err, f.Size, len(b)-6)
		}
		if f.Head != (Head{ID: 2, Serialization: 8, Type: TypeGzip}) || !bytes.Equal(f.Body, src.Body) {
			t.Fatalf("%+v", f)
		}
		if got := pairs(f.Meta); !reflect.DeepEqual(got, want) {
			t.Fatalf("metadata %q edited by %v is %q, want %q", m, edits, f.Meta, want)
		}
	})
}

func TestExceptions(t *testing.T) {
	for _, e := range []Exception{
		{10003, Service, "sluice: a: no answer in time", false, false},
		{10025, Service, "sluice: a: the agent is closing the resource", true, true},
		{30001, Biz, "line\nbreak \"quoted\" back\\slash \x00 错误 \xff {\"errtype\":7}", true, false},
		{0, 0, "", false, false},
	} {
		var f Frame
		b := AppendException(nil, Head{ID: 5, Serialization: 6, Type: TypeOneway}, e)
		if ok, err := f.Scan(b, DefaultMax); !ok || err != nil || !f.Meta.Valid() || len(f.Body) != 0 {
			t.Fatalf("%v %v %+v", ok, err, f)
		}
		if f.Head != (Head{ID: 5, Type: TypeResponse, Status: StatusException, Serialization: 6}) {
			t.Errorf("head %+v", f.Head)
		}
		if (f.Meta.Get(KeyUnsent) != nil) != e.Unsent || Leaves(&f) != e.Leaving {
			t.Errorf("metadata %q", f.Meta)
		}
		v := f.Meta.Get(KeyException)
		var got struct {
			ErrCode int    `json:"errcode"`
			ErrMsg  string `json:"errmsg"`
			ErrType int    `json:"errtype"`
		}
		if err := json.Unmarshal(v, &got); err != nil {
			t.Fatalf("%s: %v", v, err)
		}
		if got.ErrCode != e.Code || got.ErrType != e.Type || got.ErrMsg != strings.ToValidUTF8(e.Text, "\uFFFD") {
			t.Errorf("%+v came as %+v", e, got)
		}
		if code, kind := ParseException(v); code != e.Code || kind != e.Type {
			t.Errorf("%s is code %d, type %d", v, code, kind)
		}
	}
	for text, want := range map[string][2]int{
		``:              {0, 0},
		`[1]`:           {0, 0},
		`{"errtype":2}`: {0, 2},
		` { "errmsg" : {"errtype":[9,"}"]} , "errcode":-3 ,"errtype" : 1 }`: {-3, 1},
		`{"errcode":"x","errtype":1}`:                                       {0, 1},
		`{"errcode":12345678901234,"errtype":1}`:                            {123456789, 0},
		`{"errmsg":"\"errtype\":2","errtype":1}`:                            {0, 1},
		`{"errcode":404,"errmsg":"unterminated`:                             {404, 0},
	} {
		if code, kind := ParseException([]byte(text)); code != want[0] || kind != want[1] {
			t.Errorf("%s is code %d, type %d, want %v", text, code, kind, want)
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, g := range golden {
		b, _ := hex.DecodeString(g.hex)
		f.Add(b, 20)
	}
	f.Add(AppendException(nil, Head{}, Exception{Code: 1, Type: 2, Text: "x"}), 3)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		var whole Frame
		ok, err := whole.Scan(b, 1<<16)
		for n := range b { // a part of it says the same, or that it must wait
			var part Frame
			if got, partErr := part.Scan(b[:n], 1<<16); got && (!ok || part.Size != whole.Size) {
				t.Fatalf("%d bytes are a frame of %d, all are %v %d", n, part.Size, ok, whole.Size)
			} else if partErr != nil && err == nil {
				t.Fatalf("%d bytes: %v, all: none", n, partErr)
			}
		}
		if !ok {
			return
		}
		if again := Append(nil, whole.Head, whole.Meta, whole.Body); len(again) != whole.Size {
			t.Fatalf("%d bytes became %d", whole.Size, len(again))
		}
		ParseException(whole.Meta.Get(KeyException))
		call := whole.Meta.Call()
		if !whole.Meta.Valid() {
			return
		}
		var f Frame
		edited := AppendEdited(nil, &whole, whole.Head, Edit{Key: KeyGroup, Value: []byte("g")}, Edit{Key: KeyLongGroup, Value: []byte("g"), Replace: true})
		if ok, err := f.Scan(edited, 1<<17); !ok || err != nil || !f.Meta.Valid() || !bytes.Equal(f.Body, whole.Body) {
			t.Fatalf("edited: %v %v", ok, err)
		}
		if now := f.Meta.Call(); string(now.Group) != "g" || !bytes.Equal(now.Service, call.Service) || !bytes.Equal(now.Method, call.Method) {
			t.Fatalf("%+v became %+v", call, now)
		}
	})
}

func TestAllocations(t *testing.T) {
	b, _ := hex.DecodeString(golden[0].hex)
	dst := make([]byte, 0, 1024)
	edits := []Edit{{Key: KeyGroup, Value: []byte("other")}, {Key: KeyTimeout, Value: []byte("100")}}
	if n := testing.AllocsPerRun(100, func() {
		var f Frame
		if ok, _ := f.Scan(b, DefaultMax); !ok {
			t.Fatal("no frame")
		}
		_ = f.Meta.Call()
		dst = AppendEdited(dst[:0], &f, f.Head, edits...)
		dst = AppendException(dst[:0], f.Head, Exception{Code: 1, Type: 1, Text: "text"})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkForward(b *testing.B) {
	src := Append(nil, Head{ID: 1, Serialization: 6}, Meta("M_p\ncom.weibo.HelloService\nM_m\nhello\nM_g\nhello-yf\nM_s\nfeed-web\nM_v\n1.0\nM_tmo\n1000"), make([]byte, 1024))
	dst := make([]byte, 0, 4096)
	edits := []Edit{{Key: KeyGroup, Value: []byte("hello-tc")}, {Key: KeyTimeout, Value: []byte("998")}}
	b.ReportAllocs()
	for b.Loop() {
		var f Frame
		f.Scan(src, DefaultMax)
		_ = f.Meta.Call()
		f.Head.ID = 7
		dst = AppendEdited(dst[:0], &f, f.Head, edits...)
	}
}
