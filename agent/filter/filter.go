package filter

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

// Orders of the standard filters in the chain, ascending; own filters come last unless they choose.
const (
	OrderAccessLog = 100
	OrderMetrics   = 200
	OrderTap       = 250
	OrderTrace     = 300
	OrderACL       = 400
	OrderRateLimit = 500
	OrderSwitcher  = 600
	OrderMock      = 700
	OrderBreaker   = 800
	OrderFault     = 900
	OrderOwn       = 950
)

// Definition describes a filter. It is registered once, by an init function of the filter's package.
type Definition struct {
	// Name is the word of `policy.filters` and of the admin; lower-case, with hyphens.
	Name string
	// Order is the position in the chain, ascending; 0 becomes OrderOwn. Equal orders run by name.
	Order int
	// Doc says in a sentence what the filter does.
	Doc string
	// Settings returns a pointer to a struct that holds the defaults of `policy.filters.NAME`, with doc, default and
	// bounds tags. A filter that has Settings is built only for resources whose policy names it; one without them is
	// built for every resource.
	Settings func() any
	// Build compiles the filter for one resource. A nil filter without an error means that it is off there. old is
	// the instance that is being replaced, nil when there was none, from which state is kept by identity.
	Build func(env *Env, old resources.Filter) (resources.Filter, error)
}

// Env is what Build knows of the resource. One Env serves all filters of one compilation, in the order of the chain.
type Env struct {
	Resource string              // its name
	Kind     string              // its kind
	Ops      *resources.Ops      // operation table; may grow later, which leads to another compilation
	Spec     *resources.Spec     // as declared
	Policy   *resources.Policy   // filled with defaults
	Commands []resources.Command // active for this resource, validated, oldest first
	Groups   []string            // names by Endpoint.GroupID
	Metrics  *metrics.Resource   // counters, gauges and cells of the resource
	Log      *slog.Logger        // for Build; calls say what they have to say by Sinks.Post
	Sinks    *Sinks              // of the process
	Tap      *Tap                // live calls of the resource, kept across compilations; nil: nobody can observe
	Settings any                 // own filters: what Definition.Settings returned, decoded

	slots int        // of Call.Scratch that are taken
	watch *watchSlot // the slot shared by the filters that need the text of a call
}

// MaxSlots is the number of per-call slots that the filters of a resource share.
const MaxSlots = len(resources.Call{}.Scratch)

// TakeSlot reserves a slot of Call.Scratch for the filter that is being built.
func (e *Env) TakeSlot() (int, error) {
	if e.slots >= MaxSlots {
		return 0, fmt.Errorf("no per-call slot is left: the filters of a resource share %d; switch another filter off", MaxSlots)
	}
	e.slots++
	return e.slots - 1, nil
}

// CommandsOf returns the active commands of a type, newest first, which is the order in which they take precedence.
func (e *Env) CommandsOf(t resources.CommandType) []resources.Command {
	var out []resources.Command
	for _, c := range slices.Backward(e.Commands) {
		if c.Type == t {
			out = append(out, c)
		}
	}
	return out
}

var registry struct {
	sync.Mutex
	list []Definition // sorted
}

// Register adds a filter. It is called from init functions and panics on a definition that is incomplete or that has
// the name of another one.
func Register(d Definition) {
	if d.Name == "" || d.Build == nil {
		panic(fmt.Sprintf("filter: definition %q needs a Name and a Build function", d.Name))
	}
	if d.Order == 0 {
		d.Order = OrderOwn
	}
	registry.Lock()
	defer registry.Unlock()
	for _, have := range registry.list {
		if have.Name == d.Name {
			panic("filter: " + d.Name + " registered twice")
		}
	}
	registry.list = append(registry.list, d)
	slices.SortFunc(registry.list, func(a, b Definition) int {
		if a.Order != b.Order {
			return a.Order - b.Order
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// Definitions returns the registered filters in the order of the chain.
func Definitions() []Definition {
	registry.Lock()
	defer registry.Unlock()
	return slices.Clone(registry.list)
}

// Lookup finds a filter by name.
func Lookup(name string) (Definition, bool) {
	for _, d := range Definitions() {
		if d.Name == name {
			return d, true
		}
	}
	return Definition{}, false
}
