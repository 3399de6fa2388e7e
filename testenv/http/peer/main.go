// Command peer is the server of net/http as a program of its own, `peer ADDRESS`, which package testenv/http starts and describes. It
// says "ready PID" when it listens. What it counted is gone with it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// maxBody is the longest body that is answered, in bytes.
const maxBody = 16 << 20

// options are the arguments.
type options struct {
	Address string `arg:"" help:"Address to listen on."`
}

func main() {
	var o options
	kong.Parse(&o).FatalIfErrorf(serve(o.Address))
}

// serve serves until SIGTERM, after which it lets calls end.
func serve(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s := &http.Server{Handler: routes(), ReadHeaderTimeout: 10 * time.Second}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() {
		<-term
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		ended <- s.Shutdown(ctx)
	}()
	fmt.Println("ready", os.Getpid())
	if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}

func routes() http.Handler {
	c := &counts{by: map[string]int64{}}
	m := http.NewServeMux()
	m.HandleFunc("GET /echo", func(w http.ResponseWriter, r *http.Request) {
		withQuery(w, r, func(text string) { _, _ = io.WriteString(w, text) })
	})
	m.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) { withBody(w, r, func(text string) { echo(w, text) }) })
	m.HandleFunc("GET /bytes", func(w http.ResponseWriter, r *http.Request) { withQuery(w, r, func(n string) { blank(w, n) }) })
	m.HandleFunc("POST /count", func(w http.ResponseWriter, r *http.Request) {
		withBody(w, r, func(id string) { fmt.Fprint(w, c.add(id, 1)) })
	})
	m.HandleFunc("GET /counted", func(w http.ResponseWriter, r *http.Request) {
		withQuery(w, r, func(id string) { fmt.Fprint(w, c.add(id, 0)) })
	})
	return m
}

func withQuery(w http.ResponseWriter, r *http.Request, do func(text string)) {
	text, err := url.QueryUnescape(r.URL.RawQuery)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	do(text)
}

// withBody does something with a body, if all of it arrives.
func withBody(w http.ResponseWriter, r *http.Request, do func(text string)) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	do(string(b))
}

// echo answers in two parts, so that a long text goes in chunks.
func echo(w http.ResponseWriter, text string) {
	half := len(text) / 2
	_, _ = io.WriteString(w, text[:half]) // a client that is gone needs no answer
	_ = http.NewResponseController(w).Flush()
	_, _ = io.WriteString(w, text[half:])
}

// blank answers with so many zero bytes.
func blank(w http.ResponseWriter, size string) {
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", size)
	for part := make([]byte, 64<<10); n > 0; n -= int64(len(part)) {
		if _, err := w.Write(part[:min(n, int64(len(part)))]); err != nil {
			return // a client that is gone
		}
	}
}

// counts is how often each id was counted.
type counts struct {
	mu sync.Mutex
	by map[string]int64
}

func (c *counts) add(id string, n int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		c.by[id] += n
	}
	return c.by[id]
}
