package accesslog

import (
	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/resources"
)

func init() { filter.Register(Definition) }

// Definition describes the filter. Its settings are Policy.AccessLog.
var Definition = filter.Definition{
	Name:  "accesslog",
	Order: filter.OrderAccessLog,
	Doc:   "writes a line for a sample of the calls and for all that are slow or fail",
	Build: build,
}

// Filter is the access log of one resource.
type Filter struct {
	set      resources.AccessLog
	resource string
	ops      []string
	text     filter.Texter
	sample   filter.Coin
	slower   int64
	errors   bool
	format   func(dst []byte, f *Filter, c *resources.Call) []byte
	out      *filter.LineWriter
}

func build(env *filter.Env, old resources.Filter) (resources.Filter, error) {
	set := env.Policy.AccessLog
	if set == nil {
		return nil, nil
	}
	text, err := env.TakeText()
	if err != nil {
		return nil, err
	}
	format := appendText
	if set.Format == "json" {
		format = appendJSON
	}
	// The writer is shared by path, so a file stays open as long as one filter, old or new, uses it.
	out, err := env.Sinks.AccessLog(set.Path, set.Format)
	if err != nil {
		return nil, err
	}
	return &Filter{
		set: *set, resource: env.Resource, ops: env.OpNames(), text: text,
		sample: filter.NewCoin(set.Sample), slower: int64(set.SlowerThan),
		errors: set.Errors == nil || *set.Errors, format: format, out: out,
	}, nil
}

// OnCall keeps the text of the request: whether the call is worth a line is known only when it ended.
func (f *Filter) OnCall(c *resources.Call) *resources.Stop {
	f.text.Capture(c)
	return nil
}

// OnDone writes the line if there is a reason to.
func (f *Filter) OnDone(c *resources.Call) {
	if f.wanted(c) {
		if line := f.out.Begin(); line != nil {
			line.Buf = f.format(line.Buf, f, c)
			f.out.End(line)
		}
	}
	f.text.Release(c)
}

func (f *Filter) wanted(c *resources.Call) bool {
	if f.errors && c.Outcome != resources.OutcomeOK {
		return true
	}
	// A stream lasts as long as its client likes: that is not slow.
	if c.Now-c.Start > f.slower && c.Class != resources.ClassStream {
		return true
	}
	return f.sample.Hit()
}

// Close gives up the file.
func (f *Filter) Close() error {
	f.out.Release()
	return nil
}
