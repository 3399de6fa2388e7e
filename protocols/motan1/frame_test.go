package motan1

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// with returns a copy of frame with other bytes at an offset.
func with(frame []byte, at int, b ...byte) []byte {
	out := slices.Clone(frame)
	copy(out[at:], b)
	return out
}

// body returns a frame with another body.
func body(frame []byte, b []byte) []byte {
	out := append(slices.Clone(frame[:HeaderLen]), b...)
	binary.BigEndian.PutUint32(out[12:], uint32(16+len(b)))
	binary.BigEndian.PutUint32(out[28:], uint32(len(b)))
	return out
}

func TestScanMalformed(t *testing.T) {
	frame := AppendHeartbeat(nil, 0x0102030405060708)
	reply := AppendHeartbeatReply(nil, 1)
	for _, c := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"magic", with(frame, 0, 0xf0), "frame begins with f0 f1 00 00"},
		{"third byte", with(frame, 2, 1), "frame begins with"},
		{"version of Motan2", with(frame, 3, 8), "frame begins with"},
		{"type", with(frame, 3, 2), "frame begins with"},
		{"length below a header", with(frame, 12, 0, 0, 0, 15), "length 15, less than"},
		{"inner magic", with(frame, 16, 0xf1), "codec's header begins with f1 f0"},
		{"codec version", with(frame, 18, 3), "codec version 3"},
		{"kind", with(frame, 19, 2), "kind 2 in version 1"},
		{"high bits of the kind", with(reply, 19, 9), "kind 9 in version 1"},
		{"response under a request", with(frame, 19, 1), "response in version 1 under a header of type 0"},
		{"request under a response", with(reply, 19, 0), "request in version 1 under a header of type 1"},
		{"attachments in a plain response", with(reply, 19, 7), "response with attachments in version 1"},
		{"ids", with(frame, 27, 9), "two ids"},
		{"lengths", with(frame, 31, 1), "length 78 around length 1"},
	} {
		h, ok, err := Scan(c.frame, 0)
		if ok || !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.want) || h != (Header{}) {
			t.Errorf("%s: %+v, %v, %v, want %q", c.name, h, ok, err, c.want)
		}
	}
	for _, max := range []int{len(frame) - 16, 0} {
		if h, ok, err := Scan(frame, max); !ok || err != nil || h.Size != len(frame) {
			t.Errorf("at most %d: %+v, %v, %v", max, h, ok, err)
		}
	}
	// The length alone decides, and whom to answer is known.
	if h, ok, err := Scan(frame[:16], len(frame)-17); ok || !errors.Is(err, ErrTooLarge) || h.ID != 0x0102030405060708 || h.Kind != KindRequest {
		t.Errorf("too large: %+v, %v, %v", h, ok, err)
	}
}

// outcome is what Scan says.
type outcome struct {
	h   Header
	ok  bool
	err string
}

func scan(buf []byte, maxLength int) outcome {
	h, ok, err := Scan(buf, maxLength)
	if err != nil {
		return outcome{h, ok, err.Error()}
	}
	return outcome{h, ok, ""}
}

// checkSplit: of every part Scan says that there is more to come, or what it says of the whole.
func checkSplit(t interface{ Fatalf(string, ...any) }, buf []byte, maxLength int) outcome {
	whole := scan(buf, maxLength)
	for n := range len(buf) {
		if part := scan(buf[:n], maxLength); part != (outcome{}) && part != whole {
			t.Fatalf("%x: %+v of the first %d bytes, %+v of all", buf, part, n, whole)
		}
	}
	return whole
}

func TestSetID(t *testing.T) {
	for name, frame := range readFrames(t) {
		next := slices.Clone(frame)
		SetID(next, 7)
		if h := mustScan(t, next); h.ID != 7 || !bytes.Equal(next[HeaderLen:], frame[HeaderLen:]) {
			t.Errorf("%s: %+v", name, h)
		}
		SetID(next, javaID)
		if !bytes.Equal(next, frame) {
			t.Errorf("%s: %x, want %x", name, next, frame)
		}
	}
}

