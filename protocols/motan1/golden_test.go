package motan1

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

// javaID is the id of all frames in testdata, javaTime the time of the responses.
const (
	javaID   = 0x1234567890abcdef
	javaTime = 7
)

func readFrames(t testing.TB) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("testdata/frames.txt")
	if err != nil {
		t.Fatal(err)
	}
	frames := make(map[string][]byte)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if frames[name], err = hex.DecodeString(text); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return frames
}

func mustScan(t testing.TB, frame []byte) Header {
	t.Helper()
	h, ok, err := Scan(frame, 0)
	if !ok || err != nil || h.Size != len(frame) {
		t.Fatalf("%x: %+v, %v, %v", frame, h, ok, err)
	}
	return h
}

func text(b []byte) string { return string(AppendUTF8(nil, b)) }

// callOf returns what a request says.
func callOf(r *Request) Call {
	c := Call{Interface: text(r.Interface), Method: text(r.Method), Desc: text(r.Desc)}
	r.EachArg(func(i int, arg []byte) bool {
		c.Args = append(c.Args, arg)
		return true
	})
	r.Attachments.Each(func(k, v []byte) bool {
		c.Attachments = append(c.Attachments, Attachment{text(k), text(v)})
		return true
	})
	return c
}

func rep(s string, n int) string { return strings.Repeat(s, n) }

// TestJavaRequests reads what Java wrote, and writes the same bytes where names are on the wire.
func TestJavaRequests(t *testing.T) {
	frames := readFrames(t)
	att := []Attachment{{"group", "g"}, {"version", "1.0"}}
	args := func(s ...string) (out [][]byte) {
		for _, s := range s {
			out = append(out, []byte(s))
		}
		return out
	}
	var many []Attachment
	for i := range 50 {
		many = append(many, Attachment{fmt.Sprintf("key%d", i), rep("v", 3*i)})
	}
	hello := "com.weibo.Hello"
	five := args("\x03Ray", "\x95", "", "\x00") // Hessian; the third is null
	five[2] = nil
	want := map[string]Call{
		"plain none":             {hello, "ping", "void", nil, nil},
		"plain none attachments": {hello, "ping", "void", nil, att},
		"plain args":             {hello, "hello", "java.lang.String,java.lang.Integer,java.lang.String,java.lang.String", five, att},
		"plain args simple":      {hello, "hello", "java.lang.String", args("\x01\x00\x00\x00\x03Ray"), nil},
		"plain only null":        {hello, "hello", "java.lang.String", [][]byte{nil}, nil},
		"plain utf":              {"com.weibo.微博", "你好", "void", nil, []Attachment{{"名", "a\x00b😀"}, {"", ""}}},
		"plain long": {"com.weibo." + rep("a", 700), rep("m", 400), rep("java.lang.String,", 20) + "int",
			args("S\x07\xd0" + rep("x", 2000)), many},
		"plain long no args":         {"com.weibo." + rep("a", 700), rep("m", 400), "void", nil, many},
		"plain block 255":            {rep("a", 245), "m", "", nil, nil},
		"plain block 256":            {rep("a", 246), "m", "", nil, nil},
		"plain block 1024 1012":      {rep("a", 1012), "m", "", nil, nil},
		"plain block 1024 1013":      {rep("a", 1013), "m", "", nil, nil},
		"plain block 1024 1014":      {rep("a", 1014), "m", "", nil, nil},
		"plain block 1024 1015":      {rep("a", 1015), "m", "", nil, nil},
		"plain block 1024 1016":      {rep("a", 1016), "m", "", nil, nil},
		"plain block args 1024 1017": {rep("a", 1017), "m", "d", args("\x01x"), att},
		"plain block args 1024 1019": {rep("a", 1019), "m", "d", args("\x01x"), att},
		"heartbeat":                  {HeartbeatInterface, HeartbeatMethod, "void", nil, nil},
	}
	var r Request
	seen := 0
	for name, frame := range frames {
		h := mustScan(t, frame)
		if h.ID != javaID || (h.Version == Compress) != strings.HasPrefix(name, "compress") || (h.Kind != KindRequest) != strings.Contains(name, "reply") {
			t.Errorf("%s: %+v", name, h)
		}
		if h.Kind != KindRequest || h.Version == Compress {
			continue
		}
		seen++
		if err := r.Parse(frame, h); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := callOf(&r); !reflect.DeepEqual(got, want[name]) || r.Args != len(got.Args) || r.Attachments.Len() != len(got.Attachments) {
			t.Errorf("%s: %q\nwant %q", name, got, want[name])
		}
		if r.IsHeartbeat() != (name == "heartbeat") || r.Sign != nil || r.Gzip {
			t.Errorf("%s: heartbeat %v, sign %q, gzip %v", name, r.IsHeartbeat(), r.Sign, r.Gzip)
		}
		if got, err := AppendRequest(nil, javaID, want[name]); err != nil || !bytes.Equal(got, frame) {
			t.Errorf("%s: wrote %q, %v\nwant %q", name, got, err, frame)
		}
	}
	if seen != len(want) {
		t.Errorf("%d frames of %d", seen, len(want))
	}
	if got := AppendHeartbeat([]byte("x"), javaID); !bytes.Equal(got[1:], frames["heartbeat"]) {
		t.Errorf("heartbeat %q\nwant %q", got[1:], frames["heartbeat"])
	}
}

