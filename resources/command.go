package resources

import (
	"fmt"
	"math"
	"sort"
	"strings"
	"time"
)

// CommandType says what a command does.
type CommandType string

// The types of commands.
const (
	CommandSwitch  CommandType = "switch"  // move calls between groups
	CommandDegrade CommandType = "degrade" // answer instead of calling
	CommandLimit   CommandType = "limit"   // limit a rate
	CommandFault   CommandType = "fault"   // inject delay or errors
	CommandMock    CommandType = "mock"    // answer with a given reply
	CommandDrain   CommandType = "drain"   // take an endpoint out of use
)

// Command is an operator's order that overrides a resource's spec until it is undone or expires. Commands survive a
// restart.
type Command struct {
	ID       string      `json:"id"`
	Type     CommandType `json:"type"`
	Resource string      `json:"resource"`
	Match    Match       `json:"match"`
	// Percent of the matching calls; 100 by default. Not for switch, whose weights say it, and drain.
	Percent  Percent        `json:"percent,omitempty"`
	Weights  map[string]int `json:"weights,omitempty"`  // switch: share of each group; a group not named gets 0
	Reply    string         `json:"reply,omitempty"`    // degrade: "error", "empty" or a text; mock: a text
	Error    string         `json:"error,omitempty"`    // fault: answer this error
	Delay    Duration       `json:"delay,omitempty"`    // fault: hold the call this long first
	Rate     Rate           `json:"rate"`               // limit: calls that may pass
	Burst    int            `json:"burst,omitempty"`    // limit
	Per      string         `json:"per,omitempty"`      // limit: PerCaller gives each caller the rate to itself
	Mode     string         `json:"mode,omitempty"`     // limit: Observe counts what it would refuse; else Enforce
	Endpoint string         `json:"endpoint,omitempty"` // drain: its address, or several; see Drains
	Author   string         `json:"author"`
	Why      string         `json:"why,omitempty"`
	Created  time.Time      `json:"created"`
	Expires  *time.Time     `json:"expires,omitempty"` // nil: until it is undone
}

// Bounds of what a command may hold.
const (
	maxReply          = 64 << 10
	maxBurst          = 1_000_000
	maxDelay Duration = 60e9 // longer, and held calls pile up beyond what any client waits for
)

// Validate checks a command against the resource that it is for, and fills in defaults. Errors say what would be right.
func (c *Command) Validate(s *Spec) error {
	if c.Resource != s.Name {
		return fmt.Errorf("command is for resource %q, not %q", c.Resource, s.Name)
	}
	if c.Percent == 0 {
		c.Percent = 100
	}
	if !(c.Percent >= 0 && c.Percent <= 100) {
		return fmt.Errorf("percent %v is out of range: use 0 to 100", float64(c.Percent))
	}
	if _, err := c.Match.Compile(NewOps(nil)); err != nil {
		return err
	}
	if len(c.Reply) > maxReply || len(c.Error) > maxReply {
		return fmt.Errorf("the answer is too long: use at most %d bytes", maxReply)
	}
	if c.Expires != nil && !c.Expires.After(c.Created) {
		return fmt.Errorf("expires %s is not after created %s", c.Expires.Format(time.RFC3339), c.Created.Format(time.RFC3339))
	}
	if c.Mode != "" && c.Type != CommandLimit {
		return fmt.Errorf("only a limit has a mode: a %s either holds or does not", c.Type)
	}
	if c.Mode != "" && c.Mode != Enforce && c.Mode != Observe {
		return fmt.Errorf("mode %q is unknown: use enforce or observe", c.Mode)
	}
	if c.Per != "" && c.Type != CommandLimit {
		return fmt.Errorf("only a limit is per caller: a %s holds for all calls that match", c.Type)
	}
	if c.Per != "" && c.Per != PerCaller {
		return fmt.Errorf("per %q is unknown: use caller, or leave it out for one rate that all calls share", c.Per)
	}
	switch c.Type {
	case CommandSwitch:
		return c.validateSwitch(s)
	case CommandDegrade:
		if c.Reply == "" {
			c.Reply = "error"
		}
		return oneLine("reply", c.Reply)
	case CommandMock:
		if c.Reply == "" {
			return fmt.Errorf("a mock needs a reply")
		}
	case CommandLimit:
		if !(c.Rate >= 0) || math.IsInf(float64(c.Rate), 0) {
			return fmt.Errorf("rate %v is out of range: use a number per second, 0/s to refuse all", c.Rate)
		}
		if c.Burst < 0 || c.Burst > maxBurst {
			return fmt.Errorf("burst %d is out of range: use 0 to %d, 0 for a tenth of a second's worth", c.Burst, maxBurst)
		}
	case CommandFault:
		if c.Delay == 0 && c.Error == "" {
			return fmt.Errorf("a fault needs a delay, an error or both")
		}
		if c.Delay < 0 || c.Delay > maxDelay {
			return fmt.Errorf("delay %s is out of range: use up to %s", c.Delay, maxDelay)
		}
		return oneLine("error", c.Error)
	case CommandDrain:
		if c.Endpoint == "" {
			return fmt.Errorf("a drain needs the address of an endpoint")
		}
	default:
		return fmt.Errorf("unknown command type %q: use switch, degrade, limit, fault, mock or drain", c.Type)
	}
	return nil
}

