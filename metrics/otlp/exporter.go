package otlp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
)

// Exporter sends spans until it is closed.
type Exporter struct {
	opt     Options
	dropped *metrics.Counter
	process []Attribute
	client  *http.Client
	queue   chan Span
	closing chan struct{} // closed by Close
	ended   chan struct{} // closed when the sender ended
	cancel  context.CancelFunc
	away    bool // spans were lost last; the sender's own

	mu     sync.RWMutex
	closed bool // guarded by mu
}

// Open starts an exporter. It does not connect first: a collector that is away is not an error. Close must be called.
func Open(r *metrics.Registry, o Options) (*Exporter, error) {
	if err := o.fill(); err != nil {
		return nil, fmt.Errorf("otlp: %w", err)
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			MaxIdleConnsPerHost: 1,
			IdleConnTimeout:     time.Minute,
			ForceAttemptHTTP2:   true,
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &Exporter{
		opt:     o,
		dropped: r.Dropped("otlp"),
		process: append([]Attribute{String("service.name", o.Service)}, o.Attributes...),
		client: &http.Client{
			Transport: o.Transport,
			// Spans go where the configuration says and nowhere else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		queue:   make(chan Span, o.Queue),
		closing: make(chan struct{}),
		ended:   make(chan struct{}),
		cancel:  cancel,
	}
	go func() {
		defer close(e.ended)
		e.run(ctx)
	}()
	return e, nil
}

// Export hands over a span to be sent. It never waits; false means that the span was dropped and counted.
func (e *Exporter) Export(s Span) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if !e.closed {
		select {
		case e.queue <- s:
			return true
		default:
		}
	}
	e.dropped.Add(1)
	return false
}

// Close sends what is waiting and ends the exporter. While the collector is away it tries each batch once more. After
// the grace time it gives up what is left, which is counted, and says so. It may be called more than once.
func (e *Exporter) Close() error {
	e.mu.Lock()
	if !e.closed {
		e.closed = true
		close(e.closing)
	}
	e.mu.Unlock()
	defer e.client.CloseIdleConnections()
	defer e.cancel()
	timer := time.NewTimer(e.opt.Grace)
	defer timer.Stop()
	select {
	case <-e.ended:
		return nil
	case <-timer.C:
		e.cancel()
		<-e.ended // at once: the request is cut
		return fmt.Errorf("otlp: the collector did not take the last spans within %v", e.opt.Grace)
	}
}

// run sends batches until the exporter is closed and the queue is empty.
func (e *Exporter) run(ctx context.Context) {
	spans := make([]Span, 0, e.opt.Batch)
	for {
		var last bool
		spans, last = e.fill(spans[:0])
		if len(spans) > 0 {
			e.deliver(ctx, spans)
		}
		clear(spans) // what they point to is not needed until the next batch
		if last && len(spans) == 0 {
			return
		}
	}
}

// fill collects a batch: until it is full, until Every after its first span, or what there is once the exporter is
// closed, which the second result says.
func (e *Exporter) fill(spans []Span) ([]Span, bool) {
	select {
	case s := <-e.queue:
		spans = append(spans, s)
	case <-e.closing:
		return e.rest(spans), true
	}
	timer := time.NewTimer(e.opt.Every)
	defer timer.Stop()
	for len(spans) < e.opt.Batch {
		select {
		case s := <-e.queue:
			spans = append(spans, s)
		case <-timer.C:
			return spans, false
		case <-e.closing:
			return e.rest(spans), true
		}
	}
	return spans, false
}

// rest fills a batch from what waits in the queue.
func (e *Exporter) rest(spans []Span) []Span {
	for len(spans) < e.opt.Batch {
		select {
		case s := <-e.queue:
			spans = append(spans, s)
		default:
			return spans
		}
	}
	return spans
}

// deliver sends one batch, or counts what of it was lost.
func (e *Exporter) deliver(ctx context.Context, spans []Span) {
	body, err := encode(e.process, spans)
	var refused int64
	if err == nil {
		refused, err = e.send(ctx, body)
	}
	if err != nil {
		refused = int64(len(spans))
	}
	refused = min(refused, int64(len(spans)))
	e.dropped.Add(refused)
	switch {
	case refused > 0 && !e.away:
		e.away = true
		if err == nil {
			err = errors.New("the collector refused them")
		}
		e.opt.Log.Warn("spans were lost", "spans", refused, "error", err)
	case refused == 0 && e.away:
		e.away = false
		e.opt.Log.Info("spans arrive again")
	}
}

// isClosing reports whether Close was called.
func (e *Exporter) isClosing() bool {
	select {
	case <-e.closing:
		return true
	default:
		return false
	}
}

var retried = []int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}

func retriable(status int) bool { return slices.Contains(retried, status) }