// TestJavaCompressed: names that are not on the wire are not made up.
func TestJavaCompressed(t *testing.T) {
	frames := readFrames(t)
	for _, c := range []struct {
		name, sign string
		gzip       bool
		args       [][]byte
		app        string
	}{
		{"compress args", "hellc320d2653468", false, [][]byte{[]byte("\x03Ray")}, "app"},
		{"compress none", "ping6eea4bb93866", false, nil, ""},
		{"compress gzip", "", true, nil, ""},
	} {
		var r Request
		if err := r.Parse(frames[c.name], mustScan(t, frames[c.name])); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		app, _ := r.Attachments.Get("application")
		if string(r.Sign) != c.sign || r.Gzip != c.gzip || r.Interface != nil || r.Method != nil || r.Desc != nil || r.IsHeartbeat() ||
			!reflect.DeepEqual(callOf(&r).Args, c.args) || string(app) != c.app {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

// TestJavaResponses reads what Java wrote, and writes the same bytes.
func TestJavaResponses(t *testing.T) {
	frames := readFrames(t)
	for _, c := range []struct {
		name  string
		kind  Kind
		time  int64
		class string
		value string
		att   string
	}{
		{"heartbeat reply", KindValue, 0, "java.lang.String", heartbeatValue, ""},
		{"reply void", KindVoid, javaTime, "", "", ""},
		{"reply value", KindValue, javaTime, "java.lang.String", "\x02hi", ""},
		{"reply exception", KindException, javaTime, ClassService, "C", ""},
		{"compress reply void", KindVoid, javaTime, "", "", ""},
		{"compress reply value", KindAttachment, javaTime, "java.lang.String", "\x02hi", ""},
		{"compress reply attachment", KindAttachment, javaTime, "java.lang.String", "\x02hi", "sign"},
	} {
		frame := frames[c.name]
		h := mustScan(t, frame)
		var r Response
		if err := r.Parse(frame, h); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		sign, _ := r.Attachments.Get("_A")
		if h.Kind != c.kind || r.Time != c.time || string(r.Class) != c.class || !strings.HasPrefix(string(r.Value), c.value) || string(sign) != c.att {
			t.Errorf("%s: %+v, %+v", c.name, h, r)
		}
		if h.Kind == KindException || r.Attachments.Len() > 0 {
			continue
		}
		got, err := AppendValue(nil, h.Version, javaID, c.time, c.class, []byte(c.value))
		if h.Kind == KindVoid {
			got = AppendVoid(nil, h.Version, javaID, c.time)
		}
		if err != nil || !bytes.Equal(got, frame) {
			t.Errorf("%s: wrote %q, %v\nwant %q", c.name, got, err, frame)
		}
	}
	if got := AppendHeartbeatReply([]byte("x"), javaID); !bytes.Equal(got[1:], frames["heartbeat reply"]) {
		t.Errorf("heartbeat reply %q\nwant %q", got[1:], frames["heartbeat reply"])
	}
}