func TestParseMalformed(t *testing.T) {
	request, err := AppendRequest(nil, 1, Call{"a.B", "f", "int", [][]byte{{1}, {2}}, []Attachment{{"k", "v"}}})
	if err != nil {
		t.Fatal(err)
	}
	b := request[HeaderLen:]
	names := b[:4+2+13]
	first := slices.Index(b, tokenArray)
	second := first + bytes.LastIndexByte(b[first:], tokenReference) - 1
	tail := bytes.LastIndexByte(b, tokenBlock)
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	for _, c := range []struct {
		name string
		body []byte
		want string
	}{
		{"nothing", nil, "body begins with"},
		{"stream version", with(b, 3, 6), "body begins with ac ed 00 06"},
		{"gzip in version 1", []byte{0x1f, 0x8b}, "body begins with 1f 8b"},
		{"no data", b[:4], "token 0x0 at 4"},
		{"half a block's head", b[:5], "2 bytes wanted at 4"},
		{"half a long block's head", []byte("\xac\xed\x00\x05\x7a\x00\x00"), "5 bytes wanted at 4"},
		{"a block beyond the end", []byte("\xac\xed\x00\x05\x7a\xff\xff\xff\xff"), "block of 4294967295 bytes"},
		{"a string beyond its data", with(b, 7, 0xff), "string of 255 bytes, 11 are left"},
		{"data that ends in a length", join([]byte("\xac\xed\x00\x05\x77\x01\x00")), "inside the length of a string"},
		{"no attachments", names, "token 0x0 at 19"},
		{"no attachments behind arguments", b[:tail], "want data"},
		{"an object of another token", with(b, first, 0x73), "want data"},
		{"another class", with(b, first+5, 'C'), "not one of bytes"},
		{"a reference to nothing", with(b, second+5, 1), "not one of bytes"},
		{"a reference at first", join(names, []byte("\x75\x71\x00\x7e\x00\x00\x00\x00\x00\x00"), make([]byte, 9)), "not one of bytes"},
		{"an array beyond the end", with(b, second+6, 0xff), "array of 4278190081 bytes"},
		{"half an array", b[:second+8], "4 bytes wanted"},
		{"too many attachments", with(b, tail+5, 2), "2 attachments in 6 bytes"},
		{"bytes behind attachments", with(b, tail+5, 0), "6 bytes behind the last attachment"},
		{"half a number of attachments", join(b[:tail], []byte{tokenBlock, 2, 0, 0}), "2 bytes of attachments"},
		{"an object behind the end", join(b, []byte{tokenNull}), "1 bytes behind the end"},
	} {
		frame := body(request, c.body)
		var r Request
		err := r.Parse(frame, mustScan(t, frame))
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.want) || r.Interface != nil || r.Args != 0 {
			t.Errorf("%s: %+v, %v, want %q", c.name, r, err, c.want)
		}
	}
	reply, err := AppendValue(nil, Plain, 1, 0, "X", []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	b = reply[HeaderLen:]
	for _, c := range []struct {
		name string
		body []byte
		want string
	}{
		{"no time", []byte("\xac\xed\x00\x05\x77\x01\x00"), "1 bytes of data in a response"},
		{"no class", []byte("\xac\xed\x00\x05\x77\x08\x00\x00\x00\x00\x00\x00\x00\x00"), "inside the length"},
		{"data behind the class", with(b, 5, 11+3), "bytes behind what a response has"},
		{"no value", b[:4+2+11], "token 0x0"},
		{"an object behind the end", join(b, []byte{tokenNull}), "1 bytes behind the end"},
	} {
		frame := body(reply, c.body)
		var r Response
		if err := r.Parse(frame, mustScan(t, frame)); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.want) || r.Class != nil {
			t.Errorf("%s: %+v, %v, want %q", c.name, r, err, c.want)
		}
	}
	var rq Request
	var rp Response
	if err := rq.Parse(reply, mustScan(t, reply)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a response as a request: %v", err)
	}
	if err := rp.Parse(request, mustScan(t, request)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a request as a response: %v", err)
	}
	if err := rq.Parse(request[:len(request)-1], mustScan(t, request)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a part of a frame: %v", err)
	}
}

