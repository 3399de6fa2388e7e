package otlp

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Options configure an [Exporter].
type Options struct {
	URL        string      // of the collector, such as http://127.0.0.1:4318; /v1/traces is added unless it ends so
	Service    string      // service.name, what the spans are of; default sluice
	Attributes []Attribute // more about this process: host.name, service.instance.id

	Queue    int           // spans that wait; default 4096
	Batch    int           // spans of one request; default 512
	Every    time.Duration // longest time that a span waits for a batch to fill; default 1 s
	Timeout  time.Duration // of one request; default 10 s
	RetryFor time.Duration // how long a batch is tried; default 30 s
	Grace    time.Duration // how long Close may take; default 5 s

	Log       *slog.Logger      // says when spans are lost and when they arrive again; default: nowhere
	Transport http.RoundTripper // default: a transport of its own, with the proxies of the environment
}

// tracesPath is the path that the protocol prescribes.
const tracesPath = "/v1/traces"

// fill checks the options and puts defaults where nothing is written.
func (o *Options) fill() error {
	u, err := url.Parse(o.URL)
	if err != nil {
		// The error of Parse repeats the URL, which may hold a password.
		return errors.New("the URL cannot be read: write it as http://host:port")
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("URL %q: write http:// or https:// and a host, such as http://127.0.0.1:4318", u.Redacted())
	}
	if !strings.HasSuffix(u.Path, tracesPath) {
		u.Path = strings.TrimSuffix(u.Path, "/") + tracesPath
		u.RawPath = ""
	}
	o.URL = u.String()
	if o.Service == "" {
		o.Service = "sluice"
	}
	for _, n := range []struct {
		at       *int
		fallback int
		name     string
	}{{&o.Queue, 4096, "queue"}, {&o.Batch, 512, "batch"}} {
		if *n.at == 0 {
			*n.at = n.fallback
		}
		if *n.at < 0 {
			return fmt.Errorf("%s of %d spans: use at least 1", n.name, *n.at)
		}
	}
	for _, d := range []struct {
		at       *time.Duration
		fallback time.Duration
		name     string
	}{
		{&o.Every, time.Second, "every"}, {&o.Timeout, 10 * time.Second, "timeout"},
		{&o.RetryFor, 30 * time.Second, "retry-for"}, {&o.Grace, 5 * time.Second, "grace"},
	} {
		if *d.at == 0 {
			*d.at = d.fallback
		}
		if *d.at < 0 {
			return fmt.Errorf("%s of %v is negative", d.name, *d.at)
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}
