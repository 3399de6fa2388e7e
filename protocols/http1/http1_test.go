package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"testing"
)

// crlf makes a message of lines.
func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

func TestRequests(t *testing.T) {
	for _, c := range []struct{ in, host, line, path string }{
		{"GET / HTTP/1.1\nHost: a.b\n\n", "a.b", "GET / HTTP/1.1", "/"},
		{"GET /x?y=z HTTP/1.1\nHost:a.b:80\n\n", "a.b:80", "GET /x?y=z HTTP/1.1", "/x"},
		{"GET http://u.v/x HTTP/1.1\nHost: a.b\n\n", "u.v", "GET /x HTTP/1.1", "/x"},
		{"GET HTTP://u.v HTTP/1.1\nHost: u.v\n\n", "u.v", "GET / HTTP/1.1", "/"},
		{"GET http://u.v?q HTTP/1.1\nHost: u.v\n\n", "u.v", "GET /?q HTTP/1.1", "/"},
		{"OPTIONS * HTTP/1.1\nHost: a\n\n", "a", "OPTIONS * HTTP/1.1", "*"},
		{"OPTIONS http://a HTTP/1.1\nHost: a\n\n", "a", "OPTIONS * HTTP/1.1", "/"},
		{"CONNECT a.b:443 HTTP/1.1\nHost: a.b\n\n", "a.b:443", "CONNECT / HTTP/1.1", "/"},
		{"GET / HTTP/1.0\n\n", "", "GET / HTTP/1.1", "/"},
		{"GET / HTTP/1.1\nhOST: [::1]:80\n\n", "[::1]:80", "GET / HTTP/1.1", "/"},
	} {
		b := crlf(c.in)
		var r Request
		ok, err := r.Scan(append(b, "more"...), 0, DefaultMax)
		line := strings.TrimSuffix(string(r.AppendLine(nil)), "\r\n")
		if !ok || err != nil || string(r.Host) != c.host || line != c.line || string(r.Path()) != c.path || r.Size != len(b) {
			t.Errorf("%q: %v %v, host %q, line %q, path %q, %d of %d bytes", c.in, ok, err, r.Host, line, r.Path(), r.Size, len(b))
		}
		for n := range b {
			if ok, err := r.Scan(b[:n], 0, DefaultMax); ok || err != nil {
				t.Errorf("%q, %d bytes: %v %v", c.in, n, ok, err)
			}
		}
	}
}