func genCall(t *rapid.T) Call {
	s := func(name string) string {
		if rapid.IntRange(0, 9).Draw(t, "long") == 0 {
			return rep("é", rapid.IntRange(0, 1200).Draw(t, name))
		}
		return rapid.String().Draw(t, name)
	}
	c := Call{Interface: s("interface"), Method: s("method"), Desc: s("desc")}
	for range rapid.IntRange(0, 4).Draw(t, "args") {
		arg := rapid.SliceOf(rapid.Byte()).Draw(t, "arg")
		if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
			arg = nil
		} else if arg == nil {
			arg = []byte{}
		}
		c.Args = append(c.Args, arg)
	}
	for range rapid.IntRange(0, 4).Draw(t, "attachments") {
		c.Attachments = append(c.Attachments, Attachment{s("key"), s("value")})
	}
	return c
}

// TestRoundTrip: what is written is found, in any company and split anywhere.
func TestRoundTrip(t *testing.T) {
	var r Request // one for all, as a driver would have it
	rapid.Check(t, func(t *rapid.T) {
		c, id := genCall(t), rapid.Uint64().Draw(t, "id")
		frame, err := AppendRequest([]byte("head"), id, c)
		if err != nil {
			t.Fatal(err)
		}
		frame = append(frame[4:], "tail"...)
		whole := checkSplit(t, frame, 0)
		if want := (outcome{Header{len(frame) - 4, id, Plain, KindRequest}, true, ""}); whole != want {
			t.Fatalf("%+v, want %+v", whole, want)
		}
		if err := r.Parse(frame, whole.h); err != nil {
			t.Fatal(err)
		}
		if got := callOf(&r); !sameCall(got, c) {
			t.Fatalf("%q\nwant %q", got, c)
		}
	})
}

func sameCall(a, b Call) bool {
	return a.Interface == b.Interface && a.Method == b.Method && a.Desc == b.Desc && slices.Equal(a.Attachments, b.Attachments) &&
		slices.EqualFunc(a.Args, b.Args, func(x, y []byte) bool { return bytes.Equal(x, y) && (x == nil) == (y == nil) })
}

func TestRoundTripResponse(t *testing.T) {
	var r Response
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SampledFrom([]Version{Plain, Compress}).Draw(t, "version")
		id, ms := rapid.Uint64().Draw(t, "id"), rapid.Int64().Draw(t, "ms")
		class, value := rapid.String().Draw(t, "class"), rapid.SliceOf(rapid.Byte()).Draw(t, "value")
		frame, err := AppendValue(nil, v, id, ms, class, value)
		if err != nil {
			t.Fatal(err)
		}
		whole := checkSplit(t, frame, 0)
		if err := r.Parse(frame, whole.h); err != nil || r.Time != ms || text(r.Class) != class || !bytes.Equal(r.Value, value) {
			t.Fatalf("%+v, %v", r, err)
		}
	})
}

// Java's UTF-8 and back; what is no UTF-8 becomes U+FFFD.
func TestUTF(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		b := appendUTF(nil, s)
		if len(b) != 2+utfLen(s) || bytes.IndexByte(b[2:], 0) >= 0 || text(b[2:]) != s {
			t.Fatalf("%q: %x is %q", s, b, text(b[2:]))
		}
	})
	for in, want := range map[string]string{
		"\xed\xa0\xbd\xed\xb8\x80": "😀", "\xc0\x80": "\x00", "\xed\xa0\xbd": "�", "\xed\xb8\x80\xed\xa0\xbd": "��", "\xed\xa0\xbda": "�a", "\xff": "�", "\xf0\x9f\x98\x80": "😀",
	} {
		if got := text([]byte(in)); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
	dst := []byte("head")
	for _, c := range []Call{{Interface: rep("é", 1<<15)}, {Attachments: []Attachment{{"k", rep("\x00", 1<<15)}}}} {
		if got, err := AppendRequest(dst, 1, c); !errors.Is(err, ErrUnsupported) || string(got) != "head" {
			t.Errorf("a string of 65,536 bytes: %q, %v", got, err)
		}
	}
	if got, err := AppendValue(dst, Plain, 1, 0, rep("x", 1<<16), nil); !errors.Is(err, ErrUnsupported) || string(got) != "head" {
		t.Errorf("a class of 65,536 bytes: %q, %v", got, err)
	}
}
