package ratelimit

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

func init() { filter.Register(Definition) }

// Definition describes the filter. Its settings are Policy.Limits and the limit commands.
var Definition = filter.Definition{
	Name:  "ratelimit",
	Order: filter.OrderRateLimit,
	Doc:   "refuses calls over a rate",
	Build: build,
}

// Filter holds the limits of one resource.
type Filter struct {
	limits []limit
	sinks  *filter.Sinks
}

type limit struct {
	selector *resources.Selector
	bucket   *bucket  // of all calls, or with callers of those without a name; counts the refusals of all
	callers  *callers // with per: caller, else nil
	stop     *resources.Stop
	coin     filter.Coin
	sampled  bool // only a share of the calls counts: a command's percent
	observe  bool
	would    *metrics.Counter // with observe
	notice   *filter.Notice   // with observe
	id       identity
	name     string // "limit 2", "command c-7f3a (ana: batch runs wild)"
}

// identity is what makes a limit the same limit in a later compilation.
type identity struct {
	match resources.Match
	rate  resources.Rate
	burst int
	per   string
	nth   int // among limits that are equal in all this
}

func build(env *filter.Env, old resources.Filter) (resources.Filter, error) {
	b := builder{env: env, kept: map[identity]*limit{}, seen: map[identity]int{}}
	if prev, ok := old.(*Filter); ok {
		for i := range prev.limits {
			b.kept[prev.limits[i].id] = &prev.limits[i]
		}
	}
	f := &Filter{sinks: env.Sinks}
	for i, l := range env.Policy.Limits {
		name := fmt.Sprintf("limit %d", i+1)
		what := "over " + l.Limited() + " (" + name
		if !l.Match.IsZero() {
			what += ": " + filter.OneLine(l.Match.String())
		}
		made, err := b.limit(l, name, what+")", 100)
		if err != nil {
			return nil, fmt.Errorf("limits[%d]: %w", i, err)
		}
		f.limits = append(f.limits, made)
	}
	for _, c := range env.CommandsOf(resources.CommandLimit) {
		l := resources.Limit{Match: c.Match, Rate: c.Rate, Burst: c.Burst, Mode: c.Mode, Per: c.Per}
		made, err := b.limit(l, filter.By(&c), "over "+c.Limited()+" by "+filter.By(&c), c.Percent)
		if err != nil {
			return nil, fmt.Errorf("command %s: %w", c.ID, err)
		}
		f.limits = append(f.limits, made)
	}
	if len(f.limits) == 0 {
		return nil, nil
	}
	return f, nil
}

type builder struct {
	env  *filter.Env
	kept map[identity]*limit
	seen map[identity]int
}

// limit compiles one limit; what is the part of the fault's text that says what happened and which rule did it.
func (b *builder) limit(set resources.Limit, name, what string, share resources.Percent) (limit, error) {
	sel, err := set.Match.Compile(b.env.Ops)
	if err != nil {
		return limit{}, err
	}
	if set.Burst <= 0 { // commands may leave it out: a tenth of a second's worth
		set.Burst = max(1, int(set.Rate/10))
	}
	id := identity{match: set.Match, rate: set.Rate, burst: set.Burst, per: set.Per}
	same := id
	id.nth = b.seen[same]
	b.seen[same]++
	var state limit
	if old := b.kept[id]; old != nil {
		state.bucket, state.callers = old.bucket, old.callers
	} else {
		state.bucket = newBucket(set.Rate, set.Burst)
		if set.Per == resources.PerCaller {
			state.callers = newCallers(set.Rate, set.Burst)
		}
	}
	l := limit{
		selector: sel, bucket: state.bucket, callers: state.callers, id: id, name: name, observe: set.Mode == resources.Observe,
		coin: filter.NewCoin(share), sampled: share < 100,
		stop: &resources.Stop{
			Fault:   resources.NewFault(resources.Limited, resources.FromAgent, b.env.Resource, what),
			Outcome: resources.Outcome(resources.Limited),
		},
	}
	if l.observe {
		l.would = b.env.Metrics.Counter("sluice_would_refuse_total", "filter", "ratelimit", "rule", name)
		l.notice = would(b.env.Log, &l, what)
	}
	return l, nil
}