// What one server may read in one way and another in another, and what is no HTTP at all.
func TestBadRequests(t *testing.T) {
	const ok = "GET / HTTP/1.1\nHost: a\n"
	for in, want := range map[string]*Error{
		ok + "Content-Length: 5\nTransfer-Encoding: chunked\n\n":           errBoth,
		ok + "Transfer-Encoding: chunked\nContent-Length: 5\n\n":           errBoth,
		ok + "Content-Length: 5\nContent-Length: 5\n\n":                    errLength,
		ok + "Content-Length: 5\nContent-Length: 6\n\n":                    errLength,
		ok + "Content-Length: 5, 5\n\n":                                    errLength,
		ok + "Content-Length: +5\n\n":                                      errLength,
		ok + "Content-Length: -5\n\n":                                      errLength,
		ok + "Content-Length: 0x5\n\n":                                     errLength,
		ok + "Content-Length:\n\n":                                         errLength,
		ok + "Content-Length: 9999999999999999999\n\n":                     errLength,
		ok + "Transfer-Encoding: gzip, chunked\n\n":                        errCoding,
		ok + "Transfer-Encoding: chunked, identity\n\n":                    errCoding,
		ok + "Transfer-Encoding: xchunked\n\n":                             errCoding,
		ok + "Transfer-Encoding: chunked\nTransfer-Encoding: x\n\n":        errCoding,
		ok + "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n":  errCoding,
		ok + "Transfer-Encoding:\n\n":                                      errCoding,
		"GET / HTTP/1.0\nTransfer-Encoding: chunked\n\n":                   errCoding10,
		ok + "Transfer-Encoding : chunked\n\n":                             errName,
		ok + "A B: c\n\n":                                                  errName,
		ok + ": c\n\n":                                                     errName,
		ok + "nothing\n\n":                                                 errName,
		ok + "A\x00B: c\n\n":                                               errName,
		ok + "A: b\n c\n\n":                                                errFold,
		ok + "A: b\n\tc\n\n":                                               errFold,
		ok + "A: b\x00c\n\n":                                               errValue,
		ok + "A: b\rc\n\n":                                                 errValue,
		ok + "A: b\r\n\n":                                                  errValue, // \r\r\n
		ok + "A: b\x7f\n\n":                                                errValue,
		"GET / HTTP/1.1\n\n":                                               errHost,
		"GET / HTTP/1.1\nHost: a\nHost: a\n\n":                             errHost,
		"GET / HTTP/1.0\nHost: a\nHost: b\n\n":                             errHost,
		"GET / HTTP/1.1\nHost: a/b\n\n":                                    errHost,
		"GET / HTTP/1.1\nHost: a@b\n\n":                                    errHost,
		"GET / HTTP/1.1\nHost: a b\n\n":                                    errHost,
		"GET / HTTP/1.2\nHost: a\n\n":                                      errVersion,
		"GET / HTTP/2.0\nHost: a\n\n":                                      errVersion,
		"GET / http/1.1\nHost: a\n\n":                                      errVersion,
		"GET /\n\n":                                                        errLine,
		"\nGET / HTTP/1.1\n\n":                                             errLine,
		" GET / HTTP/1.1\n\n":                                              errLine,
		"GET  / HTTP/1.1\nHost: a\n\n":                                     errTarget,
		"GET / a HTTP/1.1\nHost: a\n\n":                                    errTarget,
		"GET /\x01 HTTP/1.1\nHost: a\n\n":                                  errTarget,
		"GET /\xc3\xa9 HTTP/1.1\nHost: a\n\n":                              errTarget,
		"GET /#f HTTP/1.1\nHost: a\n\n":                                    errTarget,
		"GET a HTTP/1.1\nHost: a\n\n":                                      errForm,
		"GET * HTTP/1.1\nHost: a\n\n":                                      errForm,
		"GET http:///x HTTP/1.1\nHost: a\n\n":                              errForm,
		"GET http://u@v/x HTTP/1.1\nHost: a\n\n":                           errForm,
		"GET https://v/x HTTP/1.1\nHost: a\n\n":                            errForm,
		"CONNECT /x HTTP/1.1\nHost: a\n\n":                                 errForm,
		"G(T / HTTP/1.1\nHost: a\n\n":                                      errMethod,
		strings.Repeat("A", 40) + " / HTTP/1.1\nHost: a\n\n":               errMethod,
		"\x16\x03\x01\x02":                                                 errMethod, // TLS
		"GET / HTTP/1.1\nHost: a\n" + strings.Repeat("a: b\n", 300) + "\n": errFields,
		ok + "A: " + strings.Repeat("a", DefaultMax) + "\n\n":              errLarge,
		"GET /" + strings.Repeat("a", DefaultMax) + " HTTP/1.1\n\n":        errLarge,
		ok + "Connection: " + strings.Repeat("a,", 20) + "\n\n":            errNamed,
	} {
		var r Request
		if _, err := r.Scan(crlf(in), 0, DefaultMax); err != error(want) {
			t.Errorf("%.100q: %v, want %v", in, err, want)
		}
	}
	// A bare LF is refused at once: what ends with it would be waited for otherwise.
	for _, in := range []string{"GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nHost: a\n", "GET / HTTP/1.1\r\nHost: a\r\n\n"} {
		for from := range len(in) {
			var r Request
			if _, err := r.Scan([]byte(in), from, DefaultMax); err != error(errBareLF) {
				t.Errorf("%q after %d bytes: %v", in, from, err)
			}
		}
	}
}

func TestResponses(t *testing.T) {
	for _, c := range []struct {
		in      string
		method  Method
		status  int
		framing Framing
		left    int64
		reuse   bool
	}{
		{"HTTP/1.1 200 OK\nContent-Length: 5\n\n", GET, 200, Sized, 5, true},
		{"HTTP/1.1 200 OK\nContent-Length: 5\n\n", HEAD, 200, None, 0, true},
		{"HTTP/1.1 200 OK\nContent-Length: 0\n\n", GET, 200, None, 0, true},
		{"HTTP/1.1 204 No Content\n\n", GET, 204, None, 0, true},
		{"HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n", GET, 304, None, 0, true},
		{"HTTP/1.1 100 Continue\n\n", POST, 100, None, 0, true},
		{"HTTP/1.1 200 \n\n", GET, 200, UntilClose, 0, true},
		{"HTTP/1.1 200\n\n", GET, 200, UntilClose, 0, true},
		{"HTTP/1.1 200 OK\nConnection: x, Close\nTransfer-Encoding: Chunked\n\n", GET, 200, Chunked, 0, false},
		{"HTTP/1.0 200 OK\nContent-Length: 5\n\n", GET, 200, Sized, 5, false},
		{"HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 5\n\n", GET, 200, Sized, 5, true},
	} {
		var r Response
		ok, err := r.Scan(crlf(c.in), 0, DefaultMax)
		d := r.Body(c.method)
		if !ok || err != nil || r.Status != c.status || d.Framing() != c.framing || d.Left() != c.left || r.Reusable() != c.reuse {
			t.Errorf("%q: %v %v %d %d %d %v", c.in, ok, err, r.Status, d.Framing(), d.Left(), r.Reusable())
		}
	}
	for _, in := range []string{
		"HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: chunked\n\n", "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 6\n\n",
		"HTTP/1.1 20 OK\n\n", "HTTP/1.1 2000 OK\n\n", "HTTP/1.1 099 OK\n\n", "HTTP/1.1  200 OK\n\n", "HTTP/3.1 200 OK\n\n", "-ERR unknown",
		"HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n", "HTTP/1.1 200 O\x00K\n\n", "HTTP/1.1 200 OK\n a: b\n\n", "ICY 200 OK\n\n",
	} {
		var r Response
		var e *Error
		if ok, err := r.Scan(crlf(in), 0, DefaultMax); !errors.As(err, &e) {
			t.Errorf("%q: %v %v", in, ok, err)
		}
	}
}

