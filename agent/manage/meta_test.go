package manage

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What applications say is kept, bounded, and told as motan-go's agent tells it.
func TestMetadata(t *testing.T) {
	m := &Metadata{}
	h := Handler(Options{Backend: struct{ Backend }{}, Metadata: m})
	for _, c := range []struct {
		method, target, form string
		status               int
		want                 string
	}{
		{"GET", "/meta/getAll", "", 200, `{"data":{"meta":{}},"result":"ok"}`},
		{"POST", "/meta/update", "META_WEIGHT=20&b=c", 200, `{"data":"ok","result":"ok"}`},
		{"POST", "/meta/update?META_WEIGHT=30", "", 200, `"ok"`},
		{"GET", "/meta/get?key=META_WEIGHT", "", 200, `{"data":{"META_WEIGHT":"30"},"result":"ok"}`},
		{"GET", "/meta/get?key=x", "", 200, `{"data":{"x":""},"result":"ok"}`},
		{"GET", "/meta/update?META_WEIGHT=1", "", 405, ""},
		{"POST", "/meta/update?x=" + strings.Repeat("y", longestPair), "", 400, `"fail"`},
		{"POST", "/meta/update?x=%ff", "", 400, `"fail"`},
		{"POST", "/meta/delete?key=b", "", 200, `"ok"`},
		{"GET", "/meta/getAll", "", 200, `{"data":{"meta":{"META_WEIGHT":"30"}},"result":"ok"}`},
	} {
		r := httptest.NewRequest(c.method, c.target, strings.NewReader(c.form))
		r.RemoteAddr = "127.0.0.1:9"
		if c.form != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %.60s: %d %s, want %d %s", c.method, c.target, w.Code, w.Body, c.status, c.want)
		}
	}
	r := httptest.NewRequest("POST", "/meta/update?META_WEIGHT=1", nil)
	r.RemoteAddr = "10.0.0.9:9"
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusForbidden || m.All()["META_WEIGHT"] != "30" {
		t.Errorf("from another machine: %d %v", w.Code, m.All())
	}
	for i := range 2 * mostPairs {
		_ = m.Update(map[string]string{strings.Repeat("k", i+1): ""})
	}
	if n := len(m.All()); n != mostPairs {
		t.Errorf("%d pairs are kept", n)
	}
}
