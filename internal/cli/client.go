package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// DefaultAt is where an agent's admin interface is unless its file says otherwise.
const DefaultAt = "http://127.0.0.1:8002"

// requestTimeout bounds everything but streams.
const requestTimeout = 30 * time.Second

// maxAnswer bounds an answer, so that a wrong URL cannot fill the memory.
const maxAnswer = 64 << 20

// Client speaks to the HTTP interface of an agent or a centre.
type Client struct {
	at    string // as it was given, for messages
	base  string // scheme and host
	token string
	http  *http.Client
}

// NewClient returns a client of at: an http or https URL, host:port, or unix:/path. An empty token sends none.
func NewClient(at, token string) (*Client, error) {
	c := &Client{at: at, token: token}
	tr := &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: requestTimeout, DisableCompression: true}
	c.http = &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if path, ok := strings.CutPrefix(at, "unix:"); ok {
		tr.Proxy = nil
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", strings.TrimPrefix(path, "//"))
		}
		c.base = "http://localhost"
		return c, nil
	}
	tr.DialContext = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	if !strings.Contains(at, "://") {
		at = "http://" + at
	}
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" {
		return nil, &UsageError{fmt.Sprintf("--at %q is not an address: write http://HOST:PORT or unix:/PATH", c.at)}
	}
	c.base = u.Scheme + "://" + u.Host
	return c, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// UsageError says that the command line is wrong: exit code 2.
type UsageError struct{ Text string }

func (e *UsageError) Error() string { return e.Text }

// APIError is a refusal by the other side.
type APIError struct {
	Status  int
	Code    string `json:"code"`
	Message string `json:"message"`
	Path    string `json:"path"`
}

func (e *APIError) Error() string {
	if e.Path != "" && !strings.Contains(e.Message, e.Path) {
		return e.Path + ": " + e.Message
	}
	return e.Message
}

// Text is a body that is sent as it is, such as a document in YAML.
type Text []byte

// Seen is a Text that is taken only while what it replaces has this revision, a number as in ETags; else the answer is 412.
type Seen struct {
	Text
	Revision int64
}

// Do sends one request and decodes the answer's JSON into out (nil: it is dropped; *json.RawMessage: kept as it is).
// An in of type Text or Seen is sent as it is.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	resp, err := c.send(ctx, method, path, query, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return c.explain(err)
	}
	if resp.StatusCode >= 300 {
		return c.refusal(resp.StatusCode, body)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s does not answer as an agent does: %s %s: %w", c.at, method, path, err)
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, path string, query url.Values, in any) (*http.Response, error) {
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var body io.Reader
	text, isText := in.(Text)
	seen, isSeen := in.(Seen)
	if isSeen {
		text, isText = seen.Text, true
	}
	switch {
	case isText:
		body = bytes.NewReader(text)
	case in != nil:
		raw, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	switch {
	case isText:
		req.Header.Set("Content-Type", "application/yaml")
	case in != nil:
		req.Header.Set("Content-Type", "application/json")
	}
	if isSeen {
		req.Header.Set("If-Match", `"`+strconv.FormatInt(seen.Revision, 10)+`"`)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	return resp, nil
}

// explain turns an error of the transport into a line that says what to do.
func (c *Client) explain(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("nothing answers at %s: start an agent, or name another address with --at or SLUICE_AT", c.at)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s did not answer within %s", c.at, requestTimeout)
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return fmt.Errorf("%s is not trusted: %w: name the file with that authority's certificate in SSL_CERT_FILE", c.at, err)
	}
	return fmt.Errorf("%s: %w", c.at, err)
}

func (c *Client) refusal(status int, body []byte) error {
	var answer struct {
		Error APIError `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Error.Message == "" {
		return fmt.Errorf("%s answers %d %s: is it an agent or a centre?", c.at, status, http.StatusText(status))
	}
	e := answer.Error
	e.Status = status
	if status == http.StatusUnauthorized {
		e.Path = ""
		e.Message += ": give the token with --token, SLUICE_TOKEN, or --data FOLDER of the agent (its file admin.token)"
	}
	return &e
}

// Stream reads server-sent events until ctx is done, the other side ends, or each returns an error.
func (c *Client) Stream(ctx context.Context, path string, query url.Values, each func(event string, data []byte) error) error {
	resp, err := c.send(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		return c.refusal(resp.StatusCode, body)
	}
	var own error // of each, which is passed on as it is
	err = events(resp.Body, func(event string, data []byte) error {
		own = each(event, data)
		return own
	})
	switch {
	case own != nil:
		return own
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return c.explain(err)
	}
	return fmt.Errorf("%s ended the stream", c.at)
}

// events reads server-sent events to the end (https://html.spec.whatwg.org/multipage/server-sent-events.html), as far as
// agents and centres send them: fields event and data, one data line an event.
func events(r io.Reader, each func(event string, data []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	event, data := "", []byte(nil)
	for lines.Scan() {
		line := lines.Bytes()
		switch field, value, _ := bytes.Cut(line, []byte(":")); {
		case len(line) == 0:
			if data != nil {
				if err := each(event, data); err != nil {
					return err
				}
			}
			event, data = "", nil
		case string(field) == "event":
			event = string(bytes.TrimSpace(value))
		case string(field) == "data":
			data = append(data, bytes.TrimPrefix(value, []byte(" "))...)
		}
	}
	return lines.Err()
}
