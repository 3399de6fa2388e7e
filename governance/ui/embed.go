package ui

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/internal/httpapi"
)

//go:embed all:dist
var dist embed.FS

// Policy is the Content-Security-Policy of the page.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Files returns the build: index.html, assets/ and what else is at its top.
func Files() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the name is a constant that is valid
	}
	return files
}

// file is what is sent for a path.
type file struct {
	plain  []byte
	packed []byte // gzipped; nil when that gains nothing
	kind   string // Content-Type
	etag   string // of the plain form, without quotes
}

// Handler serves the build. All files are in memory, as the binary holds them.
type Handler struct {
	files map[string]file // by path without the leading slash
	index file
}

// New reads the build. It fails when there is none: index.html is missing.
func New() (*Handler, error) { return load(Files()) }

func load(build fs.FS) (*Handler, error) {
	h := &Handler{files: make(map[string]file)}
	err := fs.WalkDir(build, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, ".gz") || name == manifest {
			return err
		}
		f, err := read(build, name)
		if err != nil {
			return err
		}
		h.files[name] = f
		return nil
	})
	if err != nil {
		return nil, err
	}
	index, ok := h.files["index.html"]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: "governance/ui/dist/index.html", Err: fs.ErrNotExist}
	}
	h.index = index
	return h, nil
}

// manifest lists the hashes of sources and build. It is for tests, not for visitors.
const manifest = "sources.sha256"

func read(build fs.FS, name string) (file, error) {
	plain, err := fs.ReadFile(build, name)
	if err != nil {
		return file{}, err
	}
	packed, err := fs.ReadFile(build, name+".gz")
	if err != nil {
		packed = nil
	}
	sum := sha256.Sum256(plain)
	return file{plain: plain, packed: packed, kind: contentType(name), etag: base64.RawURLEncoding.EncodeToString(sum[:12])}, nil
}

// contentType does not depend on what the machine's own table says of the types that matter.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

// ServeHTTP answers with a file of the build, or with the page.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Security-Policy", Policy)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cross-Origin-Opener-Policy", "same-origin")
	head.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		head.Set("Allow", "GET, HEAD")
		http.Error(w, "the page is read with GET", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	f, found := h.files[name]
	asset := strings.HasPrefix(name, "assets/")
	switch {
	case found && asset:
		head.Set("Cache-Control", "public, max-age=31536000, immutable")
	case asset:
		// The page of another version asks for a file that this one does not have; the page in its place would not help.
		head.Set("Cache-Control", "no-store")
		http.Error(w, "no such file in this version", http.StatusNotFound)
		return
	default:
		head.Set("Cache-Control", "no-cache")
		if !found {
			f = h.index
			announce(head, r.URL.Path)
		}
	}
	f.send(w, r)
}

func (f *file) send(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Type", f.kind)
	body, etag := f.plain, `"`+f.etag+`"`
	if f.packed != nil {
		head.Set("Vary", "Accept-Encoding")
		if httpapi.AcceptsGzip(r.Header.Get("Accept-Encoding")) {
			head.Set("Content-Encoding", "gzip")
			body, etag = f.packed, `"`+f.etag+`-gzip"`
		}
	}
	head.Set("ETag", etag)
	if holds(r.Header.Get("If-None-Match"), etag) {
		head.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	head.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the visitor went away: nobody is left to tell
	}
}

// holds reports whether a list of entity tags has the one given (weak comparison, RFC 9110, 8.8.3.2).
func holds(list, etag string) bool {
	for tag := range strings.SplitSeq(list, ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == etag || tag == "*" {
			return true
		}
	}
	return false
}
