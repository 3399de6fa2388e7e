package ui

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
)

func handler(t *testing.T) *Handler {
	t.Helper()
	h, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(h http.Handler, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// anAsset returns a script of the build.
func anAsset(t *testing.T) string {
	t.Helper()
	names, err := fs.Glob(Files(), "assets/index-*.js")
	if err != nil || len(names) == 0 {
		t.Fatalf("no assets/index-*.js in the build: %v", err)
	}
	return "/" + names[0]
}

func TestEveryPathThatIsNoFileShowsThePage(t *testing.T) {
	h := handler(t)
	want, err := fs.ReadFile(Files(), "index.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/index.html", "/resources/feed-cache/endpoints", "/login?code=x", "/rules/a.b.c", "/..%2f..%2fgo.mod", "/sources.sha256", "/index.html.gz"} {
		r := get(h, http.MethodGet, path)
		if r.StatusCode != http.StatusOK || !bytes.Equal(body(t, r), want) {
			t.Errorf("%s: status %d, not the page", path, r.StatusCode)
		}
		if got := r.Header.Get("Cache-Control"); got != "no-cache" {
			t.Errorf("%s: Cache-Control %q", path, got)
		}
		if got := r.Header.Get("Content-Security-Policy"); got != Policy {
			t.Errorf("%s: Content-Security-Policy %q", path, got)
		}
	}
}

func TestAssetsAreKeptForAYear(t *testing.T) {
	h, name := handler(t), anAsset(t)
	r := get(h, http.MethodGet, name)
	if got := r.Header.Get("Cache-Control"); !strings.Contains(got, "immutable") {
		t.Errorf("Cache-Control %q", got)
	}
	if got := r.Header.Get("Content-Type"); got != "text/javascript; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
	if r := get(h, http.MethodGet, "/assets/index-00000000.js"); r.StatusCode != http.StatusNotFound || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("an asset of another version: status %d, Cache-Control %q", r.StatusCode, r.Header.Get("Cache-Control"))
	}
}

func TestGzipGoesToWhoAcceptsIt(t *testing.T) {
	h, name := handler(t), anAsset(t)
	plain := body(t, get(h, http.MethodGet, name))
	r := get(h, http.MethodGet, name, "Accept-Encoding", "br, gzip;q=0.8")
	if r.Header.Get("Content-Encoding") != "gzip" || r.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("Content-Encoding %q, Vary %q", r.Header.Get("Content-Encoding"), r.Header.Get("Vary"))
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(z)
	if err != nil || !bytes.Equal(unpacked, plain) {
		t.Fatalf("unpacked is not the plain file: %v", err)
	}
	for _, header := range []string{"", "identity", "gzip;q=0", "gzip; q=0.000", "deflate"} {
		if r := get(h, http.MethodGet, name, "Accept-Encoding", header); r.Header.Get("Content-Encoding") != "" {
			t.Errorf("Accept-Encoding %q: got gzip", header)
		}
	}
}

func TestUnchangedFilesAreNotSentAgain(t *testing.T) {
	h := handler(t)
	etag := get(h, http.MethodGet, "/").Header.Get("ETag")
	if r := get(h, http.MethodGet, "/", "If-None-Match", `"x", W/`+etag); r.StatusCode != http.StatusNotModified || len(body(t, r)) > 0 {
		t.Errorf("status %d", r.StatusCode)
	}
	if r := get(h, http.MethodGet, "/", "If-None-Match", etag, "Accept-Encoding", "gzip"); r.StatusCode != http.StatusOK {
		t.Errorf("the gzipped form has the plain form's tag: status %d", r.StatusCode)
	}
}

func TestOnlyReads(t *testing.T) {
	h := handler(t)
	if r := get(h, http.MethodPost, "/"); r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", r.StatusCode)
	}
	r := get(h, http.MethodHead, "/")
	if r.StatusCode != http.StatusOK || len(body(t, r)) > 0 || r.Header.Get("Content-Length") == "0" {
		t.Errorf("HEAD: status %d, length %s", r.StatusCode, r.Header.Get("Content-Length"))
	}
}

