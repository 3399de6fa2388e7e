package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/protocols/http1"
	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/resources"
)

// What motan-go says of requests for services that speak HTTP.
const (
	keyVerb     = "HTTP_Method"
	keyQuery    = "HTTP_QueryString"
	keyHost     = "http_Host"
	keyProxy    = "HTTP_PROXY"   // the arguments are a head and a body, as a client of HTTP sent them to motan-go's agent
	keyUpstream = "upstreamCode" // the status, in answers
)

// maxText is how much of a body goes into the text of an exception, in bytes.
const maxText = 4 << 10

// webCall makes a call of a service that speaks HTTP.
func webCall(ctx context.Context, via http.RoundTripper, q *motanCall) (any, motan2.Meta, *motan2.Exception) {
	proxied := string(q.Meta.Get(keyProxy)) == "true"
	request := q.web
	if proxied {
		request = q.proxied
	}
	trip, done := inTime(ctx, 0)
	defer done()
	r, exception := request(trip)
	if exception != nil {
		return nil, nil, exception
	}
	a, err := via.RoundTrip(r)
	if err != nil {
		return nil, nil, q.lost(ctx, err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(io.LimitReader(a.Body, maxContent+1))
	switch {
	case err != nil:
		return nil, nil, q.lost(ctx, err)
	case len(body) > maxContent:
		return nil, nil, q.fault(resources.TooLarge, fmt.Sprintf("the answer has more than %d bytes", maxContent))
	}
	text := strings.ToValidUTF8(strings.TrimSpace(string(body[:min(len(body), maxText)])), "\uFFFD")
	if name := a.Header.Get("Sluice-Fault"); name != "" && a.StatusCode >= 400 {
		if w := wordOf(func(w *word) bool { return w.fault.String() == name }); w != nil {
			e := q.fault(w.fault, "")
			e.Text = text
			return nil, nil, e
		}
	}
	if proxied {
		return []any{headOf(a, len(body)), body}, motan2.AppendPair(nil, keyUpstream, strconv.Itoa(a.StatusCode)), nil
	}
	if q.opt.Errors && a.StatusCode >= 400 {
		return nil, nil, &motan2.Exception{Code: a.StatusCode, Type: motan2.Biz, Text: text}
	}
	var meta motan2.Meta
	for name, values := range a.Header {
		if !dropped[strings.ToLower(name)] && values[0] != "" {
			meta = motan2.AppendPair(meta, name, values[0])
		}
	}
	return valueOf(a.Header.Get("Content-Type"), body), motan2.AppendPair(meta, keyUpstream, strconv.Itoa(a.StatusCode)), nil
}

// web makes a request of HTTP.
func (q *motanCall) web(ctx context.Context) (*http.Request, *motan2.Exception) {
	args, exception := q.args()
	if exception != nil {
		return nil, exception
	}
	target, err := q.target()
	if err != nil {
		return nil, q.unreadable(err)
	}
	verb := string(q.Meta.Get(keyVerb))
	c, err := contentOf(args, verb == http.MethodGet || verb == http.MethodHead)
	if err != nil {
		return nil, q.unreadable(err)
	}
	for _, more := range []string{string(q.Meta.Get(keyQuery)), c.query} {
		if more != "" && target.RawQuery != "" {
			more = "&" + more
		}
		target.RawQuery += more
	}
	switch {
	case verb == "" && c.kind == "":
		verb = http.MethodGet
	case verb == "":
		verb = http.MethodPost
	case verb == http.MethodConnect || !http1.IsToken(verb):
		return nil, q.unreadable(fmt.Errorf("%.40q is no method of HTTP", verb))
	}
	r, err := newRequest(ctx, verb, target, c.body)
	if err != nil {
		return nil, q.unreadable(err)
	}
	if c.kind != "" {
		r.Header.Set("Content-Type", c.kind)
	}
	q.attachments(func(name, value string) {
		if http1.IsToken(name) && isValue(value) {
			r.Header.Set(name, value)
		}
	})
	if host := string(q.Meta.Get(keyHost)); host != "" && http1.IsHost(host) {
		r.Host = host
	}
	return r, nil
}

// target returns the URL that the method stands for.
func (q *motanCall) target() (*url.URL, error) {
	target := &url.URL{Path: "/" + string(q.desc.Method)}
	if bytes.HasPrefix(q.desc.Method, []byte("/")) {
		var err error
		if target, err = url.ParseRequestURI(string(q.desc.Method)); err != nil {
			return nil, fmt.Errorf("the method is no path: %w", err)
		}
	}
	target.Scheme, target.Host = "http", q.opt.Authority
	return target, nil
}

func newRequest(ctx context.Context, verb string, target *url.URL, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, verb, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if !http1.IsTarget(r.URL.RequestURI()) {
		return nil, fmt.Errorf("%.200q is no path and query", r.URL.RequestURI())
	}
	r.Header.Set("User-Agent", "") // none, unless the caller says one
	return r, nil
}

// proxied makes a request of HTTP of one that came as such to motan-go's agent: its arguments are the head and the body, and the method is
// the path, without the query.
func (q *motanCall) proxied(ctx context.Context) (*http.Request, *motan2.Exception) {
	args, exception := q.args()
	if exception != nil {
		return nil, exception
	}
	var head, body []byte
	ok := len(args) == 2
	if ok {
		head, ok = args[0].([]byte)
		body, _ = args[1].([]byte) // null is none
	}
	if !ok {
		return nil, q.unreadable(errors.New("what a proxy sends has two arguments, the bytes of a head and of a body"))
	}
	var h http1.Request
	whole, err := h.Scan(head, 0, maxHead)
	if err == nil && !whole {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, q.unreadable(fmt.Errorf("the first argument is no head of a request: %w", err))
	}
	sent, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		return nil, q.unreadable(err)
	}
	target, err := q.target()
	if err != nil {
		return nil, q.unreadable(err)
	}
	target.RawQuery = sent.URL.RawQuery
	r, err := newRequest(ctx, sent.Method, target, body)
	switch {
	case err != nil:
		return nil, q.unreadable(err)
	case sent.Method == http.MethodConnect:
		return nil, q.unreadable(errors.New("CONNECT is not converted"))
	}
	for name, values := range sent.Header {
		if !dropped[strings.ToLower(name)] {
			r.Header[name] = values
		}
	}
	for key, name := range motanFields {
		if v := q.Meta.Get(key); len(v) > 0 && isValue(string(v)) {
			r.Header.Set(name, string(v))
		}
	}
	if v := q.desc.Trace; len(v) > 0 && isValue(string(v)) {
		r.Header.Set(resources.TraceParent, string(v))
	}
	r.Host = sent.Host
	return r, nil
}

// headOf returns the head of an answer whose body has a length in bytes.
func headOf(a *http.Response, length int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", a.StatusCode, http.StatusText(a.StatusCode))
	for name := range dropped {
		a.Header.Del(name)
	}
	a.Header.Set("Content-Length", strconv.Itoa(length))
	_ = a.Header.Write(&b) // to memory
	b.WriteString("\r\n")
	return b.Bytes()
}

// isValue reports whether a field of HTTP can have a value.
func isValue(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f })
}
