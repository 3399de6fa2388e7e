package resources

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

// Class says what an operation does to the resource. It decides where a call may go and whether it may be repeated.
type Class uint8

const (
	ClassOther   Class = iota // unknown: treated as a write wherever it matters
	ClassRead                 // changes nothing
	ClassWrite                // may change data
	ClassTxn                  // begins, ends or belongs to a transaction
	ClassStream               // long-lived: subscriptions, monitors, fetches that wait
	ClassAdmin                // changes or inspects the server itself
	ClassSession              // changes the session only (login, database, name)
	NumClasses   = iota
)

var classNames = [NumClasses]string{"other", "read", "write", "txn", "stream", "admin", "session"}

// String returns the lower-case word used in config, metrics and commands.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "other"
}

// ParseClass is the inverse of String.
func ParseClass(s string) (Class, error) {
	for i, n := range classNames {
		if n == s {
			return Class(i), nil
		}
	}
	return 0, fmt.Errorf("unknown class %q: use one of %s", s, strings.Join(classNames[:], ", "))
}

// Retry says when an operation may be sent again after a failure.
type Retry uint8

const (
	RetryUnsent     Retry = iota // only if no byte of it was written, or the upstream said that it did not execute it
	RetryNever                   // never, not even unsent: its place in a sequence is lost (inside a transaction)
	RetryIdempotent              // also when it was written and no byte of the answer came
)

// OpID indexes the operation table of a kind. IDs are dense, start at 1 and never change while the process lives;
// 0 is the catch-all [OpOther].
type OpID uint16

// OpOther is the operation of requests that the table does not know or has no more room for.
const OpOther OpID = 0

// OpInfo describes one operation of a kind.
type OpInfo struct {
	Name  string // as the protocol's own users write it: "GET", "CONFIG|GET", "SELECT"
	Class Class
	Retry Retry
	Of    string // the operation that this one is a part of: patterns that match it match this one too; "": none
	Text  string // what it is, when the name does not say so: a statement without its literals
}

// MaxOps bounds an operation table and so every array indexed by operation.
const MaxOps = 1024

// Ops is the operation table of one resource: fixed entries of its kind first, then those learnt from the server.
// Reading is lock-free; Intern is rare and serialised.
type Ops struct {
	mu   sync.Mutex
	list atomic.Pointer[opList]
}

type opList struct {
	infos  []OpInfo
	byName map[string]OpID
}

// NewOps returns a table that holds OpOther and the given operations, in order, from id 1.
func NewOps(infos []OpInfo) *Ops {
	l := &opList{infos: make([]OpInfo, 0, len(infos)+1), byName: make(map[string]OpID, len(infos)+1)}
	l.add(OpInfo{Name: "other", Class: ClassOther})
	for _, in := range infos {
		l.add(in)
	}
	o := &Ops{}
	o.list.Store(l)
	return o
}

func (l *opList) add(in OpInfo) OpID {
	id := OpID(len(l.infos))
	l.infos = append(l.infos, in)
	l.byName[in.Name] = id
	return id
}

// Len returns the number of operations, OpOther included.
func (o *Ops) Len() int { return len(o.list.Load().infos) }

// Info returns the description of id; an id out of range is OpOther.
func (o *Ops) Info(id OpID) OpInfo {
	l := o.list.Load()
	if int(id) >= len(l.infos) {
		id = OpOther
	}
	return l.infos[id]
}

// Lookup finds an operation by its exact name.
func (o *Ops) Lookup(name string) (OpID, bool) {
	id, ok := o.list.Load().byName[name]
	return id, ok
}

// Intern adds an operation that a server reported, or returns the id it already has. A full table answers OpOther.
// The second result says that the table grew, so that selectors compiled against it are stale.
func (o *Ops) Intern(in OpInfo) (OpID, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.list.Load()
	if id, ok := l.byName[in.Name]; ok {
		return id, false
	}
	if len(l.infos) >= MaxOps {
		return OpOther, false
	}
	n := &opList{infos: append([]OpInfo(nil), l.infos...), byName: make(map[string]OpID, len(l.byName)+1)}
	for k, v := range l.byName {
		n.byName[k] = v
	}
	id := n.add(in)
	o.list.Store(n)
	return id, true
}

// matches reports whether a pattern in upper case is for the operation, or for what it is part of.
func (in *OpInfo) matches(p string) bool {
	return Glob(p, strings.ToUpper(in.Name)) || in.Of != "" && Glob(p, strings.ToUpper(in.Of))
}

// Match returns the set of operations whose name, or the name of what they are part of, matches pattern, in which `*` stands for any run of characters and
// letters match in either case.
func (o *Ops) Match(pattern string) OpSet {
	var set OpSet
	p := strings.ToUpper(pattern)
	for i, in := range o.list.Load().infos {
		if in.matches(p) {
			set.Add(OpID(i))
		}
	}
	return set
}

// OpSet is a set of operations: one bit each, tested without a branch on the hot path.
type OpSet [MaxOps / 64]uint64

// Add puts id into the set.
func (s *OpSet) Add(id OpID) { s[id>>6&(MaxOps/64-1)] |= 1 << (id & 63) }

// Has reports whether id is in the set.
func (s *OpSet) Has(id OpID) bool { return s[id>>6&(MaxOps/64-1)]&(1<<(id&63)) != 0 }

// Glob reports whether s matches pattern, in which `*` stands for any run of bytes (none included) and every other byte
// for itself. It does not allocate and takes at most len(pattern)·len(s) steps.
func Glob[T string | []byte](pattern string, s T) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// GlobAny reports whether s matches one of several patterns with commas between them, and maybe spaces around them; no pattern at
// all takes everything.
func GlobAny(patterns, s string) bool {
	if patterns == "" {
		return true
	}
	for p := range strings.SplitSeq(patterns, ",") {
		if Glob(strings.TrimSpace(p), s) {
			return true
		}
	}
	return false
}

// GlobLabels reports whether a resource with the labels have has each label of want, with a value that one of want's patterns takes.
func GlobLabels(want, have map[string]string) bool {
	for k, patterns := range want {
		if v, ok := have[k]; !ok || !GlobAny(patterns, v) {
			return false
		}
	}
	return true
}

// OpName returns a name that a client wrote as the name of an operation, which is shown to people and is part of metrics: white
// space, controls and what is no UTF-8 become an underscore.
func OpName(written string) string {
	out := make([]rune, 0, len(written))
	for _, r := range written {
		if r <= ' ' || r == 0x7f || r == '\uFFFD' {
			r = '_'
		}
		out = append(out, r)
	}
	return string(out)
}
