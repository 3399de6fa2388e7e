package agent

import (
	"strings"
	"sync"
	"time"
)

// settle is how long a new agent waits for its resources before it says that it is ready anyway.
const settle = 5 * time.Second

// readiness decides what /readyz says.
//
// An agent is ready when it accepts and knows the state of every endpoint, so that whoever waits for it can send at once.
// It becomes ready without that after the time to settle, and stays ready until it drains, whatever happens to the
// upstreams: an application whose cache is away must not be restarted or taken out of service for that by its agent.
// What is wrong with a resource shows in /v1/status.
//
// For resources that the centre has to define first there is no time to settle: nothing listens for them yet, so whoever
// is sent here cannot be served.
type readiness struct {
	mu    sync.Mutex
	began time.Time // when it began to accept; zero: not yet
	once  bool      // it was ready
}

func (r *readiness) begin(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began = now
}

// ready decides; waiting returns the resources that are not ready now, missing those that the centre has not defined.
func (r *readiness) ready(now time.Time, draining bool, waiting, missing func() []string) (bool, string) {
	if draining {
		return false, "draining"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.once {
		return true, ""
	}
	if r.began.IsZero() {
		return false, "starting"
	}
	if list := missing(); len(list) > 0 {
		return false, "waiting for the centre to define " + strings.Join(list, ", ")
	}
	if list := waiting(); len(list) > 0 && now.Sub(r.began) < settle {
		return false, "waiting for " + list[0]
	}
	r.once = true
	return true, ""
}
