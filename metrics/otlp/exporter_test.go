package otlp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newRegistry() *metrics.Registry { return metrics.NewRegistry(metrics.Options{}) }

func dropped(r *metrics.Registry) int64 { return r.Dropped("otlp").Load() }

// collector is a transport that answers as told and keeps the bodies.
type collector struct {
	mu      sync.Mutex
	answer  func(n int) (status int, header http.Header, body string, err error) // n counts from 0
	bodies  []string
	started []time.Time
	block   bool // until the request is cut
}

func (c *collector) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	n := len(c.bodies)
	c.bodies = append(c.bodies, string(body))
	c.started = append(c.started, time.Now())
	c.mu.Unlock()
	if c.block {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	status, header, text := 200, http.Header{}, "{}"
	if c.answer != nil {
		if status, header, text, err = c.answer(n); err != nil {
			return nil, err
		}
	}
	return &http.Response{
		StatusCode: status, Status: fmt.Sprint(status, " ", http.StatusText(status)), Header: header,
		Body: io.NopCloser(strings.NewReader(text)), Request: r,
	}, nil
}

// spans returns how many spans each request held.
func (c *collector) spans(t *testing.T) (counts []int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.bodies {
		var r exportRequest
		if err := json.Unmarshal([]byte(b), &r); err != nil {
			t.Fatal(err)
		}
		counts = append(counts, len(r.ResourceSpans[0].ScopeSpans[0].Spans))
	}
	return counts
}

