package series

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// render answers like /render?format=json: https://graphite.readthedocs.io/en/latest/render_api.html
func render(t *testing.T, answer func(form url.Values, w http.ResponseWriter)) *Reader {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.URL.Path != "/render" || r.Form.Get("format") != "json" {
			http.Error(w, "not a render request", http.StatusBadRequest)
			return
		}
		answer(r.Form, w)
	}))
	t.Cleanup(server.Close)
	return &Reader{URL: server.URL + "/", Client: server.Client(), Prefix: "mesh.prod"}
}

func TestGraphiteIsRead(t *testing.T) {
	var asked url.Values
	r := render(t, func(form url.Values, w http.ResponseWriter) {
		asked = form
		fmt.Fprint(w, `[
			{"target": "total_count", "tags": {"name": "x"}, "datapoints": [[100.0, 1000], [null, 1060], [50, 1120]]},
			{"target": "error_count", "datapoints": [[3, 1000], [null, 1060], [0, 1120]]},
			{"target": "p99", "datapoints": [[12.5, 1000], [null, 1060], [7.25, 1120]]}]`)
	})
	got, err := r.Query(context.Background(), Query{
		Resource: "feed.cache", Op: "GET", Application: "web", From: time.Unix(1000, 0), To: time.Unix(1180, 0), Step: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0].Calls != 100 || got[0].Errors != 3 || got[0].P99 != 12_500_000 || !got[1].Gap || got[1].Calls != 0 ||
		got[2].P99 != 7_250_000 || got[2].Length != time.Minute || !got[2].At.Equal(time.Unix(1120, 0)) {
		t.Errorf("%+v", got)
	}
	if asked.Get("from") != "999" || asked.Get("until") != "1179" || len(asked["target"]) != len(stats) {
		t.Errorf("asked for %v", asked)
	}
	const want = `alias(consolidateBy(summarize(sumSeries(mesh.prod.sluice-agent.web.*.byhost.*.feed_cache.GET.total_count),"60s","sum"),"sum"),"total_count")`
	if asked["target"][0] != want {
		t.Errorf("asked for\n%s, want\n%s", asked["target"][0], want)
	}
}

// Texts of a query are names, and must not become functions of Graphite's.
func TestGraphiteNamesHoldNothingElse(t *testing.T) {
	name := new(Reader).name(Query{Resource: `x),sumSeries(secret.*`, Op: `a{b,c}[d]"`, Group: "a.b"})
	if strings.ContainsAny(name, `(){}[],"`) || strings.Count(name, ".") != 6 {
		t.Errorf("name %q", name)
	}
}

func TestGraphiteThatFails(t *testing.T) {
	window := Query{Resource: "feed", From: time.Unix(1000, 0), To: time.Unix(2000, 0)}
	for name, answer := range map[string]func(url.Values, http.ResponseWriter){
		"an error": func(_ url.Values, w http.ResponseWriter) {
			http.Error(w, "too many series", http.StatusInternalServerError)
		},
		"not JSON":    func(_ url.Values, w http.ResponseWriter) { fmt.Fprint(w, "<html>") },
		"other JSON":  func(_ url.Values, w http.ResponseWriter) { fmt.Fprint(w, `{"a": 1}`) },
		"too much":    func(_ url.Values, w http.ResponseWriter) { w.Write([]byte(strings.Repeat(" ", maxAnswer+1))) },
		"bad numbers": func(_ url.Values, w http.ResponseWriter) { fmt.Fprint(w, `[{"target":"p99","datapoints":[["a",1]]}]`) },
	} {
		if p, err := render(t, answer).Query(context.Background(), window); err == nil {
			t.Errorf("%s: %d points and no error", name, len(p))
		}
	}
	hang := make(chan struct{})
	r := render(t, func(url.Values, http.ResponseWriter) { <-hang })
	r.Timeout = 50 * time.Millisecond
	if _, err := r.Query(context.Background(), window); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that does not answer: %v", err)
	}
	close(hang)
	for _, q := range []Query{{From: window.From, To: window.To}, {Resource: "feed"}} {
		if _, err := r.Query(context.Background(), q); !errors.Is(err, ErrQuery) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	window.IDC = "yf"
	if _, err := r.Query(context.Background(), window); !errors.Is(err, ErrDetail) {
		t.Errorf("a data centre: %v", err)
	}
}

func FuzzGraphite(f *testing.F) {
	f.Add(`[{"target": "p99", "datapoints": [[1.5, 10], [null, 20]]}]`)
	f.Add(`[{"target": "total_count", "datapoints": [[1e308, -1], [-5, null]]}]`)
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseRendered([]byte(text))
		if err != nil {
			return
		}
		for _, p := range points(all, Query{To: time.Unix(100, 0)}) {
			if p.Length < 0 || p.P99 < 0 {
				t.Fatalf("%+v", p)
			}
		}
	})
}