// The policy forbids inline scripts and styles, so the page must have none; it loads nothing from other hosts.
func TestThePageKeepsItsPolicy(t *testing.T) {
	page, err := fs.ReadFile(Files(), "index.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{`<script>`, `<style`, ` style=`, ` onload=`, `javascript:`, `http://`, `https://`} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("index.html holds %s", bad)
		}
	}
	// Svelte puts markup into the page as text: a style attribute in it would be refused by the policy, in silence.
	inline := regexp.MustCompile(`<[a-z][^<>]*\sstyle="`)
	err = fs.WalkDir(Files(), "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".js") {
			return err
		}
		b, err := fs.ReadFile(Files(), name)
		if err == nil && inline.Match(b) {
			t.Errorf("%s holds markup with a style attribute: %s", name, inline.Find(b))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Chinese is a script of its own, which the page names for public/start.js. The first script holds the name of the language, and
// units of time.
func TestChineseIsLoadedByWhoReadsIt(t *testing.T) {
	page, err := fs.ReadFile(Files(), "index.html")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`<meta name="chinese" content="/([^"]+)"`).FindSubmatch(page)
	if named == nil {
		t.Fatal("index.html does not name the script of the Chinese texts")
	}
	characters := func(name string) (n int) {
		b, err := fs.ReadFile(Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range string(b) {
			if unicode.Is(unicode.Han, r) {
				n++
			}
		}
		return n
	}
	if n := characters(anAsset(t)[1:]); n > 20 {
		t.Errorf("the first script holds %d Chinese characters", n)
	}
	if n := characters(string(named[1])); n < 1000 {
		t.Errorf("%s holds %d Chinese characters: it is not the dictionary", named[1], n)
	}
}

func TestTheBuildIsSmall(t *testing.T) {
	const limit = 150 << 10
	total := 0
	for _, f := range handler(t).files {
		if f.packed != nil {
			total += len(f.packed)
		} else {
			total += len(f.plain)
		}
	}
	if total > limit {
		t.Errorf("the page is %d bytes compressed: at most %d", total, limit)
	}
	t.Logf("%d bytes compressed", total)
}

func TestABuildWithoutThePageIsAnError(t *testing.T) {
	if _, err := load(fstest.MapFS{"icon.svg": {}}); err == nil {
		t.Error("no error")
	}
}

// What the header of a page announces is what public/start.js asks for: else the browser would ask for it twice, or in vain.
func TestPagesAnnounceWhatTheirScriptAsksFor(t *testing.T) {
	h := handler(t)
	script, err := fs.ReadFile(Files(), "start.js")
	if err != nil {
		t.Fatal(err)
	}
	table := regexp.MustCompile(`'(/[a-z]*)': '([a-z?]+)'`).FindAllSubmatch(script, -1)
	if len(table) != len(data) {
		t.Fatalf("start.js has %d pages, the header %d", len(table), len(data))
	}
	for _, row := range table {
		want := []string{link("/v1/me"), link("/v1/" + string(row[2]))}
		if got := get(h, http.MethodGet, string(row[1])).Header.Values("Link"); !slices.Equal(got, want) {
			t.Errorf("%s announces %q, its script asks for %q", row[1], got, want)
		}
	}
	if got := get(h, http.MethodGet, "/resources/feed-cache").Header.Values("Link"); !slices.Equal(got, []string{link("/v1/me")}) {
		t.Errorf("the page of a resource announces %q", got)
	}
	for _, path := range []string{"/login", "/start.js"} {
		if got := get(h, http.MethodGet, path).Header.Values("Link"); len(got) > 0 {
			t.Errorf("%s announces %q", path, got)
		}
	}
}
