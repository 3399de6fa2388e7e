package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	firstPause   = 500 * time.Millisecond // after the first failure; doubles
	longestPause = 10 * time.Second
	maxResponse  = 64 << 10 // bytes of an answer that are read
)

// failure is why an attempt did not deliver.
type failure struct {
	error
	final bool          // trying again would not help
	after time.Duration // the collector asks for this pause; 0: it does not say
}

// send posts one batch, as often as RetryFor allows. It returns how many spans the collector refused.
func (e *Exporter) send(ctx context.Context, body []byte) (refused int64, err error) {
	start := time.Now()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		closing := e.isClosing() // before the attempt: one that began earlier is not the last
		n, fail := e.post(ctx, body)
		if fail == nil {
			return n, nil
		}
		wait := pause/2 + rand.N(pause/2)
		if fail.after > 0 {
			wait = fail.after
		}
		if fail.final || closing || ctx.Err() != nil || time.Since(start)+wait > e.opt.RetryFor {
			return 0, fail.error
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-e.closing:
			timer.Stop()
		}
	}
}

// post makes one request. Without a failure it returns how many spans the collector refused for good.
func (e *Exporter) post(ctx context.Context, body []byte) (refused int64, fail *failure) {
	ctx, cancel := context.WithTimeout(ctx, e.opt.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.opt.URL, bytes.NewReader(body))
	if err != nil {
		return 0, &failure{error: err, final: true}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "sluice")
	resp, err := e.client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the URL, which may hold a token
		}
		return 0, &failure{error: fmt.Errorf("collector %s: %w", req.URL.Host, err)}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if resp.StatusCode/100 == 2 {
		return partial(answer), nil // an answer cut short is a success still: the status says so
	}
	fail = &failure{
		error: fmt.Errorf("collector %s answered %s: %s", req.URL.Host, resp.Status, excerpt(answer, err)),
		final: !retriable(resp.StatusCode),
		after: retryAfter(resp.Header.Get("Retry-After")),
	}
	return 0, fail
}

// partial reads how many spans the collector refused although it took the request.
func partial(answer []byte) int64 {
	var r exportResponse
	if json.Unmarshal(answer, &r) != nil {
		return 0 // empty, or in another form: then there is nothing to know
	}
	n, err := strconv.ParseInt(strings.Trim(string(r.PartialSuccess.RejectedSpans), `"`), 10, 64)
	if err != nil || n <= 0 {
		return 0
	}
	return n
}

// excerpt is the start of an answer, on one line.
func excerpt(answer []byte, err error) string {
	if len(answer) > 200 {
		answer = answer[:200]
	}
	if err != nil && len(answer) == 0 {
		return err.Error()
	}
	return strconv.Quote(string(answer))
}

// retryAfter reads the header of that name, which holds seconds or a date; 0 when it says nothing.
func retryAfter(h string) time.Duration {
	if s, err := strconv.Atoi(h); err == nil && s >= 0 {
		return time.Duration(min(s, 3600)) * time.Second
	}
	if at, err := http.ParseTime(h); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