// would says now and then how many calls a limit would have refused if it were enforced.
func would(log *slog.Logger, l *limit, what string) *filter.Notice {
	count, each := l.would, l.callers
	return filter.NewNotice(10*time.Second, func() {
		if log == nil {
			return
		}
		said := []any{"limit", what, "calls", count.Load()}
		if each != nil {
			var most []string
			for _, c := range each.top.list() {
				most = append(most, fmt.Sprintf("%q: %d", c.Caller, c.Refused))
			}
			said = append(said, "callers", strings.Join(most, ", "))
		}
		log.Info("a limit that only observes would have refused calls", said...)
	})
}

// OnCall refuses the call if a limit does.
func (f *Filter) OnCall(c *resources.Call) *resources.Stop {
	var taken, shared uint64 // limits that the call passed, by index, and those by the bucket overflow; those over 63 give nothing back
	var key uint64           // of the caller, once a limit asks for it; 0: it has no name
	var caller string
	var asked bool
	for i := range f.limits {
		l := &f.limits[i]
		if !l.selector.Match(c) || l.sampled && !l.coin.Hit() {
			continue
		}
		if l.callers != nil && !asked {
			if caller, asked = c.Session.Identity().Caller, true; caller != "" {
				key = keyOf(caller)
			}
		}
		passed, own := false, true
		if l.callers == nil || key == 0 {
			passed = l.bucket.take(c.Start)
		} else if passed, own = l.callers.take(l.bucket, key, c.Start); !own {
			shared |= 1 << i
		}
		if passed {
			taken |= 1 << i
			continue
		}
		l.bucket.refused.Add(1)
		if l.callers != nil {
			l.callers.top.add(key, caller)
		}
		if l.observe {
			l.would.Add(1)
			f.sinks.Post(l.notice, c.Start)
			continue
		}
		for j := 0; taken != 0; j, taken = j+1, taken>>1 {
			if taken&1 != 0 {
				f.limits[j].giveBack(key, shared>>j&1 != 0)
			}
		}
		return l.stop
	}
	return nil
}

// giveBack undoes what let the call pass: in the caller's own bucket, in overflow if that was shared, or in that of all.
func (l *limit) giveBack(key uint64, shared bool) {
	switch {
	case l.callers == nil || key == 0:
		l.bucket.giveBack()
	case shared:
		l.callers.overflow.giveBack()
	default:
		l.callers.giveBack(l.bucket, key)
	}
}

// OnDone does nothing: a call counts when it begins.
func (f *Filter) OnDone(*resources.Call) {}

// LimitStatus is one limit as the admin shows it.
type LimitStatus struct {
	Rule    string `json:"rule"`
	Match   string `json:"match,omitempty"`
	Rate    string `json:"rate"`
	Burst   int    `json:"burst"`
	Per     string `json:"per,omitempty"`
	Mode    string `json:"mode"`
	Refused int64  `json:"refused"` // or, with mode observe, would have been
	// Callers are those who were refused most, at most ten; with per: caller.
	Callers []CallerStatus `json:"callers,omitempty"`
}

// Status returns the limits with their counts, as []LimitStatus.
func (f *Filter) Status() any {
	out := make([]LimitStatus, len(f.limits))
	for i := range f.limits {
		l := &f.limits[i]
		out[i] = LimitStatus{
			Rule: l.name, Match: l.id.match.String(), Rate: l.id.rate.String(), Burst: l.id.burst,
			Per: l.id.per, Mode: resources.Enforce, Refused: l.bucket.refused.Load(),
		}
		if l.callers != nil {
			out[i].Callers = l.callers.top.list()
		}
		if l.observe {
			out[i].Mode = resources.Observe
		}
	}
	return out
}