func TestHopByHop(t *testing.T) {
	var r Request
	in := crlf("GET / HTTP/1.1\nHost: a\nConnection: close, X-Mine, Host, X-Forwarded-For, upgrade\nX-mine: 1\nKeep-Alive: 5\nTE: trailers\nProxy-Connection: x\n" +
		"Upgrade: websocket\nX-Forwarded-For: 1\nX-Other: 2\nProxy-Authorization: x\nTrailer: x\n\n")
	if ok, err := r.Scan(in, 0, DefaultMax); !ok || err != nil {
		t.Fatal(ok, err)
	}
	var kept []string
	for i := range r.Fields {
		if !r.Hop(&r.Fields[i]) {
			kept = append(kept, string(r.Fields[i].Name))
		}
	}
	if want := []string{"Host", "X-Forwarded-For", "X-Other"}; !slices.Equal(kept, want) {
		t.Errorf("kept %q, want %q", kept, want)
	}
	if string(r.Upgrade) != "websocket" || !r.Close || r.Reusable() {
		t.Errorf("upgrade %q, close %v", r.Upgrade, r.Close)
	}
}

func TestChunks(t *testing.T) {
	for _, c := range []struct {
		in, out, plain string
		err            *Error
	}{
		{"5\nhello\n0\n\n", "5\nhello\n0\n\n", "hello", nil},
		{"005;a=b;c=\"d\"\nhello\nA\n0123456789\n0\n\n", "5\nhello\na\n0123456789\n0\n\n", "hello0123456789", nil},
		{"5 ;x\nhello\n0\nX-Sum: 1\nContent-Length: 5\nHost: x\n\n", "5\nhello\n0\nX-Sum: 1\n\n", "hello", nil},
		{"0\n\n", "0\n\n", "", nil},
		{"5\nhellox", "", "", errChunkEnd},
		{"5\nhello\rx", "", "", errChunkEnd},
		{"5x\nhello\n", "", "", errChunk},
		{"5 \nhello\n", "", "", errChunk},
		{" 5\nhello\n", "", "", errChunk},
		{"-5\nhello\n", "", "", errChunk},
		{"+5\nhello\n", "", "", errChunk},
		{"0x5\nhello\n", "", "", errChunk},
		{"\nhello\n", "", "", errChunk},
		{";a\nhello\n", "", "", errChunk},
		{"fffffffffffffffff\n", "", "", errChunk},
		{"0000000000000000005\n", "", "", errChunk},
		{"5;a=\x00\nhello\n", "", "", errChunk},
		{"5;a=\rb\nhello\n", "", "", errChunk},
		{"0\nbad name: x\n\n", "", "", errName},
		{"0\n folded: x\n\n", "", "", errFold},
		{"5;" + strings.Repeat("a", maxChunkLine) + "\nhello\n", "", "", errChunkLine},
		{"0\na: " + strings.Repeat("a", maxTrailer) + "\n\n", "", "", errTrailer},
		{"0\n" + strings.Repeat("a: b\n", maxTrailer/6+1) + "\n", "", "", errTrailer},
	} {
		for _, step := range []int{1, 3, 1 << 20} {
			for form, want := range map[Form]string{AsFramed: string(crlf(c.out)), Plain: c.plain} {
				in := string(crlf(c.in)) + "next"
				d := Body{framing: Chunked}
				out, rest, err := feed(&d, []byte(in), step, form)
				if c.err != nil {
					if err != error(c.err) {
						t.Errorf("%.60q in steps of %d: %v, want %v", c.in, step, err, c.err)
					}
					continue
				}
				if err != nil || !d.Done() || string(out) != want || string(rest) != "next" {
					t.Errorf("%q in steps of %d: %v, %q, rest %q, done %v; want %q", c.in, step, err, out, rest, d.Done(), want)
				}
			}
		}
	}
	for _, in := range []string{"5\n", "5\r\nhello\n", "0\r\n\n", "0\r\na: b\n"} {
		d := Body{framing: Chunked}
		if _, _, err := d.Append(nil, []byte(in), AsFramed); err == nil {
			t.Errorf("%q is taken", in)
		}
	}
}

