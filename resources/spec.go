package resources

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
)

// Spec is a resource as an operator declares it: the same in the agent's file, over HTTP, in the centre and in its UI.
//
// The struct tags of Spec and of the drivers' settings are both the checks and the generated reference:
//
//	doc       what the field does
//	default   its default, for the reference; the code that fills it in is Fill, SetDefaults or the driver
//	bounds    what is allowed, checked by the parser: "1ms to 1h" (a range, in the field's own notation), "text, json"
//	          (one of these), "any of read, write" (some of these, separated by commas, * for any run of characters).
//	          After a semicolon may follow one more value and its meaning: "1ms to 1h; 0 means none".
//	required  "true": leaving the field out is an error
//	reload    live: at once; drain: the resource is re-opened and its sessions end at their boundaries; restart: with
//	          the process
//
// Two methods take part. SetDefaults() runs on a value that the parser made (a list's element, a section that was not
// there) before it is decoded, so that a 0 that is written stays 0. ValidateConfig() error runs on a decoded value;
// with [At] its error points at the field.
type Spec struct {
	Name        string            `yaml:"-" json:"name"`
	Kind        string            `yaml:"kind" json:"kind" doc:"what the resource speaks" required:"true" reload:"drain"`
	Labels      map[string]string `yaml:"labels,omitempty" json:"labels,omitempty" doc:"what the resource is about, for selecting: team: feed, tier: cache" reload:"live"`
	Listen      Addresses         `yaml:"listen" json:"listen" doc:"where applications connect: host:port, unix:/path, or a list of them" required:"true" reload:"drain"`
	Accept      *Accept           `yaml:"accept,omitempty" json:"accept,omitempty" doc:"other protocols in which the resource can be called" reload:"live"`
	Groups      map[string]Group  `yaml:"groups" json:"groups" doc:"pools of endpoints by name, usually one for each data centre" required:"true" reload:"live"`
	Settings    map[string]any    `yaml:"settings,omitempty" json:"settings,omitempty" doc:"of the kind; see its own table" reload:"drain"`
	Policy      Policy            `yaml:"policy,omitempty" json:"policy" doc:"how calls are governed" reload:"live"`
	TLS         *ServerTLS        `yaml:"tls,omitempty" json:"tls,omitempty" doc:"TLS towards applications" reload:"drain"`
	UpstreamTLS *ClientTLS        `yaml:"upstream-tls,omitempty" json:"upstream-tls,omitempty" doc:"TLS towards endpoints" reload:"drain"`
}

