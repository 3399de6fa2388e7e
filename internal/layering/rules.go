package layering

// maxLines is where a file stops being of one concern. Most are under 500.
const maxLines = 600

// minDoc is the least number of characters of a package comment. Shorter ones only repeat the name.
const minDoc = 120

// call forbids calls of a function outside of commands and tests.
type call struct {
	// Func is the import path and the name: os.Exit.
	Func string
	// In and Except are patterns as in an edge.
	In, Except string
	Reason     string
}

var forbiddenCalls = []call{
	{Func: "os.Exit", In: "...", Except: commands, Reason: "only a command ends the process: everything else returns its error and lets its owners clean up"},
	{Func: "log/slog.SetDefault", In: "...", Except: commands, Reason: "the logger is handed down; a global one cannot be told apart by resource"},
	{Func: "time.Sleep", In: "agent/... resources/... protocols/... metrics/... internal/...", Except: commands + " internal/cli/... agent/admin/admintest/...",
		Reason: "a sleep has no owner that can end it: wait on a timer and a context together"},
	{Func: "time.After", In: "protocols/... resources/... agent/filter/... internal/loop/...", Except: "agent/filter/conformance/...",
		Reason: "a timer for each call is an allocation and a wake-up for each call: the loops' timers and deadlines serve"},
	{Func: "time.Now", In: "protocols/... agent/filter/breaker/... agent/filter/ratelimit/... agent/filter/acl/... agent/filter/metrics/... agent/filter/switcher/... agent/filter/fault/... agent/filter/mock/... agent/balance/... internal/loop/...",
		Reason: "the hot path reads the clock once for a batch, through internal/clock; filters take the time from their Call"},
	{Func: "context.WithTimeout", In: "agent/filter/... agent/balance/... internal/loop/... protocols/...",
		Reason: "it allocates and starts a timer: deadlines on the hot path are numbers in the Call"},
	{Func: "runtime.GC", In: "...", Except: commands + " testenv/...", Reason: "the collector is tuned, if at all, by the command"},
}

// hot names files whose code runs between a request's bytes and its reply. What belongs to compiling, settings or status
// lies in other files of the same package.
type hot struct {
	Package string
	// Files are names inside the package, or `*` for all of them but doc.go and tests.
	Files string
}

// hotBanned are the packages that hot files keep away from.
const hotBanned = "ext:fmt ext:reflect ext:regexp ext:encoding/json ext:text/... ext:log/slog ext:container/list"

const hotReason = "it allocates or is slow: build texts, patterns and errors when a spec is compiled, in another file of the package"

var hotFiles = []hot{
	{"internal/clock", "*"},
	{"internal/loop", "*"},
	{"protocols/resp", "*"},
	{"protocols/http1", "*"},
	{"resources/http", "call.go clock.go conn.go request.go dispatch.go pool.go upstream.go answer.go view.go"},
	{"metrics", "cell.go histogram.go"},
	{"resources", "call.go session.go fault.go"},
	{"resources/redis", "call.go dispatch.go keys.go session.go shard.go upstream.go"},
	{"agent/balance", "node.go roundrobin.go ketama.go"},
	{"agent/ha", "law.go budget.go"},
	{"agent/runtime", "call.go route.go"},
	{"agent/filter/accesslog", "*"},
	{"agent/filter/breaker", "window.go"},
	{"agent/filter/fault", "*"},
	{"agent/filter/metrics", "*"},
	{"agent/filter/mock", "*"},
	{"agent/filter/ratelimit", "bucket.go"},
	{"agent/filter/switcher", "*"},
	{"agent/filter/tap", "*"},
	{"agent/filter/trace", "*"},
}

// variable allows a package-level variable to change after start, which is otherwise forbidden.
type variable struct {
	Name   string // as in resources.drivers, with the path inside the module
	Reason string
}

var mutable = []variable{
	{"resources.drivers", "the registry of kinds, filled by init functions of the drivers that a command links"},
	{"agent/filter.registry", "the registry of filters, filled by init functions of the filters that a command links"},
	{"agent/balance.registry", "the registry of balances of one's own, filled likewise"},
	{"agent/ha.registry", "the registry of strategies of one's own, filled likewise"},
	{"protocols/serial.registered", "the registry of serializations of one's own, filled likewise"},
	{"resources.registries", "the kinds of registries that a spec may name, filled likewise"},
	{"agent/discovery.openers", "how the sources of these kinds are opened, filled by init functions of the sources that a command links"},
}
