package fleet

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// Source says what agents should run. Its methods are called from several goroutines and must not call the fleet. They must
// show at least what Changed was called for.
type Source interface {
	// Revision is the newest revision that Resource and Commands show.
	Revision() int64
	// Resource returns what an agent should run as name. Spec is JSON without a line break at its end, whose bytes are
	// shared and never change; hash is control.HashOf it and its secrets; revision that of its last change. Agent is nil when
	// the question is what holds for all, without a rollout.
	Resource(name string, a *Agent) (spec json.RawMessage, hash string, revision int64, ok bool)
	// Secrets returns those that a spec of Resource refers to, and may; the hash is that of Resource.
	Secrets(name string, spec json.RawMessage) []control.Secret
	// Commands returns the commands that hold for a resource at an agent, as JSON of resources.Command with Resource and ID
	// set. A command may hold for several resources: it has the same id in each.
	Commands(name string, a *Agent) []json.RawMessage
}

// Doubter may be implemented by a Source that does not know everything yet, as after its start.
type Doubter interface {
	// Doubtful reports that Resource shows nothing under a name of which there may be something all the same. An agent that
	// runs something of that name is not told that it is gone: it gets no Full update before the doubt is over.
	Doubtful(name string) bool
}

// Settler may be implemented by a Source that does not know everything yet. Until it is settled, and Fleet.Settle was called,
// what an agent runs is not held against what the Source shows: it may know less than the centre before it.
type Settler interface {
	Settled() bool
}

// Elsewhere is the other centres. Its methods do as those of Fleet of the same names, and wait for no centre longer than ctx says.
type Elsewhere interface {
	Ask(ctx context.Context, center, agent string, ask control.Ask) (control.Answer, error)
	AskStream(ctx context.Context, center, agent string, ask control.Ask) (<-chan control.Answer, error)
	Tune(d, ttl time.Duration)
}

// Options of a fleet. Source, Name and Cluster must be set.
type Options struct {
	Source  Source
	Log     *slog.Logger
	Now     func() time.Time
	Name    string // of this centre
	Cluster string // store.Store.Cluster

	// Elsewhere reaches the agents of other centres, of which Tell tells. nil: there are none.
	Elsewhere Elsewhere

	Heartbeat time.Duration // agents ping this often; three missed end the link. Default 5 s
	Report    time.Duration // between two reports of an agent. Default 10 s

	// OnReport gets what metrics/report made, which is valid during the call. It holds up the agent's link and no other.
	OnReport func(a *Agent, payload []byte, at time.Time)
	// OnExport gets all services that an agent vouches for.
	OnExport func(a *Agent, services []control.Service)
	// OnGone is called when an agent's link ended and no other of the same process took its place.
	OnGone func(a *Agent)
	// OnState is called when an agent came, went, or said something new of itself or of an Update.
	OnState func(a *Agent)

	Patience  time.Duration // an update that is not answered keeps the next one back this long. Default 2 s
	WriteWait time.Duration // an agent must take 64 KiB within it. Default 10 s
	HelloWait time.Duration // the first frame must come within it. Default 10 s
	Settle    time.Duration // without another change, before one is sent. Default 5 ms
	SettleMax time.Duration // a change waits no longer than this. Default 100 ms
	Keep      time.Duration // agents that went are listed, and their state known. Default 24 h
	Admit     int           // links that may wait for their first update; more are told to come back. Default 1,024
	Retry     time.Duration // mean time after which they come back. Default 2 s
}

func (o *Options) defaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, d := range []struct {
		at    *time.Duration
		value time.Duration
	}{
		{&o.Heartbeat, 5 * time.Second},
		{&o.Report, 10 * time.Second},
		{&o.Patience, 2 * time.Second},
		{&o.WriteWait, 10 * time.Second},
		{&o.HelloWait, 10 * time.Second},
		{&o.Settle, 5 * time.Millisecond},
		{&o.SettleMax, 100 * time.Millisecond},
		{&o.Keep, 24 * time.Hour},
		{&o.Retry, 2 * time.Second},
	} {
		if *d.at <= 0 {
			*d.at = d.value
		}
	}
	if o.Admit <= 0 {
		o.Admit = 1024
	}
	if o.OnReport == nil {
		o.OnReport = func(*Agent, []byte, time.Time) {}
	}
	if o.OnExport == nil {
		o.OnExport = func(*Agent, []control.Service) {}
	}
	if o.OnGone == nil {
		o.OnGone = func(*Agent) {}
	}
	if o.OnState == nil {
		o.OnState = func(*Agent) {}
	}
}
