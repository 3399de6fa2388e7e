package motancommand

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of what a document may hold. ZooKeeper takes 1 MiB; the rest is far above what people write.
const (
	MaxBytes    = 1 << 20
	MaxCommands = 1000
	maxPattern  = 4 << 10 // bytes
	maxList     = 100     // groups, rules or switches of one command
	maxRemark   = 500     // bytes that are kept
	maxWeight   = 100
)

// Type is what a command does.
type Type int

// The types, as commandType has them.
const (
	Traffic  Type = 0 // merges groups and chooses servers
	Degrade  Type = 1 // no calls
	Switcher Type = 2 // sets switches of the program by name
)

// String returns the type as people write it.
func (t Type) String() string {
	switch t {
	case Traffic:
		return "traffic"
	case Degrade:
		return "degrade"
	case Switcher:
		return "switcher"
	}
	return strconv.Itoa(int(t))
}

// Command is one command of a document.
type Command struct {
	Index   int
	Type    Type
	Pattern string  // as written
	Groups  []Group // of traffic: each group once, in the order of the document; none: the caller's own
	Routes  []Route // of traffic
	Remark  string  // one line
	// Raw is the command as it stands in the document, without spaces.
	Raw string
	// Err says why the command is refused; nil: it is not.
	Err error

	pattern *Pattern
}

// Group is one of the groups that share the calls.
type Group struct {
	Name   string
	Weight int // 0 to 100; 1 where none is written, and -1 where none is in the whole command: see Mixed
}

// Mixed reports whether the calls are spread over the servers of all groups alike, because no weight is written.
func (c *Command) Mixed() bool {
	for _, g := range c.Groups {
		if g.Weight >= 0 {
			return false
		}
	}
	return len(c.Groups) > 0
}

// Matches reports whether the command is for a service. A switcher's pattern holds its switches, so that it is for all.
func (c *Command) Matches(service string) bool {
	return c.Err == nil && (c.Type == Switcher || c.pattern.Match(service))
}

// written is the form of a command in the document. Java writes null for what is not set.
type written struct {
	Index       *int     `json:"index"`
	CommandType *int     `json:"commandType"`
	Pattern     string   `json:"pattern"`
	MergeGroups []string `json:"mergeGroups"`
	RouteRules  []string `json:"routeRules"`
	Remark      string   `json:"remark"`
}

// Parse reads a document. Its commands come in the order in which they are asked: by index, and as written where that is the
// same. The error is for what is no document at all; a command that is not right has its own, and stands where it would.
func Parse(document []byte) ([]Command, error) {
	if len(document) > MaxBytes {
		return nil, fmt.Errorf("the document has %d bytes, and %d are the most", len(document), MaxBytes)
	}
	if !utf8.Valid(document) {
		return nil, errors.New("the document is no UTF-8")
	}
	var list struct {
		ClientCommandList []json.RawMessage `json:"clientCommandList"`
	}
	if err := json.Unmarshal(document, &list); err != nil {
		return nil, fmt.Errorf(`the document cannot be read: %w: it is {"clientCommandList":[...]}`, err)
	}
	if n := len(list.ClientCommandList); n > MaxCommands {
		return nil, fmt.Errorf("the document has %d commands, and %d are the most", n, MaxCommands)
	}
	out := make([]Command, 0, len(list.ClientCommandList))
	for _, raw := range list.ClientCommandList {
		if bytes.Equal(raw, []byte("null")) {
			continue
		}
		out = append(out, read(raw))
	}
	slices.SortStableFunc(out, func(a, b Command) int { return cmp.Compare(a.Index, b.Index) })
	return out, nil
}

// read reads one command.
func read(raw []byte) Command {
	var compact bytes.Buffer
	_ = json.Compact(&compact, raw) // the decoder that cut it out has read it
	c := Command{Raw: compact.String()}
	var w written
	if err := json.Unmarshal(raw, &w); err != nil {
		c.Err = fmt.Errorf("it cannot be read: %w", err)
		return c
	}
	if w.Index != nil {
		c.Index = *w.Index
	}
	if w.CommandType != nil {
		c.Type = Type(*w.CommandType)
	}
	c.Pattern, c.Remark = w.Pattern, remark(w.Remark)
	c.Err = c.fill(&w)
	return c
}

// fill reads what depends on the type.
func (c *Command) fill(w *written) (err error) {
	switch c.Type {
	case Traffic:
		if c.pattern, err = ParsePattern(w.Pattern); err != nil {
			return err
		}
		if c.Groups, err = groups(w.MergeGroups); err != nil {
			return err
		}
		if len(w.RouteRules) > maxList {
			return fmt.Errorf("it has %d routeRules, and %d are the most", len(w.RouteRules), maxList)
		}
		for _, text := range w.RouteRules {
			r, err := ParseRoute(text)
			if err != nil {
				return err
			}
			c.Routes = append(c.Routes, r)
		}
	case Degrade:
		c.pattern, err = ParsePattern(w.Pattern)
		return err
	case Switcher:
	default:
		return fmt.Errorf("commandType %d is unknown: it is 0 for traffic, 1 to degrade or 2 for a switcher", c.Type)
	}
	return nil
}

// unset is the weight of a group that has none, until it is known whether all have none.
const unset = -1

// groups reads mergeGroups: NAME or NAME:WEIGHT each. Of a group that is there twice the last one counts.
func groups(list []string) ([]Group, error) {
	if len(list) > maxList {
		return nil, fmt.Errorf("it has %d mergeGroups, and %d are the most", len(list), maxList)
	}
	var out []Group
	weighted, sum := false, 0
	for _, text := range list {
		name, digits, has := strings.Cut(text, ":")
		g := Group{Name: strings.TrimSpace(name), Weight: unset}
		if g.Name == "" {
			return nil, fmt.Errorf("mergeGroups: %q names no group: write GROUP or GROUP:WEIGHT", text)
		}
		if has {
			n, err := strconv.Atoi(strings.TrimSpace(digits))
			if err != nil || n < 0 || n > maxWeight {
				return nil, fmt.Errorf("mergeGroups: the weight in %q is no number from 0 to %d", text, maxWeight)
			}
			g.Weight, weighted = n, true
		}
		if i := slices.IndexFunc(out, func(o Group) bool { return o.Name == g.Name }); i >= 0 {
			out[i] = g
			continue
		}
		out = append(out, g)
	}
	if !weighted {
		return out, nil
	}
	for i := range out {
		if out[i].Weight == unset {
			out[i].Weight = 1
		}
		sum += out[i].Weight
	}
	if sum == 0 {
		return nil, errors.New("mergeGroups: all weights are 0: no group would get calls; a command of type 1 degrades")
	}
	return out, nil
}

// remark makes one line of what a person wrote, and cuts it.
func remark(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxRemark {
		text = strings.ToValidUTF8(text[:maxRemark], "") + " ..."
	}
	return text
}
