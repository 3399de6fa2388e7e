package redis

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
)

// knownCommands is the COMMAND output of a Redis 7.0 server, one command a line:
//
//	NAME ARITY FLAGS FIRST LAST STEP KEYSPECS
//
// It classifies requests until a server was asked, and operations keep their ids whatever servers say later. A test
// compares it with the server that is installed.
//
//go:embed commands.txt
var knownCommands string

// Flags of COMMAND that decide how a request is treated (https://redis.io/commands/command/).
const (
	flagWrite = 1 << iota
	flagReadonly
	flagAdmin
	flagPubsub
	flagBlocking
	flagNoMulti
	flagNoAuth
)

var flagBits = map[string]uint16{
	"write": flagWrite, "readonly": flagReadonly, "admin": flagAdmin, "pubsub": flagPubsub, "blocking": flagBlocking,
	"no_multi": flagNoMulti, "no_auth": flagNoAuth,
}

// command is what is known of one command.
type command struct {
	name    string // upper case; subcommands as in CONFIG|GET
	op      resources.OpID
	class   resources.Class
	retry   resources.Retry
	flags   uint16
	arity   int // of COMMAND: negative for "at least"
	keys    []keySpec
	only    int // the argument that is the only key there can be; 0: it is not that simple
	special special
	split   split
	subs    *resp.Names[*command] // of a container
	wrong   *command              // stands for a request with a wrong number of arguments: a server only refuses it
}

// keySpec says where keys are among the arguments (https://redis.io/docs/reference/key-specs/).
type keySpec struct {
	keyword string // begin after this argument, looked for from index begin on; "": begin at index begin
	begin   int
	counted bool // the argument at begin+count says how many keys follow, from begin+first on
	count   int
	first   int
	last    int // range: last key relative to begin; negative: from the end, -1 being the last argument
	step    int
	limit   int // range with last -1: only 1/limit of the arguments from begin on
}

// text writes the spec as commands.txt holds it.
func (k keySpec) text() string {
	begin := "i" + strconv.Itoa(k.begin)
	if k.keyword != "" {
		begin = "k" + k.keyword + "," + strconv.Itoa(k.begin)
	}
	if k.counted {
		return fmt.Sprintf("%s:n%d,%d,%d", begin, k.count, k.first, k.step)
	}
	return fmt.Sprintf("%s:r%d,%d,%d", begin, k.last, k.step, k.limit)
}

func parseKeySpec(s string) (k keySpec, err error) {
	begin, find, _ := strings.Cut(s, ":")
	if word, from, ok := strings.Cut(strings.TrimPrefix(begin, "k"), ","); ok && begin[0] == 'k' {
		k.keyword = word
		k.begin, err = strconv.Atoi(from)
	} else {
		k.begin, err = strconv.Atoi(strings.TrimPrefix(begin, "i"))
	}
	if err != nil || find == "" {
		return k, fmt.Errorf("key spec %q is malformed", s)
	}
	if find[0] == 'n' {
		k.counted = true
		_, err = fmt.Sscanf(find, "n%d,%d,%d", &k.count, &k.first, &k.step)
	} else {
		_, err = fmt.Sscanf(find, "r%d,%d,%d", &k.last, &k.step, &k.limit)
	}
	return k, err
}

// described is one entry of COMMAND before it becomes a command.
type described struct {
	name              string
	arity             int
	flags             []string
	first, last, step int
	specs             []keySpec
}

// parseKnown reads the format of knownCommands.
func parseKnown(text string) ([]described, error) {
	var out []described
	for n, line := range strings.Split(strings.TrimSpace(text), "\n") {
		f := strings.Fields(line)
		if len(f) != 7 {
			return nil, fmt.Errorf("commands.txt:%d: %d fields, want 7", n+1, len(f))
		}
		d := described{name: f[0]}
		if f[2] != "-" {
			d.flags = strings.Split(f[2], ",")
		}
		for i, at := range map[int]*int{1: &d.arity, 3: &d.first, 4: &d.last, 5: &d.step} {
			v, err := strconv.Atoi(f[i])
			if err != nil {
				return nil, fmt.Errorf("commands.txt:%d: %w", n+1, err)
			}
			*at = v
		}
		if f[6] != "-" {
			for _, s := range strings.Split(f[6], ";") {
				k, err := parseKeySpec(s)
				if err != nil {
					return nil, fmt.Errorf("commands.txt:%d: %w", n+1, err)
				}
				d.specs = append(d.specs, k)
			}
		}
		out = append(out, d)
	}
	return out, nil
}

// line is the inverse of parseKnown for one entry.
func (d described) line() string {
	flags, specs := strings.Join(d.flags, ","), make([]string, len(d.specs))
	for i, k := range d.specs {
		specs[i] = k.text()
	}
	joined := strings.Join(specs, ";")
	if flags == "" {
		flags = "-"
	}
	if joined == "" {
		joined = "-"
	}
	return fmt.Sprintf("%s %d %s %d %d %d %s", d.name, d.arity, flags, d.first, d.last, d.step, joined)
}

// describe reads the answer to COMMAND: an array of commands, each an array of name, arity, flags, first key, last key,
// step, ACL categories, tips, key specs and subcommands. Servers before 7.0 send fewer elements; what cannot be read is
// left out.
func describe(v resp.Value) []described {
	var out []described
	for _, e := range v.Elems {
		if len(e.Elems) < 6 {
			continue
		}
		d := described{name: strings.ToUpper(e.Elems[0].Str), arity: int(e.Elems[1].Int)}
		for _, f := range e.Elems[2].Elems {
			d.flags = append(d.flags, f.Str)
		}
		d.first, d.last, d.step = int(e.Elems[3].Int), int(e.Elems[4].Int), int(e.Elems[5].Int)
		if len(e.Elems) > 8 {
			for _, s := range e.Elems[8].Elems {
				if k, ok := describeKeySpec(s); ok {
					d.specs = append(d.specs, k)
				}
			}
		}
		if d.name == "" || strings.ContainsAny(d.name, " \n") {
			continue
		}
		out = append(out, d)
		if len(e.Elems) > 9 {
			out = append(out, describe(e.Elems[9])...)
		}
	}
	return out
}

