package consul

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/sluice-mesh/sluice/agent/discovery"
)

const (
	longestWait = time.Minute      // of a request that waits for a change; Consul adds up to a sixteenth
	slack       = 10 * time.Second // for the answer itself
	mostBytes   = 64 << 20         // in an answer: a group of some 60,000 nodes
)

// transport makes connections for one source. There is one for each group and document of commands, and for each request that
// runs beside them.
func transport(c *tls.Config) *http.Transport {
	d := net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{DialContext: d.DialContext, MaxIdleConnsPerHost: atOnce, IdleConnTimeout: time.Minute, TLSClientConfig: c,
		TLSHandshakeTimeout: 3 * time.Second}
}

// refused is an answer with another status than 200.
type refused struct {
	status int
	text   string
}

func (r *refused) Error() string { return fmt.Sprintf("Consul answers %d: %s", r.status, r.text) }

// absent reports whether Consul does not have what was asked for.
func absent(err error) bool {
	var r *refused
	return errors.As(err, &r) && r.status == http.StatusNotFound
}

// answer is what Consul said, as of the index.
type answer struct {
	body  []byte
	index uint64
}

// ask sends a request to the agent of Consul that is used. A body is sent as JSON. Its error is of type *refused when there was
// an answer, which is returned with it.
func (s *Source) ask(ctx context.Context, method, path string, query url.Values, body any) (a answer, err error) {
	var text []byte
	switch b := body.(type) {
	case nil:
	case []byte:
		text = b
	default:
		if text, err = json.Marshal(body); err != nil {
			return a, err
		}
	}
	scheme := "http://"
	if s.opt.TLS != nil {
		scheme = "https://"
	}
	target := scheme + s.addr() + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	q, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(text))
	if err != nil {
		return a, err
	}
	token, err := s.opt.Token.Reveal()
	if err != nil {
		return a, fmt.Errorf("the token for Consul: %w", err)
	}
	if token != "" {
		q.Header.Set("X-Consul-Token", token)
	}
	r, err := s.http.Do(q)
	if err != nil {
		return a, err
	}
	defer r.Body.Close()
	a.body, err = io.ReadAll(io.LimitReader(r.Body, mostBytes+1))
	switch {
	case err != nil:
		return a, err
	case len(a.body) > mostBytes:
		return a, fmt.Errorf("an answer to %s has more than %d bytes", path, mostBytes)
	}
	a.index, _ = strconv.ParseUint(r.Header.Get("X-Consul-Index"), 10, 64) // few answers have one
	if r.StatusCode != http.StatusOK {
		text := bytes.TrimSpace(a.body)
		return a, &refused{r.StatusCode, string(text[:min(len(text), 200)])}
	}
	return a, nil
}

// wait asks for what has changed since an index, and waits for that as long as Consul does; with index 0 it does not wait. It
// adds to the query.
func (s *Source) wait(ctx context.Context, path string, query url.Values, index uint64) (answer, error) {
	if s.opt.Datacenter != "" {
		query.Set("dc", s.opt.Datacenter)
	}
	timeout := requestTimeout
	if index > 0 {
		query.Set("index", strconv.FormatUint(index, 10))
		query.Set("wait", longestWait.String())
		timeout = longestWait + longestWait/16 + slack
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return s.ask(ctx, http.MethodGet, path, query, nil)
}

// away gives errors of the connection, and of servers without a leader, the name that all sources have for them, and has the
// keeper look.
func (s *Source) away(err error) error {
	var r *refused
	if err == nil || errors.As(err, &r) && r.status < 500 {
		return err
	}
	s.suspect()
	return fmt.Errorf("%w: %w", discovery.ErrAway, err)
}