// feed gives a body its bytes in steps, as a connection does: what is not taken comes again with more.
func feed(d *Body, in []byte, step int, form Form) (out, rest []byte, err error) {
	var held []byte
	for len(in) > 0 && !d.Done() {
		n := min(step, len(in))
		held = append(held, in[:n]...)
		in = in[n:]
		var took int
		if out, took, err = d.Append(out, held, form); err != nil {
			return out, nil, err
		}
		held = held[took:]
	}
	return out, append(held, in...), nil
}

func TestUntilClose(t *testing.T) {
	d := Body{framing: UntilClose}
	out, n, err := d.Append(nil, []byte("hello world, more"), AsChunks)
	out = append(out, End...)
	got, readErr := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(out)))
	if n != 17 || err != nil || readErr != nil || string(got) != "hello world, more" || d.Done() {
		t.Errorf("%d %v %q %v", n, err, got, readErr)
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	req := crlf("POST /a/b?c HTTP/1.1\nHost: a.b\nUser-Agent: x\nAccept: */*\nConnection: keep-alive, x-a\nTransfer-Encoding: chunked\n\n")
	resp := crlf("HTTP/1.1 200 OK\nServer: x\nTransfer-Encoding: chunked\nConnection: keep-alive\n\n")
	chunks := crlf("5\nhello\n0\na: b\n\n")
	var q Request
	var r Response
	dst := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		ok1, _ := q.Scan(req, 0, DefaultMax)
		ok2, _ := r.Scan(resp, 0, DefaultMax)
		d := r.Body(GET)
		dst, _, _ = d.Append(dst[:0], chunks, AsFramed)
		dst = q.AppendLine(dst)
		if !ok1 || !ok2 || !d.Done() || len(q.Named) != 1 {
			t.Fatal("not read")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\nHost: a.b\n\n", "POST /x?y HTTP/1.1\nHost: a\nContent-Length: 3\nConnection: close, b\n\nabc",
		"PUT http://u.v:80/x HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n3\nabc\n0\na: b\n\n", "CONNECT a:1 HTTP/1.1\nHost: a\n\n",
		"GET / HTTP/1.0\nConnection: keep-alive\n\n", "OPTIONS * HTTP/1.1\nHost:\nExpect: 100-continue\n\n", "GET / HTTP/1.1\nA: b\n\n c",
		"GET / HTTP/1.1\nHost: a\nContent-Length: 1\nTransfer-Encoding: chunked\n\n",
	} {
		f.Add(crlf(s), 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		var whole, parts Request
		ok, err := whole.Scan(b, 0, DefaultMax)
		if ok && err != nil {
			ok = false
		}
		// In two pieces.
		if cut > 0 && cut < len(b) {
			ok1, err1 := parts.Scan(b[:cut], 0, DefaultMax)
			switch {
			case err1 != nil && ok:
				t.Fatalf("%q is a request, and %q is none: %v", b, b[:cut], err1)
			case ok1 && err1 == nil && (!ok || parts.Size != whole.Size):
				t.Fatalf("%q is a request, and %q is none: %v", b[:cut], b, err)
			case !ok1 && err1 == nil:
				ok2, err2 := parts.Scan(b, cut, DefaultMax)
				if (ok2 && err2 == nil) != ok || ok && parts.Size != whole.Size {
					t.Fatalf("%q after %d bytes: %v %v, at once %v %v", b, cut, ok2, err2, ok, err)
				}
			}
		}
		if !ok {
			return
		}
		agree(t, &whole, b)
	})
}

