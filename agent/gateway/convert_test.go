package gateway

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mesh/sluice/protocols/http1"
	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
)

func TestArgumentsOfABody(t *testing.T) {
	for _, c := range []struct {
		kind, query, body, desc string
		want                    []any // nil: an error
	}{
		{"application/json", "", `["a", 7, {"$int32": 5}]`, "", []any{"a", int64(7), int32(5)}},
		{"application/json; charset=utf-8", "", ` [] `, "", []any{}},
		{"application/vnd.x+json", "", `{"a": 1}`, "", []any{serial.Map{{Key: "a", Value: int64(1)}}}},
		{"", "", `"a"`, "", []any{"a"}},
		{"application/json", "", `[300, "AQI="]`, "int,byte[]", []any{int32(300), []byte{1, 2}}},
		{"application/json", "", `"300"`, "long", []any{int64(300)}},
		{"application/json", "", `[300]`, "int,int", nil},
		{"application/json", "", `[1`, "", nil},
		{"application/json", "", `{"$int32": "x"}`, "", nil},
		{"application/x-www-form-urlencoded", "", "a=b+c&d=%41&a=", "", []any{serial.StringMap{{Key: "a", Value: "b c"}, {Key: "d", Value: "A"}, {Key: "a"}}}},
		{"application/x-www-form-urlencoded", "", "a=%4", "", nil},
		{"", "a=b", "", "", []any{serial.StringMap{{Key: "a", Value: "b"}}}},
		{"", "", "", "", []any{}},
		{"", "", "", "int", nil},
		{"text/plain", "", "x", "", []any{"x"}},
		{"text/plain", "", "\xff", "", nil},
		{"application/octet-stream", "", "\xff", "", []any{[]byte{0xff}}},
		{"application/x-protobuf", "", "\xff", "", []any{serial.Proto{0xff}}},
	} {
		got, err := arguments(c.kind, c.query, []byte(c.body), serial.ParseKinds(c.desc))
		if len(got) == 0 && err == nil {
			got = []any{}
		}
		if (err != nil) != (c.want == nil) || err == nil && !cmp.Equal(got, c.want) {
			t.Errorf("%s %q %q: %#v, %v, want %#v", c.kind, c.query, c.body, got, err, c.want)
		}
	}
}

func TestContentOfArguments(t *testing.T) {
	for _, c := range []struct {
		args     []any
		bodiless bool
		want     content
	}{
		{nil, false, content{}},
		{[]any{nil}, false, content{}},
		{[]any{"x"}, false, content{kind: "text/plain; charset=utf-8", body: []byte("x")}},
		{[]any{"[1]"}, false, content{kind: typeJSON, body: []byte("[1]")}},
		{[]any{[]byte{1}}, false, content{kind: typeBytes, body: []byte{1}}},
		{[]any{serial.Proto{1}}, false, content{kind: typeProto, body: []byte{1}}},
		{[]any{serial.StringMap{{Key: "a&", Value: "b c"}}}, false, content{kind: typeForm, body: []byte("a%26=b+c")}},
		{[]any{serial.StringMap{{Key: "a", Value: "b"}}}, true, content{query: "a=b"}},
		{[]any{serial.Map{{Key: "a", Value: "b"}}}, true, content{query: "a=b"}},
		{[]any{serial.Map{{Key: "a", Value: int64(1)}}}, false, content{kind: typeJSON, body: []byte(`{"a":1}`)}},
		{[]any{int32(5)}, false, content{kind: typeJSON, body: []byte("5")}},
		{[]any{"a", int32(5)}, false, content{kind: typeJSON, body: []byte(`["a",5]`)}},
	} {
		got, err := contentOf(c.args, c.bodiless)
		if err != nil || !cmp.Equal(got, c.want, cmp.AllowUnexported(content{})) {
			t.Errorf("%v: %+v, %v", c.args, got, err)
		}
	}
}

func TestStatusOfAnException(t *testing.T) {
	for _, c := range []struct {
		e      exception
		unsent bool
		status int
		fault  string
	}{
		{exception{10003, 1, "sluice: x: no answer"}, false, 504, "timeout"},
		{exception{10001, 1, "sluice: x: nobody"}, true, 503, "unavailable"},
		{exception{10023, 1, "sluice: x: lost"}, false, 502, "unknown"},
		{exception{10002, 1, "sluice: x: over"}, false, 429, "limited"},
		{exception{10002, 1, "the pool is full"}, false, 503, ""},
		{exception{10001, 1, "it broke"}, false, 500, ""},
		{exception{10003, 1, "too slow"}, false, 504, ""},
		{exception{30001, 2, "no such user"}, false, 422, ""},
		{exception{30001, 2, "sluice: is what the service says"}, false, 422, ""},
		{exception{404, 2, "no such user"}, false, 404, ""},
		{exception{404, 1, "no such service"}, false, 404, ""},
		{exception{10101, 0, "sluice: x: no such service"}, false, 404, ""},
		{exception{20003, 0, "what is that"}, false, 400, ""},
		{exception{-7, 9, ""}, false, 500, ""},
	} {
		if status, fault := c.e.status(c.unsent); status != c.status || fault != c.fault {
			t.Errorf("%+v: %d %q, want %d %q", c.e, status, fault, c.status, c.fault)
		}
	}
}