// GroupNames returns the names of the groups, sorted.
func (s *Spec) GroupNames() []string {
	names := make([]string, 0, len(s.Groups))
	for n := range s.Groups {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// Group is a pool of endpoints that traffic is switched to or away from as a whole.
type Group struct {
	IDC       string         `yaml:"idc,omitempty" json:"idc,omitempty" doc:"data centre of the group; default: the group's name" reload:"live"`
	Weight    *int           `yaml:"weight,omitempty" json:"weight,omitempty" doc:"share of the traffic, relative to the other groups" default:"100" bounds:"0 to 10000" reload:"live"`
	Registry  string         `yaml:"registry,omitempty" json:"registry,omitempty" doc:"where the endpoints are found: zookeeper://host:port,host:port, consul://host:port or etcd://host:port; then endpoints may be left out, and those that are written are called until the registry has answered" reload:"live"`
	Endpoints []EndpointSpec `yaml:"endpoints" json:"endpoints" doc:"addresses, each host:port or unix:/path, or {address, role, weight}; required without registry" reload:"live"`
	// Borrowed says that the group is no part of the declaration: a command needs it. Callers cannot ask for it.
	Borrowed bool `yaml:"-" json:"-"`
}

// Share returns the group's weight, 100 when none is written.
func (g Group) Share() int {
	if g.Weight == nil {
		return DefaultWeight
	}
	return *g.Weight
}

// Weights of groups and endpoints.
const (
	DefaultWeight = 100
	MaxWeight     = 10000
)

// ValidateConfig checks where the endpoints come from.
func (g *Group) ValidateConfig() error {
	if g.Registry == "" {
		return nil
	}
	if err := CheckRegistry(g.Registry); err != nil {
		return At("registry", err)
	}
	return nil
}

// EndpointSpec is one address of a group.
type EndpointSpec struct {
	Address string `yaml:"address" json:"address" doc:"host:port or unix:/path" required:"true" reload:"live"`
	Role    string `yaml:"role,omitempty" json:"role,omitempty" doc:"primary, replica or any; kinds whose servers tell their role correct it" default:"any" bounds:"primary, replica, any" reload:"live"`
	Weight  *int   `yaml:"weight,omitempty" json:"weight,omitempty" doc:"share of the group's traffic" default:"100" bounds:"0 to 10000" reload:"live"`
}

// Share returns the endpoint's weight, 100 when none is written.
func (e EndpointSpec) Share() int {
	if e.Weight == nil {
		return DefaultWeight
	}
	return *e.Weight
}

// ServerTLS is TLS towards applications.
type ServerTLS struct {
	Cert     string `yaml:"cert" json:"cert" doc:"PEM file of the certificate chain" required:"true" reload:"drain"`
	Key      string `yaml:"key" json:"key" doc:"PEM file of its private key" required:"true" reload:"drain"`
	ClientCA string `yaml:"client-ca,omitempty" json:"client-ca,omitempty" doc:"PEM file of the authorities whose client certificates are required; empty: none is asked for" reload:"drain"`
}

// ClientTLS is TLS towards endpoints. The server's name is always verified unless Insecure says otherwise.
type ClientTLS struct {
	CA         string `yaml:"ca,omitempty" json:"ca,omitempty" doc:"PEM file of trusted authorities; empty: the system's" reload:"drain"`
	ServerName string `yaml:"server-name,omitempty" json:"server-name,omitempty" doc:"name that the certificate must carry; empty: the host of the address" reload:"drain"`
	Cert       string `yaml:"cert,omitempty" json:"cert,omitempty" doc:"PEM file of our certificate" reload:"drain"`
	Key        string `yaml:"key,omitempty" json:"key,omitempty" doc:"PEM file of its private key" reload:"drain"`
	Insecure   bool   `yaml:"insecure,omitempty" json:"insecure,omitempty" doc:"accept any certificate; for tests only" default:"false" reload:"drain"`
}

// Policy is how the calls of a resource are governed. A section that is nil is off.
type Policy struct {
	filled bool // Fill ran: what is 0 now was written as 0

	Timeout        Duration       `yaml:"timeout,omitempty" json:"timeout" doc:"longest time from reading a request to its answer; the kind sets the default" default:"1s" bounds:"1ms to 1h; 0 means none" reload:"live"`
	ConnectTimeout Duration       `yaml:"connect-timeout,omitempty" json:"connect-timeout" doc:"longest time to connect to an endpoint" default:"1s" bounds:"1ms to 1m" reload:"live"`
	IdleTimeout    Duration       `yaml:"idle-timeout,omitempty" json:"idle-timeout" doc:"close a client that is silent this long" default:"1h" bounds:"1s to 24h" reload:"live"`
	MaxSessions    int            `yaml:"max-sessions,omitempty" json:"max-sessions" doc:"most client connections at once; more are refused in the protocol's own words" default:"20000" bounds:"1 to 1000000" reload:"live"`
	Balance        string         `yaml:"balance,omitempty" json:"balance" doc:"how an endpoint of a group is chosen: p2c takes the better of two random ones by latency and load" default:"p2c" bounds:"random, round-robin, p2c, hash" reload:"live"`
	Reads          string         `yaml:"reads,omitempty" json:"reads" doc:"where reads go; nearest prefers groups in agent.idc. Kinds whose servers are all alike (motan2, http, grpc) have no primary: for them nearest holds for every call, and the others for none" default:"primary" bounds:"primary, replica, prefer-replica, nearest" reload:"live"`
	Failover       Failover       `yaml:"failover,omitempty" json:"failover" doc:"what is tried after a failure, where it is safe" reload:"live"`
	Backup         *Backup        `yaml:"backup,omitempty" json:"backup,omitempty" doc:"send a slow read a second time elsewhere; the first answer wins" reload:"live"`
	Breaker        *Breaker       `yaml:"breaker,omitempty" json:"breaker,omitempty" doc:"stop calling operations that fail or crawl" reload:"live"`
	Eject          Eject          `yaml:"eject,omitempty" json:"eject" doc:"take endpoints that fail out of the balance for a while" reload:"live"`
	Probe          ProbePolicy    `yaml:"probe,omitempty" json:"probe" doc:"active health checks" reload:"live"`
	SlowStart      Duration       `yaml:"slow-start,omitempty" json:"slow-start" doc:"an endpoint that returns gets its full share only after this time" default:"10s" bounds:"0 to 10m" reload:"live"`
	Limits         []Limit        `yaml:"limits,omitempty" json:"limits,omitempty" doc:"rate limits; a call must pass all that match it" reload:"live"`
	ACL            *ACL           `yaml:"acl,omitempty" json:"acl,omitempty" doc:"which calls are allowed at all" reload:"live"`
	AccessLog      *AccessLog     `yaml:"access-log,omitempty" json:"access-log,omitempty" doc:"a line for each call, sampled" reload:"live"`
	Trace          *Trace         `yaml:"trace,omitempty" json:"trace,omitempty" doc:"sampled spans by OTLP/HTTP" reload:"live"`
	SlowerThan     Duration       `yaml:"slower-than,omitempty" json:"slower-than" doc:"a call that takes longer counts as slow" default:"50ms" bounds:"1us to 1h" reload:"live"`
	Filters        map[string]any `yaml:"filters,omitempty" json:"filters,omitempty" doc:"settings of own filters by name" reload:"live"`
	Dials          DialPolicy     `yaml:"dials,omitempty" json:"dials" doc:"caps on new connections to one endpoint" reload:"live"`
}

// Failover says what happens after a failure. Retries are bounded by the law of retries (docs/architecture.md): what may
// have been executed is repeated only if it is a read.
type Failover struct {
	Tries  int     `yaml:"tries,omitempty" json:"tries" doc:"most extra attempts for one call, and four more while nothing of it was sent; -1 switches failover off" default:"2" bounds:"-1 to 5" reload:"live"`
	Budget Percent `yaml:"budget,omitempty" json:"budget" doc:"most extra attempts as a share of recent calls; one that goes elsewhere after nothing was sent does not count" default:"15%" bounds:"0% to 100%" reload:"live"`
	Reads  *bool   `yaml:"reads,omitempty" json:"reads,omitempty" doc:"repeat reads that were sent and not answered" default:"true" reload:"live"`
	// Strategy is the name of one that the program registers.
	Strategy string `yaml:"strategy,omitempty" json:"strategy,omitempty" doc:"who decides whether to try again what may be tried again: failover, the default, always does, and a program may register others" bounds:"failover" reload:"live"`
}

// RepeatReads reports whether reads that were sent may be repeated.
func (f Failover) RepeatReads() bool { return f.Reads == nil || *f.Reads }

// Backup is the backup request, also called hedging.
type Backup struct {
	After  string  `yaml:"after" json:"after" doc:"send it after this time: a duration, or p50, p75, p90, p95 or p99 of the operation's recent latency" default:"p95" reload:"live"`
	Budget Percent `yaml:"budget,omitempty" json:"budget" doc:"most backup requests as a share of recent calls" default:"5%" bounds:"0% to 100%" reload:"live"`
}

// Modes of a rule.
const (
	Enforce = "enforce"
	Observe = "observe"
)

// Breaker is a circuit breaker for each operation.
type Breaker struct {
	Errors     Percent  `yaml:"errors,omitempty" json:"errors" doc:"open when this share of the window's calls failed" default:"50%" bounds:"1% to 100%" reload:"live"`
	Slow       Percent  `yaml:"slow,omitempty" json:"slow" doc:"open when this share was slower than slower-than; 0 means never" default:"0%" bounds:"0% to 100%" reload:"live"`
	SlowerThan Duration `yaml:"slower-than,omitempty" json:"slower-than" doc:"what counts as slow here" default:"100ms" bounds:"1us to 1h" reload:"live"`
	Window     Duration `yaml:"window,omitempty" json:"window" doc:"calls of this last time are counted" default:"10s" bounds:"1s to 5m" reload:"live"`
	MinCalls   int      `yaml:"min-calls,omitempty" json:"min-calls" doc:"stay closed below this many calls in the window" default:"20" bounds:"1 to 1000000" reload:"live"`
	Open       Duration `yaml:"open,omitempty" json:"open" doc:"stay open this long, then let single calls through" default:"5s" bounds:"100ms to 10m" reload:"live"`
	Mode       string   `yaml:"mode,omitempty" json:"mode" doc:"observe counts and logs what enforce would have refused" default:"enforce" bounds:"enforce, observe" reload:"live"`
}

// Eject is passive ejection (outlier detection). At most half of a group is ejected by default, computed after
// ejecting, and never the last endpoint.
type Eject struct {
	Consecutive int      `yaml:"consecutive,omitempty" json:"consecutive" doc:"failures in a row; -1 switches this rule off" default:"5" bounds:"-1 to 1000" reload:"live"`
	Errors      Percent  `yaml:"errors,omitempty" json:"errors" doc:"share of failures in the window, from 10 calls on" default:"50%" bounds:"1% to 100%" reload:"live"`
	Window      Duration `yaml:"window,omitempty" json:"window" doc:"calls of this last time are counted" default:"10s" bounds:"1s to 5m" reload:"live"`
	Base        Duration `yaml:"base,omitempty" json:"base" doc:"first ejection; doubles each time" default:"5s" bounds:"100ms to 1h" reload:"live"`
	Max         Duration `yaml:"max,omitempty" json:"max" doc:"longest ejection" default:"5m" bounds:"1s to 24h" reload:"live"`
	AtMost      Percent  `yaml:"at-most,omitempty" json:"at-most" doc:"share of a group that may be ejected at once" default:"50%" bounds:"0% to 100%" reload:"live"`
}

// ProbePolicy says how endpoints are checked.
type ProbePolicy struct {
	Every   Duration `yaml:"every,omitempty" json:"every" doc:"time between checks of one endpoint, with jitter" default:"2s" bounds:"100ms to 10m" reload:"live"`
	Timeout Duration `yaml:"timeout,omitempty" json:"timeout" doc:"longest time of one check" default:"1s" bounds:"10ms to 1m" reload:"live"`
	Fall    int      `yaml:"fall,omitempty" json:"fall" doc:"failed checks in a row until an endpoint is down" default:"2" bounds:"1 to 100" reload:"live"`
	Rise    int      `yaml:"rise,omitempty" json:"rise" doc:"good checks in a row until it is up again" default:"1" bounds:"1 to 100" reload:"live"`
}

// DialPolicy caps new connections to one endpoint, so that reconnecting clients do not become a herd.
type DialPolicy struct {
	Rate       Rate `yaml:"rate,omitempty" json:"rate" doc:"most new connections to one endpoint" default:"200/s" bounds:"1/s to 100000/s" reload:"live"`
	Concurrent int  `yaml:"concurrent,omitempty" json:"concurrent" doc:"most unfinished ones at once" default:"64" bounds:"1 to 10000" reload:"live"`
}

// PerCaller is the value of Limit.Per that gives each caller the rate to itself; "" shares it among all calls.
const PerCaller = "caller"

// Limit is one rate limit.
type Limit struct {
	Match Match  `yaml:"match,omitempty" json:"match" doc:"which calls; none: all" reload:"live"`
	Rate  Rate   `yaml:"rate" json:"rate" doc:"calls that may pass; 0/s refuses all" bounds:"0/s to 100000000/s" required:"true" reload:"live"`
	Per   string `yaml:"per,omitempty" json:"per,omitempty" doc:"caller: each caller has this rate and burst to itself, those without a name share one; default: all calls share them" bounds:"caller" reload:"live"`
	Burst int    `yaml:"burst,omitempty" json:"burst" doc:"calls that may pass at once; default: a tenth of a second's worth, at least 1" bounds:"0 to 1000000" reload:"live"`
	Mode  string `yaml:"mode,omitempty" json:"mode" doc:"observe counts and logs what enforce would have refused" default:"enforce" bounds:"enforce, observe" reload:"live"`
}

// ACL allows and denies calls. Deny wins. With an allow list, what it does not name is denied.
type ACL struct {
	Allow []Match `yaml:"allow,omitempty" json:"allow,omitempty" doc:"calls that are allowed; empty: all" reload:"live"`
	Deny  []Match `yaml:"deny,omitempty" json:"deny,omitempty" doc:"calls that are denied" reload:"live"`
}

// AccessLog writes calls as lines. It never delays a call: what cannot be written is counted.
type AccessLog struct {
	Sample     Percent  `yaml:"sample,omitempty" json:"sample" doc:"share of ordinary calls" default:"0%" bounds:"0% to 100%" reload:"live"`
	SlowerThan Duration `yaml:"slower-than,omitempty" json:"slower-than" doc:"always log calls slower than this" default:"50ms" bounds:"1us to 1h" reload:"live"`
	Errors     *bool    `yaml:"errors,omitempty" json:"errors,omitempty" doc:"always log calls that did not end ok" default:"true" reload:"live"`
	Path       string   `yaml:"path,omitempty" json:"path" doc:"stdout, stderr or a file, which is reopened on SIGHUP" default:"stdout" reload:"live"`
	Format     string   `yaml:"format,omitempty" json:"format" doc:"how a line looks" default:"text" bounds:"text, json" reload:"live"`
}

// Trace samples spans.
type Trace struct {
	Sample Percent `yaml:"sample,omitempty" json:"sample" doc:"share of calls that start a trace; calls that carry a sampled context are always traced" default:"0.1%" bounds:"0% to 100%" reload:"live"`
	OTLP   string  `yaml:"otlp,omitempty" json:"otlp" doc:"URL of an OTLP/HTTP collector, such as http://127.0.0.1:4318; empty: spans are not sent" reload:"live"`
}

// Wait splits After: a quantile of the operation's recent latency (0.95 for "p95"), or a fixed time. One of the two is 0.
func (b *Backup) Wait() (quantile float64, fixed Duration, err error) {
	switch b.After {
	case "p50":
		return 0.50, 0, nil
	case "p75":
		return 0.75, 0, nil
	case "p90":
		return 0.90, 0, nil
	case "p95":
		return 0.95, 0, nil
	case "p99":
		return 0.99, 0, nil
	}
	if err := fixed.UnmarshalText([]byte(b.After)); err != nil || fixed <= 0 {
		return 0, 0, fmt.Errorf("%q is neither a quantile nor a time: write p50, p75, p90, p95, p99 or a duration such as 20ms", b.After)
	}
	return 0, fixed, nil
}

// ValidateConfig checks what a tag cannot say.
func (b *Backup) ValidateConfig() error {
	_, _, err := b.Wait()
	return At("after", err)
}

// ValidateConfig checks that the longest ejection is not shorter than the first.
func (e *Eject) ValidateConfig() error {
	if e.Max < e.Base {
		return At("max", fmt.Errorf("%s is shorter than base, %s: the longest ejection cannot be shorter than the first", e.Max, e.Base))
	}
	return nil
}

// PolicyDefaulter is an optional capability of a [Driver]: the defaults of its kind where they differ from the common
// ones. It gets an empty policy before Fill runs. Without it Timeout is 1 s.
type PolicyDefaulter interface {
	PolicyDefaults(*Policy)
}

// PolicyChecker is an optional capability of [Settings]: what of a policy does not go with them. The error may name a field
// of the policy with [At].
type PolicyChecker interface {
	CheckPolicy(*Policy) error
}

// SettingsDocer is an optional capability of a [Driver]: a pointer to its settings struct, filled with defaults, whose
// tags become the kind's part of the reference.
type SettingsDocer interface {
	SettingsDoc() any
}

// Addresses is a list of addresses that may be written as a single one.
type Addresses []string

// UnmarshalYAML reads one address or a list of them.
func (a *Addresses) UnmarshalYAML(decode func(any) error) error {
	var form any
	if err := decode(&form); err != nil {
		return err
	}
	if _, isList := form.([]any); isList {
		var list []string
		err := decode(&list)
		*a = list
		return err
	}
	var one string
	err := decode(&one)
	*a = Addresses{one}
	return err
}

// UnmarshalJSON reads one address or a list of them.
func (a *Addresses) UnmarshalJSON(b []byte) error {
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '"' {
		var one string
		err := json.Unmarshal(b, &one)
		*a = Addresses{one}
		return err
	}
	var list []string
	if err := json.Unmarshal(b, &list); err != nil {
		return fmt.Errorf("addresses: want a text or a list of texts: %w", err)
	}
	*a = list
	return nil
}

// endpointFields is EndpointSpec without its methods.
type endpointFields EndpointSpec

// UnmarshalYAML reads an address, or {address, role, weight}.
func (e *EndpointSpec) UnmarshalYAML(decode func(any) error) error {
	var form any
	if err := decode(&form); err != nil {
		return err
	}
	if _, isMap := form.(map[string]any); isMap {
		return decode((*endpointFields)(e))
	}
	*e = EndpointSpec{}
	return decode(&e.Address)
}

// UnmarshalJSON reads an address, or {address, role, weight}. Other keys are errors.
func (e *EndpointSpec) UnmarshalJSON(b []byte) error {
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '"' {
		*e = EndpointSpec{}
		return json.Unmarshal(b, &e.Address)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode((*endpointFields)(e)); err != nil {
		return fmt.Errorf("endpoint: want an address or {address, role, weight}: %w", err)
	}
	return nil
}

// FieldError is an error of one field, named by its path below the value that was checked, such as `users[0].name`.
type FieldError struct {
	Path string
	Err  error
}

func (e *FieldError) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns the error without its path.
func (e *FieldError) Unwrap() error { return e.Err }

// At says which field err is about, so that config can report it with line and column. Drivers use it in Settings,
// filters in ValidateConfig; several errors are joined with errors.Join. A nil err gives nil.
func At(path string, err error) error {
	if err == nil {
		return nil
	}
	return &FieldError{Path: path, Err: err}
}

// DefaultPolicy returns the policy of a resource that declares none. The kind sets its own Timeout.
func DefaultPolicy() Policy {
	var p Policy
	p.Fill()
	return p
}

// Fill puts defaults where nothing is written. Timeout stays 0 when it is 0: only the driver knows its kind's default.
//
// A policy is filled once: a second Fill keeps every 0 of the fields that the first one filled, so that config can fill
// first, decode what is written over it, and a 0 on purpose ("no extra tries") survives whoever fills again.
func (p *Policy) Fill() {
	if !p.filled {
		p.filled = true
		p.fillTop()
		fill(p.Backup)
		fill(p.Breaker)
		fill(p.AccessLog)
		fill(p.Trace)
		for i := range p.Limits {
			p.Limits[i].SetDefaults()
		}
	}
	for i := range p.Limits {
		if l := &p.Limits[i]; l.Burst == 0 && l.Rate > 0 {
			l.Burst = max(1, int(l.Rate/10))
		}
	}
	if a := p.AccessLog; a != nil && a.Errors == nil {
		yes := true
		a.Errors = &yes
	}
}

func fill[T any, P interface {
	*T
	SetDefaults()
}](section P) {
	if section != nil {
		section.SetDefaults()
	}
}

func (p *Policy) fillTop() {
	def(&p.ConnectTimeout, Duration(DefaultConnectTimeout))
	def(&p.IdleTimeout, hours(1))
	def(&p.MaxSessions, 20000)
	def(&p.Balance, "p2c")
	def(&p.Reads, "primary")
	def(&p.Failover.Tries, 2)
	def(&p.Failover.Budget, 15)
	def(&p.Eject.Consecutive, 5)
	def(&p.Eject.Errors, 50)
	def(&p.Eject.Window, seconds(10))
	def(&p.Eject.Base, seconds(5))
	def(&p.Eject.Max, seconds(300))
	def(&p.Eject.AtMost, 50)
	def(&p.Probe.Every, seconds(2))
	def(&p.Probe.Timeout, seconds(1))
	def(&p.Probe.Fall, 2)
	def(&p.Probe.Rise, 1)
	def(&p.SlowStart, seconds(10))
	def(&p.SlowerThan, millis(50))
	def(&p.Dials.Rate, 200)
	def(&p.Dials.Concurrent, 64)
}

// SetDefaults fills what is 0.
func (b *Backup) SetDefaults() {
	def(&b.After, "p95")
	def(&b.Budget, 5)
}

// SetDefaults fills what is 0.
func (b *Breaker) SetDefaults() {
	def(&b.Errors, 50)
	def(&b.SlowerThan, millis(100))
	def(&b.Window, seconds(10))
	def(&b.MinCalls, 20)
	def(&b.Open, seconds(5))
	def(&b.Mode, Enforce)
}

// SetDefaults fills what is empty. Burst follows the rate, so Policy.Fill sets it once the rate is known.
func (l *Limit) SetDefaults() { def(&l.Mode, Enforce) }

// SetDefaults fills what is 0.
func (a *AccessLog) SetDefaults() {
	def(&a.SlowerThan, millis(50))
	def(&a.Path, "stdout")
	def(&a.Format, "text")
}

// SetDefaults fills what is 0.
func (t *Trace) SetDefaults() { def(&t.Sample, 0.1) }

func def[T comparable](at *T, value T) {
	var zero T
	if *at == zero {
		*at = value
	}
}

func hours(n int) Duration   { return seconds(n * 3600) }
func seconds(n int) Duration { return millis(n * 1000) }
func millis(n int) Duration  { return Duration(n) * 1e6 }