// agree checks that net/http reads what is accepted in the same way.
func agree(t *testing.T, r *Request, b []byte) {
	theirs, err := http.ReadRequest(bufio.NewReaderSize(bytes.NewReader(b), len(b)+16))
	if err != nil {
		if known := err.Error(); strings.Contains(known, "invalid URL") || strings.Contains(known, "parse ") {
			return // it looks into the path and the port
		}
		t.Fatalf("%q: net/http says %v", b, err)
	}
	defer theirs.Body.Close()
	d := r.Body()
	length := int64(-1)
	if d.Framing() != Chunked {
		length = d.Left()
	}
	host := string(r.Host)
	if theirs.Method != string(r.MethodText) || theirs.Host != host || theirs.ContentLength != length || theirs.ProtoMinor != r.Minor || theirs.Close == r.Reusable() && r.Minor > 0 {
		t.Fatalf("%q: %s %q %d close %v, net/http has %s %q %d close %v", b, r.MethodText, host, length, !r.Reusable(), theirs.Method, theirs.Host, theirs.ContentLength, theirs.Close)
	}
	for i := range r.Fields {
		x := &r.Fields[i]
		if k := x.Known; k == Host || k == ContentLength || k == TransferEncoding || k == Connection || k == Trailer {
			continue
		}
		if !slices.Contains(theirs.Header.Values(string(x.Name)), string(x.Value)) {
			t.Fatalf("%q: %s is %q, net/http has %q", b, x.Name, x.Value, theirs.Header)
		}
	}
	out, _, err := d.Append(nil, b[r.Size:], Plain)
	if err != nil || !d.Done() {
		return
	}
	got, err := io.ReadAll(theirs.Body)
	if err != nil && (len(theirs.Trailer) > 0 || strings.Contains(err.Error(), "railer") || strings.Contains(err.Error(), "malformed MIME")) {
		return // it is stricter with trailers, of which those that matter are dropped here
	}
	if err != nil || !bytes.Equal(got, out) {
		t.Fatalf("%q: the body is %q, net/http has %q %v", b, out, got, err)
	}
}

func FuzzResponse(f *testing.F) {
	for _, s := range []string{"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", "HTTP/1.0 304 \n\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n"} {
		f.Add(crlf(s), 3, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, cut int, head bool) {
		var whole, parts Response
		ok, err := whole.Scan(b, 0, DefaultMax)
		ok = ok && err == nil
		if cut > 0 && cut < len(b) {
			if ok1, err1 := parts.Scan(b[:cut], 0, DefaultMax); !ok1 && err1 == nil {
				ok2, err2 := parts.Scan(b, cut, DefaultMax)
				if (ok2 && err2 == nil) != ok {
					t.Fatalf("%q after %d bytes: %v %v, at once %v %v", b, cut, ok2, err2, ok, err)
				}
			}
		}
		if !ok || whole.Status == 101 {
			return
		}
		m := GET
		if head {
			m = HEAD
		}
		theirs, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), &http.Request{Method: m.String()})
		if err != nil {
			t.Fatalf("%q: net/http says %v", b, err)
		}
		defer theirs.Body.Close()
		d := whole.Body(m)
		out, _, err := d.Append(nil, b[whole.Size:], Plain)
		if err != nil || !d.Done() && d.Framing() != UntilClose || theirs.StatusCode != whole.Status {
			return
		}
		got, err := io.ReadAll(theirs.Body)
		if err == nil && !bytes.Equal(got, out) {
			t.Fatalf("%q: the body is %q, net/http has %q %v", b, out, got, err)
		}
	})
}

func FuzzChunks(f *testing.F) {
	for _, s := range []string{"5\nhello\n0\n\n", "a;b=c\n0123456789\n0\nx: y\n\nmore", "0\n\n", "fffffffffffffff\nx"} {
		f.Add(crlf(s), 1)
	}
	f.Fuzz(func(t *testing.T, b []byte, step int) {
		one, two := Body{framing: Chunked}, Body{framing: Chunked}
		out, n, err := one.Append(nil, b, AsFramed)
		if step > 0 {
			out2, _, err2 := feed(&two, b, step, AsFramed)
			if (err == nil) != (err2 == nil) || err == nil && (!bytes.Equal(out, out2) || one != two) {
				t.Fatalf("%q in steps of %d: %q %v, at once %q %v", b, step, out2, err2, out, err)
			}
		}
		if err != nil || !one.Done() {
			return
		}
		// Written anew it is the same body, and the standard library reads the same.
		again := Body{framing: Chunked}
		out2, _, err := again.Append(nil, out, AsFramed)
		if err != nil || !bytes.Equal(out, out2) || !again.Done() {
			t.Fatalf("%q became %q, which becomes %q: %v", b, out, out2, err)
		}
		plain := Body{framing: Chunked}
		want, _, _ := plain.Append(nil, b, Plain)
		for _, in := range [][]byte{b[:n], out} {
			if got, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(in))); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%q: net/http reads %q, want %q: %v", in, got, want, err)
			}
		}
	})
}