func describeKeySpec(v resp.Value) (k keySpec, ok bool) {
	begin, find := field(v, "begin_search"), field(v, "find_keys")
	spec := field(begin, "spec")
	switch field(begin, "type").Str {
	case "index":
		k.begin = int(field(spec, "index").Int)
	case "keyword":
		k.keyword, k.begin = field(spec, "keyword").Str, int(field(spec, "startfrom").Int)
	default:
		return k, false
	}
	spec = field(find, "spec")
	k.step = int(field(spec, "keystep").Int)
	switch field(find, "type").Str {
	case "range":
		k.last, k.limit = int(field(spec, "lastkey").Int), int(field(spec, "limit").Int)
	case "keynum":
		k.counted, k.count, k.first = true, int(field(spec, "keynumidx").Int), int(field(spec, "firstkey").Int)
	default:
		return k, false
	}
	return k, k.step > 0
}

// field finds a key of a map, in the form of either protocol version.
func field(v resp.Value, key string) resp.Value {
	for i := 0; i+1 < len(v.Elems); i += 2 {
		if v.Elems[i].Str == key {
			return v.Elems[i+1]
		}
	}
	return resp.Value{}
}

// table finds commands by name. It is immutable; what servers teach makes a new one.
type table struct {
	names   resp.Names[*command]
	list    []*command
	unknown *command
}

// lookup finds the command of a request. A request whose command or subcommand is not known yields the table's unknown
// command, which says nothing about what it does.
func (t *table) lookup(r *resp.Request, buf []byte) *command {
	c, ok := t.names.Lookup(r.Arg(buf, 0))
	if !ok {
		return t.unknown
	}
	if c.subs != nil && r.Argc > 1 {
		if c, ok = c.subs.Lookup(r.Arg(buf, 1)); !ok {
			return t.unknown
		}
	}
	if r.Argc < c.arity || r.Argc < -c.arity || c.arity > 0 && r.Argc > c.arity {
		return c.wrong
	}
	return c
}

// named returns a command that the agent knows.
func (t *table) named(name string) *command {
	c, _ := t.names.Lookup([]byte(name))
	return c
}

// misused reports whether a command stands for a request with a wrong number of arguments.
func (c *command) misused() bool { return c.wrong == nil && c.special != spUnknown }

// newTable builds a table. intern gives operations their ids.
func newTable(list []described, intern func(resources.OpInfo) resources.OpID) *table {
	t := &table{unknown: &command{name: "other", class: resources.ClassOther, arity: -1, special: spUnknown}}
	for _, d := range list {
		c := newCommand(d)
		c.op = intern(resources.OpInfo{Name: c.name, Class: c.class, Retry: c.retry})
		c.wrong = &command{name: c.name, op: c.op, class: c.class, retry: c.retry, flags: c.flags, arity: c.arity}
		t.list = append(t.list, c)
	}
	for _, c := range t.list {
		container, sub, isSub := strings.Cut(c.name, "|")
		if !isSub {
			t.names.Set(c.name, c)
			continue
		}
		if parent, ok := t.names.Lookup([]byte(container)); ok {
			if parent.subs == nil {
				parent.subs = &resp.Names[*command]{}
			}
			parent.subs.Set(sub, c)
		}
	}
	return t
}

func newCommand(d described) *command {
	c := &command{name: d.name, arity: d.arity, keys: d.specs, special: specials[d.name], split: splits[d.name]}
	for _, f := range d.flags {
		c.flags |= flagBits[f]
	}
	if len(c.keys) == 0 && d.first > 0 {
		last := d.last
		if last > 0 {
			last -= d.first
		}
		c.keys = []keySpec{{begin: d.first, last: last, step: max(d.step, 1)}}
	}
	if len(c.keys) == 1 {
		if k := &c.keys[0]; k.keyword == "" && !k.counted && k.last == 0 {
			c.only = k.begin
		}
	}
	c.class, c.retry = classify(c)
	return c
}

// classify derives class and retry rule. Only what changes nothing may be sent twice.
func classify(c *command) (resources.Class, resources.Retry) {
	switch {
	case c.special.session():
		return resources.ClassSession, resources.RetryUnsent
	case c.special.txn():
		return resources.ClassTxn, resources.RetryUnsent
	case c.special.stream():
		return resources.ClassStream, resources.RetryUnsent
	case c.special == spScan || c.special == spKeyScan:
		return resources.ClassRead, resources.RetryUnsent // a cursor means something to one server only
	case c.flags&flagWrite != 0:
		return resources.ClassWrite, resources.RetryUnsent
	case c.flags&flagReadonly != 0:
		return resources.ClassRead, resources.RetryIdempotent
	case c.flags&flagAdmin != 0:
		return resources.ClassAdmin, resources.RetryUnsent
	case harmless[c.name]:
		return resources.ClassOther, resources.RetryIdempotent
	}
	return resources.ClassOther, resources.RetryUnsent
}

// harmless commands carry neither the write nor the readonly flag, but change nothing.
var harmless = map[string]bool{"PING": true, "ECHO": true, "TIME": true, "COMMAND": true, "COMMAND|COUNT": true, "COMMAND|DOCS": true, "COMMAND|INFO": true, "COMMAND|LIST": true, "INFO": true, "LOLWUT": true}
