package motan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// Defaults of motan-go that its configurations count on.
const (
	requestTimeout = 1000 // ms
	backupRatio    = 90   // percentile
	backupBudget   = 15   // %
)

// policy takes how calls are governed.
func (c *converter) policy(p *section) (out yaml.MapSlice) {
	add := func(key string, v any) { out = append(out, yaml.MapItem{Key: key, Value: v}) }
	for _, t := range [...]struct{ theirs, ours string }{{"requestTimeout", "timeout"}, {"connectTimeout", "connect-timeout"}} {
		if n := p.number(t.theirs); n > 0 {
			add(t.ours, duration(n))
		}
	}
	c.balance(p, add)
	c.highAvailability(p, add)
	c.filters(p, add)
	if n := p.number("errorCountThreshold"); n > 0 {
		add("eject", yaml.MapSlice{{Key: "consecutive", Value: n}})
	}
	if n := p.number("keepaliveInterval"); n > 0 {
		add("probe", yaml.MapSlice{{Key: "every", Value: duration(max(n, 100))}})
	}
	c.methods(p)
	for _, k := range []string{
		"clientConnection", "maxClientConnection", "minClientConnection", "connectRetryInterval", "lazyInit", "asyncInitConnection",
		"disableDefaultFilter", "disableGlobalFilter", "dynamicMeta", "weightRefreshPeriodSecond", "proxy", "proxy.host", "export", "check",
	} {
		p.taken[k] = true // how motan-go connects; here connections are few and shared
	}
	if n := p.number("mingzSize"); n > 0 {
		c.note("%s.mingzSize %d: bodies are passed as they are, so it is for callers and servers to compress", p.at, n)
	}
	return out
}

func duration(ms int) string {
	if ms%1000 == 0 {
		return fmt.Sprintf("%ds", ms/1000)
	}
	return fmt.Sprintf("%dms", ms)
}

// longest takes the bounds of what callers may ask for, which are settings.
func (c *converter) longest(p *section, settings yaml.MapSlice) yaml.MapSlice {
	p.taken["minRequestTimeout"] = true // shorter ones are the caller's affair
	timeout := orDefault(p.number("requestTimeout"), requestTimeout)
	if n := p.number("maxRequestTimeout"); n > 0 && n != 2*timeout {
		settings = append(settings, yaml.MapItem{Key: "max-timeout", Value: fmt.Sprintf("%d%%", max(1, 100*n/timeout))})
	}
	return settings
}

func (c *converter) balance(p *section, add func(string, any)) {
	switch lb := p.text("loadbalance"); lb {
	case "", "random":
		add("balance", "random")
	case "roundrobin":
		add("balance", "round-robin")
	case "consistentHashKey":
		add("balance", "hash")
	case "wrr":
		add("balance", "round-robin")
		c.note("%s.loadbalance wrr: weights of nodes are followed by every balance", p.at)
	default:
		c.note("%s.loadbalance %s: p2c is used", p.at, lb)
	}
	for _, k := range p.rest() {
		if strings.HasPrefix(k, "consistentHashKey.") {
			p.taken[k] = true
		}
	}
}

func (c *converter) highAvailability(p *section, add func(string, any)) {
	tries := p.number("retries")
	add("failover", yaml.MapSlice{{Key: "tries", Value: min(tries, 10)}})
	if tries > 0 {
		c.note("%s.retries %d: what was sent is repeated only for methods that settings.idempotent names", p.at, tries)
	}
	ratio, budget, fixed, first := p.number("backupRequestDelayRatio"), p.number("backupRequestMaxRetryRatio"), p.number("backupRequestDelayTime"), p.number("backupRequestInitDelayTime")
	switch ha := p.text("haStrategy"); ha {
	case "", "failover":
	case "backupRequest":
		after := fmt.Sprintf("p%d", orDefault(ratio, backupRatio))
		if fixed > 0 {
			after = duration(fixed)
		}
		add("backup", yaml.MapSlice{{Key: "after", Value: after}, {Key: "budget", Value: fmt.Sprintf("%d%%", orDefault(budget, backupBudget))}})
		if first > 0 {
			c.note("%s.backupRequestInitDelayTime %d: there is no backup before the percentile is known", p.at, first)
		}
		c.note("%s.haStrategy backupRequest: it is for methods that settings.idempotent names", p.at)
	default:
		c.note("%s.haStrategy %s", p.at, ha)
	}
}

func orDefault(n, d int) int {
	if n == 0 {
		return d
	}
	return n
}

// filters takes the filters and their settings.
func (c *converter) filters(p *section, add func(string, any)) {
	list := p.list("filter")
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(list, n) })
	}
	if has("accessLog", "clusterAccessLog") {
		add("access-log", yaml.MapSlice{{Key: "sample", Value: "100%"}, {Key: "errors", Value: true}})
	}
	if has("circuitBreaker", "clusterCircuitBreaker") {
		add("breaker", yaml.MapSlice{
			{Key: "errors", Value: fmt.Sprintf("%d%%", orDefault(p.number("circuitBreaker.errorPercent"), 50))},
			{Key: "min-calls", Value: orDefault(p.number("circuitBreaker.requestThreshold"), 20)},
			{Key: "open", Value: duration(orDefault(p.number("circuitBreaker.sleepWindow"), 5000))},
		})
		for _, k := range []string{"circuitBreaker.maxConcurrent", "circuitBreaker.bizException"} {
			if v := p.text(k); v != "" {
				c.note("%s.%s %s: exceptions of the service never open the breaker, and it has no bound of concurrency", p.at, k, v)
			}
		}
	}
	if has("rateLimit") {
		c.limits(p, add)
	}
	for _, f := range list {
		switch f {
		case "accessLog", "clusterAccessLog", "circuitBreaker", "clusterCircuitBreaker", "rateLimit", "metrics", "clusterMetrics", "failfast":
		case "trace":
			c.note("%s.filter trace: set policy.trace with a collector (otlp)", p.at)
		default:
			c.note("%s.filter %s: own filters are Go packages here as well", p.at, f)
		}
	}
}

func (c *converter) limits(p *section, add func(string, any)) {
	var limits []yaml.MapSlice
	burst := p.number("capacity")
	limit := func(rate int, method string) {
		l := yaml.MapSlice{}
		if method != "" {
			l = append(l, yaml.MapItem{Key: "match", Value: yaml.MapSlice{{Key: "op", Value: method}}})
		}
		l = append(l, yaml.MapItem{Key: "rate", Value: fmt.Sprintf("%d/s", rate)})
		if burst > 0 {
			l = append(l, yaml.MapItem{Key: "burst", Value: burst})
		}
		limits = append(limits, l)
	}
	if n := p.number("rateLimit"); n > 0 {
		limit(n, "")
	}
	for _, k := range p.rest() {
		if method, ok := strings.CutPrefix(k, "rateLimit."); ok {
			limit(p.number(k), method)
		}
	}
	if len(limits) > 0 {
		add("limits", limits)
		c.note("%s.rateLimit: motan-go counts for each endpoint, so its limit was the rate times the number of nodes; here it is the rate, and calls over it are refused at once", p.at)
	}
}

// methods notes what holds for single methods: "hello(int).requestTimeout".
func (c *converter) methods(p *section) {
	for _, k := range p.rest() {
		if strings.Contains(k, ").") {
			p.taken[k] = true
			c.note("%s.%s %v: policies are for resources; limits and commands can match a method (op)", p.at, strconv.Quote(k), p.m[k])
		}
	}
}
