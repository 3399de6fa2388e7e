package layering

import "strings"

// Module is the path before every package of ours.
const Module = "github.com/sluice-mesh/sluice"

// edge forbids that a package which matches From imports one that matches To, unless it also matches Except.
//
// Patterns are paths inside the module (`agent`), whole subtrees (`agent/...`: the package and all below it), one level
// with a wildcard (`resources/*`), or, after `ext:`, a package from outside: the standard library's or another module's.
// Several patterns are separated by spaces.
type edge struct {
	From, To string
	// Siblings forbids only edges between different rooms of the same floor: From and To start with the same directories,
	// of which there are this many, and the next one differs.
	Siblings int
	// Except lists packages that From names and that may do it all the same; their reason belongs into Reason.
	Except string
	// Direct checks only what the package itself imports. Without it everything it is built from is checked, so that no
	// edge is hidden behind another package. Rows about the standard library are direct, or they would forbid everything.
	Direct bool
	Reason string
}

const (
	// commands are the programs: they may know everything.
	commands = "cmd/... testenv/demo/... testenv/bench/... internal/tools/..."
	// kinds are the drivers; the contract, resources itself, is not among them.
	kinds = "resources/*/..."
)

var edges = []edge{
	// The order of the rooms.
	{
		From: "internal/...", Except: "internal/tools/... internal/cli/...",
		To:     "protocols/... metrics/... resources/... agent/... governance/... testenv/... cmd/...",
		Reason: "internal is the ground floor: what everybody may use must not need anybody. The verbs' client (internal/cli) is the upper half of cmd and only lives here so that others cannot import it",
	},
	{
		From: "...", Except: "cmd/... internal/cli/...", To: "internal/cli/...",
		Reason: "internal/cli draws tables for people: only the command needs it",
	},
	{
		From: "protocols/...", To: "metrics/... resources/... agent/... governance/... testenv/... cmd/...",
		Reason: "codecs are bytes in, bytes out: they must be fuzzable and reusable alone",
	},
	{
		From: "metrics/...", To: "protocols/... resources/... agent/... governance/... testenv/... cmd/...",
		Reason: "metrics are counted by everybody and know nobody",
	},
	{
		From: "metrics", To: "metrics/*/...",
		Reason: "sinks read the metrics; counting must not depend on who reads",
	},
	{
		From: "resources", To: "protocols/... metrics/... resources/*/... agent/... governance/... testenv/... cmd/...",
		Reason: "the contract is what all rooms share: it speaks of no kind, no plane and no sink",
	},
	{
		From: "resources/...", To: "config/...",
		Reason: "drivers say what their settings are by tags; who reads files is not their business",
	},
	{
		From: kinds, To: "agent/...",
		Reason: "a driver runs under any runtime: its tests use a fake one of sixty lines",
	},
	{
		From: kinds, To: "governance/... cmd/...",
		Reason: "a driver is told what to do by its runtime and knows no control plane",
	},
	{
		From: kinds, To: kinds, Siblings: 1,
		Reason: "a kind never knows another; what two of them share belongs into protocols or internal",
	},
	{
		From: "agent/...", To: "resources/*/...",
		Reason: "the agent governs calls of every kind alike; which kinds there are is decided by the command that links them",
	},
	{
		From: "agent/...", To: "governance/...",
		Reason: "the data plane goes on without the centre: they meet in resources.Spec and the control protocol alone",
	},
	{
		From: "governance/...", To: "agent/...",
		Reason: "the centre governs agents that it does not contain: they meet in resources.Spec and the control protocol alone",
	},
	{
		From: "...", Except: "cmd/...", To: "cmd/...",
		Reason: "a command is the end of the line",
	},
	{
		From: "...", Except: commands + " testenv/...", To: "testenv/...",
		Reason: "what starts servers and breaks connections for tests has no place in a program that people run",
	},
	{
		From: "cmd", To: kinds + " agent/filter/*/... agent/discovery/*/...",
		Reason: "a program that somebody extends has the same command line and chooses what it links",
	},
	{
		From: "cmd/...", To: "testenv/...",
		Reason: "what starts servers and breaks connections for tests has no place in a program that people run",
	},

	// Inside the centre: the rooms keep their own, and meet in the store; the api and the centre itself see all of them.
	{
		From: "governance/store/...", To: "governance governance/audit/... governance/auth/... governance/secrets/... governance/members/... governance/peers/... governance/registry/... governance/command/... governance/rollout/... governance/series/... governance/fleet/... governance/api/... governance/ui/...",
		Reason: "the store keeps bytes under keys, whatever they mean",
	},
	{
		From: "governance/audit/... governance/auth/... governance/secrets/... governance/members/... governance/registry/... governance/command/... governance/series/... governance/fleet/... governance/ui/...",
		To:   "governance governance/audit/... governance/auth/... governance/secrets/... governance/members/... governance/peers/... governance/registry/... governance/command/... governance/rollout/... governance/series/... governance/fleet/... governance/api/... governance/ui/...", Siblings: 1,
		Reason: "each room of the centre is tested alone; the api and the centre put them together",
	},
	{
		From: "governance/rollout/...", To: "governance governance/audit/... governance/auth/... governance/peers/... governance/series/... governance/fleet/... governance/api/... governance/ui/...",
		Reason: "a plan is made of commands and documents; what agents and series say of it comes by its own small interfaces",
	},
	{
		From: "governance/peers/...", To: "governance governance/audit/... governance/auth/... governance/secrets/... governance/members/... governance/registry/... governance/command/... governance/rollout/... governance/series/... governance/api/... governance/ui/...",
		Reason: "centres tell each other of agents and reports as they are: what becomes of them is the business of the rooms that have them",
	},
	{
		From: "governance/question/...", To: "governance governance/...",
		Reason: "it has the books of questions over any link, and knows neither who asks nor who answers",
	},
	{
		From: "governance/say/...", To: "governance governance/...",
		Reason: "it has the words for what the rooms say, and knows none of them",
	},
	{
		From: "governance/fleet/... governance/series/...", To: "governance/store/...",
		Reason: "which agents are linked and what they report comes again from them: it does not belong into the store",
	},

	// Inside the agent: what is below does not know what is above.
	{
		From: "config/...", To: "agent/... governance/... testenv/... cmd/... resources/*/... metrics/... protocols/...",
		Reason: "what people write is checked without anything that runs it, for the agent and the centre alike; kinds register themselves, filters hand their settings in",
	},
	{
		From: "agent/control/...", To: "agent agent/runtime/... agent/filter/... agent/cluster/... agent/admin/... agent/listen/...",
		Reason: "commands are kept and expire whatever becomes of the resources they steer",
	},
	{
		From: "agent/filter/...", To: "agent agent/runtime/... agent/cluster/... agent/balance/... agent/ha/... config/... agent/control/... agent/admin/... agent/listen/...",
		Reason: "a filter sees a Call, its Env and nothing else: that is what makes one work for every kind",
	},
	{
		From: "agent/filter", To: "agent/filter/*/...",
		Reason: "the chain does not know its filters; which ones there are is decided by the command that links them",
	},
	{
		From: "agent/filter/*/...", Except: "agent/filter/standard/... agent/filter/conformance/...", To: "agent/filter/*/...", Siblings: 2,
		Reason: "filters work together through the Call alone, so that each can be switched off or replaced",
	},
	{
		From: "agent/balance/...", To: "agent agent/runtime/... agent/cluster/... agent/filter/... agent/ha/... config/... agent/control/... agent/admin/... agent/listen/...",
		Reason: "a balance picks from a list that it is given",
	},
	{
		From: "agent/cluster/... agent/ha/...", To: "agent agent/runtime/... agent/filter/... config/... agent/control/... agent/admin/... agent/listen/...",
		Reason: "the cluster and the retry law serve the runtime and are tested without it",
	},
	{
		From: "agent/discovery/...", To: "agent agent/runtime/... agent/filter/... agent/cluster/... agent/balance/... agent/ha/... config/... agent/control/... agent/admin/... agent/listen/... agent/link/...",
		Reason: "a source tells what its registry says; who believes it, and from where its options were read, is decided above",
	},
	{
		From: "agent/discovery", To: "agent/discovery/*/...",
		Reason: "what sources share does not know them; which ones there are is decided by the agent that opens them",
	},
	{
		From: "agent/discovery/*/...", Except: "agent/discovery/discoverytest/...", To: "agent/discovery/*/...", Siblings: 2,
		Reason: "each source stands for one registry; what two of them share belongs into agent/discovery",
	},
	{
		From: "agent/runtime/...", To: "agent config/... agent/control/... agent/admin/... agent/listen/...",
		Reason: "the runtime takes specs and commands as values; who read them from where is the agent's business",
	},
	{
		From: "agent/listen/...", To: "agent agent/runtime/... agent/filter/... agent/cluster/... config/... agent/control/... agent/admin/...",
		Reason: "a listener hands connections to a function",
	},
	{
		From: "agent/gateway/...", To: "agent agent/runtime/... agent/filter/... agent/cluster/... agent/balance/... agent/ha/... config/... agent/control/... agent/admin/... agent/listen/...",
		Reason: "a gateway is a client of a resource, which a function connects it to: it knows protocols and the contract",
	},
	{
		From: "agent/admin/...", To: "agent",
		Reason: "the admin interface shows an agent through small interfaces, so that its tests need none",
	},

	// What the standard library must not bring in.
	{
		From: "agent/filter/*/...", Except: "agent/filter/standard/... agent/filter/conformance/...", Direct: true,
		To:     "ext:net ext:net/http ext:os/exec",
		Reason: "filters run between a request and its reply and must not do I/O; what they write goes through Sinks",
	},
	{
		From: "protocols/...", Direct: true, To: "ext:net ext:os ext:os/exec ext:net/http ext:time ext:log ext:log/slog ext:context",
		Reason: "codecs have no sockets and no clocks: the same bytes always give the same answer",
	},
	{
		From: "protocols/...", Except: "protocols/mysql", Direct: true, To: "ext:sync",
		Reason: "codecs have no state that others share; protocols/mysql pools the states of compressors, which hold nothing between two frames",
	},
	{
		From: "...", Except: commands + " testenv/... agent/filter/conformance/... agent/admin/admintest/... agent/discovery/discoverytest/... agent/link/linktest/... governance/store/storetest/... resources/servicetest/...", Direct: true, To: "ext:testing ext:testing/synctest ext:net/http/httptest",
		Reason: "tests belong into test files; what tests of several packages import is testenv, admintest, linktest and the conformance suites of filters, sources and stores",
	},
	{
		From: "...", Except: "agent/admin/admintest/... agent/discovery/discoverytest/... agent/filter/conformance/... agent/link/linktest/... governance/store/storetest/... resources/servicetest/...", To: "agent/admin/admintest/... agent/discovery/discoverytest/... agent/filter/conformance/... agent/link/linktest/... governance/store/storetest/... resources/servicetest/...",
		Reason: "these exist for tests and must not be linked into a program",
	},
	{
		From: "...", Direct: true, To: "ext:log ext:io/ioutil ext:math/rand",
		Reason: "log/slog, os and io, math/rand/v2 took their place",
	},
	{
		From: "...", Except: "internal/loop/...", Direct: true, To: "ext:unsafe ext:C",
		Reason: "memory safety is what the wire parsers rest on; only the poll loop may hand memory to the kernel itself, where a figure shows that it pays",
	},
	{
		From: "...", Except: commands + " agent/admin/...", Direct: true, To: "ext:flag ext:expvar ext:net/http/pprof",
		Reason: "these change the process as a whole when they are imported; the admin interface alone serves profiles, from a mux of its own and only while somebody has switched them on",
	},
	{
		From: "...", Except: commands + " testenv/... governance/store/storetest/...", Direct: true,
		To:     "ext:github.com/alicebob/miniredis/... ext:github.com/google/go-cmp/... ext:go.uber.org/goleak/... ext:pgregory.net/rapid/...",
		Reason: "embedded servers and test libraries are for tests and the demo",
	},
	{
		From: "...", Except: "agent/discovery/zookeeper/... testenv/... " + commands, Direct: true, To: "ext:github.com/go-zookeeper/...",
		Reason: "what the library leaves open, such as deadlines and pauses, is added in one place",
	},
	{
		From: "protocols/... resources agent/balance/... agent/filter/... agent/ha/... agent/cluster/... agent/runtime/...", Direct: true,
		To:     "ext:github.com/redis/go-redis/...",
		Reason: "client libraries are for roles and probes inside a driver, never for the path of a call",
	},
}

// matchAny reports whether a package matches one of the patterns.
func matchAny(patterns, pkg string) bool {
	for p := range strings.FieldsSeq(patterns) {
		if match(p, pkg) {
			return true
		}
	}
	return false
}

// match compares one pattern with an import path. Packages of the module match by their path inside it, the module's own
// root as ".".
func match(pattern, pkg string) bool {
	if rest, outside := strings.CutPrefix(pattern, "ext:"); outside {
		if pkg == Module || strings.HasPrefix(pkg, Module+"/") {
			return false
		}
		return matchPath(rest, pkg)
	}
	inside, ok := strings.CutPrefix(pkg, Module)
	if !ok || (inside != "" && inside[0] != '/') {
		return false
	}
	inside = strings.TrimPrefix(inside, "/")
	if inside == "" {
		inside = "."
	}
	return matchPath(pattern, inside)
}

// matchPath matches element by element: `*` is one element, a last `...` is any number of them.
func matchPath(pattern, path string) bool {
	want, have := strings.Split(pattern, "/"), strings.Split(path, "/")
	for i, w := range want {
		switch {
		case w == "...":
			return true
		case i >= len(have) || (w != "*" && w != have[i]):
			return false
		}
	}
	return len(want) == len(have)
}