func open(t *testing.T, r *metrics.Registry, c *collector, o Options) *Exporter {
	t.Helper()
	o.URL, o.Transport = "http://collector:4318", c
	e, err := Open(r, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestRequestOverHTTP(t *testing.T) {
	type request struct{ method, path, kind, body string }
	got := make(chan request, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- request{r.Method, r.URL.Path, r.Header.Get("Content-Type"), string(body)}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"partialSuccess":{}}`)
	}))
	defer srv.Close()
	reg := newRegistry()
	e, err := Open(reg, Options{URL: srv.URL, Service: "feed-web", Attributes: []Attribute{String("host.name", "h1")}})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Unix(1700000000, 123456789)
	e.Export(Span{
		TraceID: [16]byte{0x5b, 0x8e, 0xff, 0xf7, 0x98, 0x03, 0x81, 0x03, 0xd2, 0x69, 0xb6, 0x33, 0x81, 0x3f, 0xc6, 0x0c},
		SpanID:  [8]byte{0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74}, Parent: [8]byte{0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x73},
		Name: "GET", Start: start, End: start.Add(1500 * time.Microsecond),
		Attributes: []Attribute{String("sluice.resource", "feed"), Int("sluice.tries", 2), String("empty", ""), Int("zero", 0)},
		Failed:     true, Message: "timeout",
	})
	e.Export(Span{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Name: "a\"b\xff", Kind: Server, Start: start, End: start})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	r := <-got
	if r.method != "POST" || r.path != "/v1/traces" || r.kind != "application/json" {
		t.Errorf("%s %s of type %s", r.method, r.path, r.kind)
	}
	want := `{"resourceSpans":[{
		"resource":{"attributes":[
			{"key":"service.name","value":{"stringValue":"feed-web"}},{"key":"host.name","value":{"stringValue":"h1"}}]},
		"scopeSpans":[{"scope":{"name":"github.com/sluice-mesh/sluice"},"spans":[
			{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","parentSpanId":"eee19b7ec3c1b173",
			 "name":"GET","kind":3,"startTimeUnixNano":"1700000000123456789","endTimeUnixNano":"1700000000124956789",
			 "attributes":[
				{"key":"sluice.resource","value":{"stringValue":"feed"}},{"key":"sluice.tries","value":{"intValue":"2"}},
				{"key":"empty","value":{"stringValue":""}},{"key":"zero","value":{"intValue":"0"}}],
			 "status":{"code":2,"message":"timeout"}},
			{"traceId":"01000000000000000000000000000000","spanId":"0200000000000000","name":"a\"b\ufffd","kind":2,
			 "startTimeUnixNano":"1700000000123456789","endTimeUnixNano":"1700000000123456789","status":{}}]}]}]}`
	var a, b any
	if err := errors.Join(json.Unmarshal([]byte(r.body), &a), json.Unmarshal([]byte(want), &b)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(b, a); d != "" {
		t.Errorf("body differs from the protocol's form (-want +got):\n%s", d)
	}
	if n := dropped(reg); n != 0 {
		t.Errorf("%d spans dropped", n)
	}
}

func TestBatchesFillOrAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, c := newRegistry(), &collector{}
		e := open(t, reg, c, Options{Batch: 10, Every: 2 * time.Second})
		for range 25 {
			e.Export(Span{})
		}
		synctest.Wait()
		if got := c.spans(t); !cmp.Equal(got, []int{10, 10}) {
			t.Errorf("at once: %v", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := c.spans(t); !cmp.Equal(got, []int{10, 10, 5}) {
			t.Errorf("when the rest is old: %v", got)
		}
		for range 12 {
			e.Export(Span{})
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if got := c.spans(t); !cmp.Equal(got, []int{10, 10, 5, 10, 2}) {
			t.Errorf("after Close: %v", got)
		}
		if e.Export(Span{}) || dropped(reg) != 1 {
			t.Errorf("a span after Close is not dropped and counted: %d", dropped(reg))
		}
		if err := e.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}

func TestFullQueueDropsAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, c := newRegistry(), &collector{block: true}
		e := open(t, reg, c, Options{Queue: 20, Batch: 5})
		taken := 0
		for range 5 { // the first batch is under way, and stays so
			if e.Export(Span{}) {
				taken++
			}
		}
		synctest.Wait()
		for range 30 {
			if e.Export(Span{}) {
				taken++
			}
		}
		if taken != 25 || dropped(reg) != 10 {
			t.Errorf("%d taken, %d dropped", taken, dropped(reg))
		}
		start := time.Now()
		if err := e.Close(); err == nil || !strings.Contains(err.Error(), "within 5s") {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("Close took %v", took)
		}
		if dropped(reg) != 35 {
			t.Errorf("%d of 35 spans counted as dropped", dropped(reg))
		}
	})
}

func TestRetries(t *testing.T) {
	for name, test := range map[string]struct {
		answer   func(n int) (int, http.Header, string, error)
		attempts int
		dropped  int64
		least    time.Duration // between the first and the last attempt
		most     time.Duration
	}{
		"busy, then well": {
			func(n int) (int, http.Header, string, error) { return []int{503, 429, 502, 504, 200}[n], nil, "", nil },
			5, 0, 3750 * time.Millisecond, 7500 * time.Millisecond,
		},
		"unreachable, then well": {
			func(n int) (int, http.Header, string, error) {
				if n < 2 {
					return 0, nil, "", errors.New("connection refused")
				}
				return 200, nil, "{}", nil
			}, 3, 0, 750 * time.Millisecond, 1500 * time.Millisecond,
		},
		"asks for a pause": {
			func(n int) (int, http.Header, string, error) {
				return []int{429, 200}[n], http.Header{"Retry-After": {"7"}}, "", nil
			}, 2, 0, 7 * time.Second, 7 * time.Second,
		},
		"asks for too long a pause": {
			func(int) (int, http.Header, string, error) {
				return 429, http.Header{"Retry-After": {"3600"}}, "", nil
			}, 1, 3, 0, 0,
		},
		"refuses": {func(int) (int, http.Header, string, error) { return 400, nil, "bad", nil }, 1, 3, 0, 0},
		"redirects": {
			func(int) (int, http.Header, string, error) {
				return 307, http.Header{"Location": {"http://elsewhere/"}}, "", nil
			}, 1, 3, 0, 0,
		},
		"takes a part": {
			func(int) (int, http.Header, string, error) {
				return 200, nil, `{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}`, nil
			}, 1, 2, 0, 0,
		},
		"takes a part, as a number": {
			func(int) (int, http.Header, string, error) {
				return 200, nil, `{"partialSuccess":{"rejectedSpans":1}}`, nil
			}, 1, 1, 0, 0,
		},
		"takes less than nothing": {
			func(int) (int, http.Header, string, error) {
				return 200, nil, `{"partialSuccess":{"rejectedSpans":99}}`, nil
			}, 1, 3, 0, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg, c := newRegistry(), &collector{answer: test.answer}
				e := open(t, reg, c, Options{})
				for range 3 {
					e.Export(Span{})
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if err := e.Close(); err != nil {
					t.Error(err)
				}
				if len(c.started) != test.attempts || dropped(reg) != test.dropped {
					t.Fatalf("%d attempts and %d spans dropped, want %d and %d", len(c.started), dropped(reg), test.attempts, test.dropped)
				}
				if d := c.started[len(c.started)-1].Sub(c.started[0]); d < test.least || d > test.most {
					t.Errorf("the last attempt was %v after the first, want %v to %v", d, test.least, test.most)
				}
			})
		})
	}
}

func TestGivesUpAfterRetryFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, c := newRegistry(), &collector{answer: func(int) (int, http.Header, string, error) { return 503, nil, "", nil }}
		e := open(t, reg, c, Options{RetryFor: 20 * time.Second})
		e.Export(Span{})
		time.Sleep(time.Minute)
		synctest.Wait()
		if d := c.started[len(c.started)-1].Sub(c.started[0]); dropped(reg) != 1 || d > 20*time.Second || len(c.started) < 4 {
			t.Errorf("%d attempts in %v, %d dropped", len(c.started), d, dropped(reg))
		}
		// While Close waits for a collector that is away, each batch has one more attempt.
		e.Export(Span{})
		start, before := time.Now(), len(c.started)
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if len(c.started) != before+1 || time.Since(start) > time.Second || dropped(reg) != 2 {
			t.Errorf("Close: %d attempts in %v, %d dropped", len(c.started)-before, time.Since(start), dropped(reg))
		}
	})
}

func TestURL(t *testing.T) {
	for in, want := range map[string]string{
		"http://a:4318":                  "http://a:4318/v1/traces",
		"http://a:4318/":                 "http://a:4318/v1/traces",
		"https://a/otlp":                 "https://a/otlp/v1/traces",
		"https://a/otlp/v1/traces?k=v":   "https://a/otlp/v1/traces?k=v",
		"http://user:secret@a/v1/traces": "http://user:secret@a/v1/traces",
	} {
		o := Options{URL: in}
		if err := o.fill(); err != nil || o.URL != want {
			t.Errorf("%s: got %s, %v, want %s", in, o.URL, err, want)
		}
	}
	for in, want := range map[string]string{
		"":                       "write http:// or https://",
		"collector:4318":         "write http:// or https://",
		"http://":                "such as http://127.0.0.1:4318",
		"ftp://u:secret@a":       "write http:// or https://",
		"http://u:secret@a:port": "cannot be read",
	} {
		_, err := Open(newRegistry(), Options{URL: in})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q and no secret", in, err, want)
		}
	}
}

func TestConcurrentExportAndClose(t *testing.T) {
	reg, c := newRegistry(), &collector{}
	e := open(t, reg, c, Options{Queue: 100, Batch: 10})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				e.Export(Span{Name: "x"})
			}
		})
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	sent := 0
	for _, n := range c.spans(t) {
		sent += n
	}
	if int64(sent)+dropped(reg) != 8000 {
		t.Errorf("%d sent and %d dropped of 8000", sent, dropped(reg))
	}
}

func BenchmarkExport(b *testing.B) {
	c := &collector{block: true}
	e, err := Open(newRegistry(), Options{URL: "http://a", Transport: c, Grace: time.Millisecond})
	if err != nil {
		b.Fatal(err)
	}
	s := Span{Name: "GET", Attributes: []Attribute{String("a", "b")}}
	b.ReportAllocs()
	for b.Loop() {
		e.Export(s)
	}
	b.StopTimer()
	if err := e.Close(); err == nil {
		b.Fatal("a collector that never answers took the spans")
	}
}

// Whatever a collector answers, it is read without a panic and refuses no less than nothing.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"partialSuccess":{"rejectedSpans":"3","errorMessage":"x"}}`), "7")
	f.Add([]byte(`{"partialSuccess":{"rejectedSpans":-3}}`), "Wed, 21 Oct 2015 07:28:00 GMT")
	f.Add([]byte(`{"partialSuccess":[]}`), "-1")
	f.Add([]byte("\x08\x01"), "99999999999999999999")
	f.Fuzz(func(t *testing.T, answer []byte, header string) {
		if n := partial(answer); n < 0 {
			t.Errorf("%d spans refused by %q", n, answer)
		}
		if d := retryAfter(header); d < 0 {
			t.Errorf("a pause of %v from %q", d, header)
		}
		if s := excerpt(answer, nil); strings.ContainsAny(s, "\r\n") {
			t.Errorf("excerpt has several lines: %q", s)
		}
	})
}