// A body that is small on the wire and large in memory is refused before it is.
func TestInflationIsBounded(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(make([]byte, maxContent+1))
	_ = z.Close()
	f := &motan2.Frame{Head: motan2.Head{Type: motan2.TypeGzip}, Body: b.Bytes()}
	if _, err := inflated(f); !errors.Is(err, errTooLarge) {
		t.Errorf("%d bytes: %v", b.Len(), err)
	}
}

func FuzzArguments(f *testing.F) {
	for _, s := range []string{`["a", {"$int32": 5}]`, `{"a": [1, 2.5, null]}`, "a=b&c=%41", "\xff"} {
		f.Add("application/json", s, s, "int,java.lang.String")
		f.Add(typeForm, s, s, "")
	}
	f.Fuzz(func(t *testing.T, kind, query, body, desc string) {
		args, err := arguments(kind, query, []byte(body), serial.ParseKinds(desc))
		if err != nil {
			return
		}
		for _, codec := range []serial.Codec{serial.Simple{}, serial.Breeze{}} {
			b, err := codec.Append(nil, args...)
			if err != nil {
				continue
			}
			if back, err := codec.Decode(b); err != nil || len(back) != len(args) {
				t.Errorf("%v: %v, %v", args, back, err)
			}
		}
	})
}

func FuzzReadFrame(f *testing.F) {
	f.Add(motan2.Append(nil, motan2.Head{ID: 7}, motan2.Meta("M_p\na"), []byte("body")))
	f.Add(motan2.AppendException(nil, motan2.Head{ID: 7}, motan2.Exception{Code: 404, Text: "x"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var want motan2.Frame
		ok, _ := want.Scan(b, maxFrame)
		got, err := readFrame(bufio.NewReader(bytes.NewReader(b)))
		if ok != (err == nil) {
			t.Fatalf("%x: %v", b, err)
		}
		if ok && (got.Head != want.Head || !bytes.Equal(got.Meta, want.Meta) || !bytes.Equal(got.Body, want.Body)) {
			t.Errorf("%x: %+v, want %+v", b, got, want)
		}
	})
}

// Whatever a Motan client sends, what becomes of it is a request that can be written, or an exception.
func FuzzRequests(f *testing.F) {
	add := func(meta string, args ...any) {
		body, err := serial.Simple{}.Append(nil, args...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(meta), body, byte(serial.IDSimple))
	}
	add("M_p\na.B\nM_m\n/x?y=z\nHTTP_Method\nPUT\nhttp_X-A\nb", "text")
	add("M_p\na.B\nM_m\nget\nM_tmo\n5\nhttp_Host\nc\nHTTP_QueryString\na=b", map[string]string{"a": "b"})
	add("M_p\na.B\nM_m\nget\nHTTP_QueryString\na b HTTP/1.1")
	add("M_p\na.B\nM_m\n/x\nHTTP_PROXY\ntrue", []byte("POST /y?a=b HTTP/1.1\r\nHost: c\r\nX-A: b\r\nConnection: close\r\nContent-Length: 3\r\n\r\n"), []byte("abc"))
	add("M_p\na.B\nM_m\n//h/x\nConnection\nclose\nContent-Length\n9", []byte{1})
	f.Fuzz(func(t *testing.T, meta, body []byte, id byte) {
		q := &motanCall{Frame: &motan2.Frame{Head: motan2.Head{Serialization: id & 31}, Meta: meta, Body: body}, opt: &GuestOptions{Resource: "r", Authority: "authority"}}
		q.desc = q.Meta.Call()
		for _, request := range []func(context.Context) (*http.Request, *motan2.Exception){q.web, q.proxied} {
			r, e := request(context.Background())
			if e != nil {
				if e.Text == "" {
					t.Error("an exception that says nothing")
				}
				continue
			}
			var b bytes.Buffer
			if err := r.Write(&b); err != nil {
				t.Fatalf("%v: %v", r, err)
			}
			var head http1.Request
			if ok, err := head.Scan(b.Bytes(), 0, b.Len()); err != nil || !ok {
				t.Errorf("%q: %v", b.Bytes(), err)
			}
			if r.URL.Host != "authority" || strings.Contains(strings.ToLower(string(b.Bytes()[:head.Size])), "\r\nconnection: c") {
				t.Errorf("%q", b.Bytes())
			}
		}
		if r, e := q.grpc(context.Background()); e == nil && strings.Count(r.URL.Path, "/") < 2 {
			t.Errorf("%v", r.URL)
		}
	})
}

func FuzzUnary(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := unary(b); err == nil && len(m) != len(b)-prefix {
			t.Errorf("%x: %x", b, m)
		}
	})
}
