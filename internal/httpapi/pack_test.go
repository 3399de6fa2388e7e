package httpapi

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// answer is what a client gets that sends a header, and the body as it reads it.
func answer(t *testing.T, method, accept, etag, text string) (*http.Response, string) {
	t.Helper()
	r, rec := httptest.NewRequest(method, "/v1/x", nil), httptest.NewRecorder()
	r.Header.Set("Accept-Encoding", accept)
	if etag != "" {
		rec.Header().Set("ETag", etag)
	}
	Reply(Packing(rec, r), http.StatusAccepted, map[string]string{"text": text})
	resp := rec.Result()
	body := io.Reader(resp.Body)
	if resp.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(resp.Body); err != nil {
			t.Fatal(err)
		}
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestLargeAnswersAreCompressed(t *testing.T) {
	large := strings.Repeat("0123456789", packFrom/10)
	for name, c := range map[string]struct {
		method, accept, etag, text string
		want                       string
	}{
		"large":             {"GET", "gzip, br", "", large, "gzip"},
		"small":             {"GET", "gzip", "", "x", ""},
		"refused":           {"GET", "gzip;q=0, br", "", large, ""},
		"of no word":        {"GET", "", "", large, ""},
		"with a tag":        {"GET", "gzip", `"7"`, large, ""},
		"answer to a write": {"POST", "gzip", "", large, ""},
	} {
		resp, body := answer(t, c.method, c.accept, c.etag, c.text)
		if got := resp.Header.Get("Content-Encoding"); got != c.want || resp.StatusCode != http.StatusAccepted {
			t.Errorf("%s: %q, status %d", name, got, resp.StatusCode)
		}
		if c.want != "" && (resp.Header.Get("Vary") != "Accept-Encoding" || resp.Header.Get("Content-Type") != "application/json") {
			t.Errorf("%s: %v", name, resp.Header)
		}
		if body != `{"text":"`+c.text+`"}`+"\n" {
			t.Errorf("%s: another body of %d bytes", name, len(body))
		}
	}
}

// A stream behind a writer that packs is flushed and has its deadlines, as http.ResponseController finds them.
func TestStreamsPassThePacking(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		st := NewStream(Packing(w, r))
		st.Send("hello", 1, strings.Repeat("x", 2*packFrom))
		st.Flush()
		<-r.Context().Done()
	}))
	defer s.Close()
	resp, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 12)
	if _, err := io.ReadFull(resp.Body, head); err != nil || string(head) != "event: hello" {
		t.Errorf("%q, %v", head, err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
}
