package api

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/internal/httpapi"
)

// hub tells the pages that are open what changed. It keeps topics, not contents: a page asks for what it shows. A page that is slow
// misses nothing, since topics that changed twice are told once.
type hub struct {
	mu      sync.Mutex
	readers map[*reader]struct{}
	first   uint64 // number of nothing; that of another process is far from it
	seq     uint64
	recent  []change // for pages that come back
}

// change is a topic and when it last changed.
type change struct {
	seq   uint64
	topic string
}

// mostRecent bounds what a page that comes back may ask for; one that was away longer loads everything anew.
const mostRecent = 1024

// reader is one open page.
type reader struct {
	wake   chan struct{}
	topics map[string]struct{} // guarded by hub.mu
	alerts []alert             // guarded by hub.mu
	seq    uint64              // guarded by hub.mu
}

type alert struct {
	Severity string       `json:"severity"`
	What     string       `json:"what"`
	WhatSay  say.Sentence `json:"whatSay"`
	Resource string       `json:"resource,omitempty"`
}

// newHub numbers changes from the time on, so that a page that comes back from another centre, or another process of this one, is
// known by its number.
func newHub() *hub {
	first := uint64(time.Now().UnixMicro())
	return &hub{readers: make(map[*reader]struct{}), first: first, seq: first}
}

// changed tells all pages that something under these topics is another than before.
func (h *hub) changed(topics ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	for _, t := range topics {
		h.recent = append(h.recent, change{h.seq, t})
	}
	if n := len(h.recent) - mostRecent; n > 0 {
		h.recent = slices.Delete(h.recent, 0, n)
	}
	for r := range h.readers {
		for _, t := range topics {
			r.topics[t] = struct{}{}
		}
		r.seq = h.seq
		r.poke()
	}
}

// mostAlerts are kept for a page that does not read.
const mostAlerts = 20

func (h *hub) alert(a alert) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range h.readers {
		if len(r.alerts) < mostAlerts {
			r.alerts = append(r.alerts, a)
		}
		r.poke()
	}
}

func (r *reader) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// open adds a page that knows all up to a number, 0: nothing.
func (h *hub) open(since uint64) *reader {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &reader{wake: make(chan struct{}, 1), topics: make(map[string]struct{}), seq: h.seq}
	switch {
	case since == 0 || since == h.seq:
	case since > h.seq || since < h.first || len(h.recent) > 0 && since < h.recent[0].seq-1: // of another process, or too long ago
		r.topics["everything"] = struct{}{}
	default:
		for _, c := range h.recent {
			if c.seq > since {
				r.topics[c.topic] = struct{}{}
			}
		}
	}
	if len(r.topics) > 0 {
		r.poke()
	}
	h.readers[r] = struct{}{}
	return r
}

func (h *hub) close(r *reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.readers, r)
}

// take returns what a page was not told yet.
func (h *hub) take(r *reader) (topics []string, alerts []alert, seq uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	topics = slices.Sorted(maps.Keys(r.topics))
	clear(r.topics)
	alerts, r.alerts = r.alerts, nil
	return topics, alerts, r.seq
}

// liveEvery is the pace of a page's numbers.
const liveEvery = time.Second

// events is the one stream of a page.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	var since uint64
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		q := map[string][]string{"Last-Event-ID": {id}}
		n, err := httpapi.Number(q, "Last-Event-ID", 0, 0, 1<<62)
		if err != nil {
			return err
		}
		since = uint64(n)
	}
	page := s.hub.open(since)
	defer s.hub.close(page)
	s.faster()
	st := httpapi.NewStream(w)
	st.Send("hello", 0, map[string]any{"revision": s.Registry.Revision(), "now": s.Now().UTC()})
	st.Flush()
	live, beat := time.NewTicker(liveEvery), time.NewTicker(httpapi.Heartbeat)
	defer live.Stop()
	defer beat.Stop()
	for st.Err() == nil {
		select {
		case <-page.wake:
			topics, alerts, seq := s.hub.take(page)
			if len(topics) > 0 {
				st.Send("changed", seq, map[string]any{"topics": topics})
			}
			for _, a := range alerts {
				st.Send("alert", 0, a)
			}
		case <-live.C:
			st.Send("live", 0, s.live())
		case <-beat.C:
			s.faster()
			st.Comment("alive")
		case <-r.Context().Done():
			return nil
		case <-s.stopped.Done():
			return nil
		}
		st.Flush()
	}
	return nil
}
