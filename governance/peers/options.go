package peers

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/governance/store"
)

// Options of Peers. Those without a default must be set.
type Options struct {
	Store   store.Store
	TLS     *tls.Config // towards other centres, with the certificate of this one
	Me      string      // name of this centre, which no other has
	Address string      // host:port, by which the others reach this one
	File    string      // where it is kept from one process to the next what was heard of the others
	Log     *slog.Logger

	// Alive asks the store whether a centre lives.
	Alive func(ctx context.Context, center string) (bool, error)
	// OnAgents is called when agents of other centres are others than before, with their names, and may be called from any goroutine.
	OnAgents func(names []string)
	// OnReport takes a report of an agent of another centre, which came there at a time by this centre's clock. Slots of the history that
	// begin before since may have it already. The payload is valid during the call.
	OnReport func(a fleet.Agent, payload []byte, at, since time.Time)
	// OnMissing says that reports of a time did not come and will not.
	OnMissing func(from, to time.Time)
	// Answer answers a question of another centre to this one. Path and body are as that sent them.
	Answer func(ctx context.Context, path string, body []byte) ([]byte, error)
	// Kept is until when this centre has a history from before it was started; zero: it has none.
	Kept time.Time

	MaxLog int           // bytes of reports that are kept for followers. Default 64 MiB
	Keep   time.Duration // and no longer than this. Default 30 min
	Beat   time.Duration // between two signs of life. Default 1 s
	Quiet  time.Duration // without one, after which a link is given up. Default 5 s
	Stall  time.Duration // in which a follower must take 64 KiB. Default 10 s
	Look   time.Duration // between two questions whether the others live. Default 1 s
	Forget time.Duration // after which a centre that is gone is not looked for any more. Default 24 h
}

func (o *Options) fill() {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.OnAgents == nil {
		o.OnAgents = func([]string) {}
	}
	if o.OnMissing == nil {
		o.OnMissing = func(_, _ time.Time) {}
	}
	o.MaxLog = cmp.Or(o.MaxLog, 64<<20)
	o.Keep = cmp.Or(o.Keep, 30*time.Minute)
	o.Beat = cmp.Or(o.Beat, time.Second)
	o.Quiet = cmp.Or(o.Quiet, 5*time.Second)
	o.Stall = cmp.Or(o.Stall, 10*time.Second)
	o.Look = cmp.Or(o.Look, time.Second)
	o.Forget = cmp.Or(o.Forget, 24*time.Hour)
}