func (c *Command) validateSwitch(s *Spec) error {
	if len(c.Weights) == 0 {
		return fmt.Errorf("a switch needs at least one GROUP=WEIGHT; groups of %s: %s", s.Name, strings.Join(s.GroupNames(), ", "))
	}
	sum := 0
	for g, w := range c.Weights {
		if _, ok := s.Groups[g]; !ok {
			return fmt.Errorf("resource %s has no group %q: its groups are %s", s.Name, g, strings.Join(s.GroupNames(), ", "))
		}
		if w < 0 || w > MaxWeight {
			return fmt.Errorf("weight %d of group %s is out of range: use 0 to %d", w, g, MaxWeight)
		}
		sum += w
	}
	if sum == 0 {
		return fmt.Errorf("all weights are 0: no group would get calls; to stop calls use degrade")
	}
	return nil
}

func oneLine(what, s string) error {
	if strings.ContainsAny(s, "\r\n") {
		return fmt.Errorf("%s must be one line", what)
	}
	return nil
}

// Drains reports whether a drain takes an address out of use: Endpoint is that address, or has * for anything, as in 10.75.*, or
// begins with ! and means all others.
func (c *Command) Drains(address string) bool {
	if others, not := strings.CutPrefix(c.Endpoint, "!"); not {
		return !Glob(others, address)
	}
	return Glob(c.Endpoint, address)
}

// Expired reports whether the command is past its time.
func (c *Command) Expired(now time.Time) bool { return c.Expires != nil && !now.Before(*c.Expires) }

// Summary says in a few words what the command does: "tc=100", "10% error", "delay 50ms".
func (c *Command) Summary() string {
	var parts []string
	if c.Type != CommandSwitch && c.Type != CommandDrain && c.Percent != 0 && c.Percent != 100 {
		parts = append(parts, c.Percent.String())
	}
	switch c.Type {
	case CommandSwitch:
		groups := make([]string, 0, len(c.Weights))
		for g, w := range c.Weights {
			groups = append(groups, fmt.Sprintf("%s=%d", g, w))
		}
		sort.Strings(groups)
		parts = append(parts, groups...)
	case CommandDegrade, CommandMock:
		parts = append(parts, c.Reply)
	case CommandLimit:
		parts = append(parts, c.Limited())
		if c.Mode == Observe {
			parts = append(parts, "(observing)")
		}
	case CommandFault:
		if c.Delay > 0 {
			parts = append(parts, "delay "+c.Delay.String())
		}
		if c.Error != "" {
			parts = append(parts, "error "+c.Error)
		}
	case CommandDrain:
		parts = append(parts, c.Endpoint)
	}
	return strings.Join(parts, " ")
}

// Limited says the rate of a limit, and who has it: "100/s", "100/s per caller".
func (c *Command) Limited() string { return limited(c.Rate, c.Per) }

// Limited is the same of a limit in the policy.
func (l *Limit) Limited() string { return limited(l.Rate, l.Per) }

func limited(r Rate, per string) string {
	if per == "" {
		return r.String()
	}
	return r.String() + " per " + per
}
