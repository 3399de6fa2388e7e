package resources

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// Match selects calls. Every part that is set must hold. A value may hold `*` for any run of characters, and several
// alternatives separated by commas.
type Match struct {
	Op     string `yaml:"op,omitempty" json:"op,omitempty" doc:"operation, such as GET or CONFIG|*" reload:"live"`
	Class  string `yaml:"class,omitempty" json:"class,omitempty" doc:"class of the operation" bounds:"any of other, read, write, txn, stream, admin, session" reload:"live"`
	Caller string `yaml:"caller,omitempty" json:"caller,omitempty" doc:"calling application" reload:"live"`
	Key    string `yaml:"key,omitempty" json:"key,omitempty" doc:"any key that the call touches" reload:"live"`
	Digest string `yaml:"digest,omitempty" json:"digest,omitempty" doc:"digest of the statement, 16 hexadecimal digits" reload:"live"`
	Table  string `yaml:"table,omitempty" json:"table,omitempty" doc:"any table that the call touches" reload:"live"`
	Topic  string `yaml:"topic,omitempty" json:"topic,omitempty" doc:"any topic that the call touches" reload:"live"`
	User   string `yaml:"user,omitempty" json:"user,omitempty" doc:"user that the client logged in as" reload:"live"`
	IDC    string `yaml:"idc,omitempty" json:"idc,omitempty" doc:"data centre of the caller" reload:"live"`
}

// parts returns the fields by key, in the order in which they are written.
func (m *Match) parts() []struct {
	key string
	at  *string
} {
	return []struct {
		key string
		at  *string
	}{
		{"op", &m.Op}, {"class", &m.Class}, {"caller", &m.Caller}, {"key", &m.Key}, {"digest", &m.Digest},
		{"table", &m.Table}, {"topic", &m.Topic}, {"user", &m.User}, {"idc", &m.IDC},
	}
}

// Set sets one part from its key, as in `op` and `KEYS`.
func (m *Match) Set(key, value string) error {
	var keys []string
	for _, p := range m.parts() {
		if p.key == key {
			if value == "" {
				return fmt.Errorf("match %s= has no value: write %s=NAME, in which * stands for anything", key, key)
			}
			*p.at = value
			return nil
		}
		keys = append(keys, p.key)
	}
	return fmt.Errorf("unknown match key %q: use one of %s", key, strings.Join(keys, ", "))
}

// ParseMatch reads K=V pairs.
func ParseMatch(pairs []string) (Match, error) {
	var m Match
	for _, kv := range pairs {
		k, v, ok := strings.Cut(kv, "=")
		if !ok {
			return m, fmt.Errorf("match %q has no =: write KEY=VALUE, such as op=GET", kv)
		}
		if err := m.Set(k, v); err != nil {
			return m, err
		}
	}
	return m, nil
}

// String writes the match as K=V pairs; "" matches everything.
func (m Match) String() string {
	var out []string
	for _, p := range m.parts() {
		if *p.at != "" {
			out = append(out, p.key+"="+*p.at)
		}
	}
	return strings.Join(out, " ")
}

// IsZero reports whether the match selects everything.
func (m Match) IsZero() bool { return m == Match{} }

// Selector is a Match that was compiled against an operation table. It is immutable; Match allocates nothing, but for a call of an
// operation that the table has learnt since then, or does not have.
type Selector struct {
	all      bool // nothing is set
	ops      OpSet
	table    *Ops
	known    OpID     // operations from here on were learnt since
	names    []string // patterns of operations
	anyOp    bool
	classes  uint32 // bit per class; 0: any
	caller   []string
	user     []string
	idc      []string
	keys     []string // keys, tables or topics
	digests  []uint64
	hasOther bool // more than op and class
}

// Compile resolves m against ops. An unknown class or a malformed digest is an error; an operation pattern that matches
// nothing is not, since servers may teach new operations later.
func (m Match) Compile(ops *Ops) (*Selector, error) {
	s := &Selector{all: m.IsZero(), anyOp: m.Op == "", table: ops, known: OpID(ops.Len()), names: alternatives(m.Op)}
	for _, p := range s.names {
		set := ops.Match(p)
		for i := range set {
			s.ops[i] |= set[i]
		}
	}
	for _, p := range alternatives(m.Class) {
		found := false
		for i, n := range classNames {
			if Glob(p, n) {
				s.classes |= 1 << i
				found = true
			}
		}
		if !found {
			_, err := ParseClass(p)
			return nil, err
		}
	}
	for _, p := range alternatives(m.Digest) {
		d, err := strconv.ParseUint(p, 16, 64)
		if err != nil || len(p) != 16 {
			return nil, fmt.Errorf("digest %q is not 16 hexadecimal digits", p)
		}
		s.digests = append(s.digests, d)
	}
	s.caller, s.user, s.idc = alternatives(m.Caller), alternatives(m.User), alternatives(m.IDC)
	for _, k := range []string{m.Key, m.Table, m.Topic} {
		s.keys = append(s.keys, alternatives(k)...)
	}
	s.hasOther = len(s.caller)+len(s.user)+len(s.idc)+len(s.keys)+len(s.digests) > 0
	return s, nil
}

// ValidateConfig checks what Compile would refuse.
func (m *Match) ValidateConfig() error {
	_, err := m.Compile(NewOps(nil))
	if m.Digest != "" {
		err = At("digest", err)
	}
	return err
}

func alternatives(v string) []string {
	if v == "" {
		return nil
	}
	alts := strings.Split(v, ",")
	for i := range alts {
		alts[i] = strings.TrimSpace(alts[i])
	}
	sort.Strings(alts)
	return alts
}

// Match reports whether the call is selected. It may be used while c.View is valid: in Filter.OnCall.
func (s *Selector) Match(c *Call) bool {
	if s.all {
		return true
	}
	if !s.anyOp && !s.ops.Has(c.Op) && (c.Op != OpOther && c.Op < s.known || !s.matchName(c)) {
		return false
	}
	if s.classes != 0 && s.classes&(1<<c.Class) == 0 {
		return false
	}
	return !s.hasOther || s.matchOther(c)
}

// matchName asks by name for an operation that the set has no place for: one that was learnt since, or that the table does not have. A
// rule that keeps callers out would else let in the first of them, and those who invent operations until the table is full.
func (s *Selector) matchName(c *Call) bool {
	in := s.table.Info(c.Op)
	if c.Op == OpOther {
		named, ok := c.View.(Named)
		if !ok {
			return false
		}
		in = OpInfo{Name: OpName(named.OpName())}
	}
	for _, p := range s.names {
		if in.matches(strings.ToUpper(p)) {
			return true
		}
	}
	return false
}

func (s *Selector) matchOther(c *Call) bool {
	if len(s.caller)+len(s.user)+len(s.idc) > 0 {
		id := c.Session.Identity()
		if !globAny(s.caller, id.Caller) || !globAny(s.user, id.User) || !globAny(s.idc, id.IDC) {
			return false
		}
	}
	if len(s.digests) > 0 {
		d, found := c.View.Digest(), false
		for _, want := range s.digests {
			found = found || want == d
		}
		if !found {
			return false
		}
	}
	if len(s.keys) == 0 {
		return true
	}
	if c.OnlyKey != nil { // nearly always, and rules ask each call
		return globAny(s.keys, c.OnlyKey)
	}
	for i := 0; ; i++ {
		key, ok := c.View.Key(i)
		if !ok {
			return false
		}
		if globAny(s.keys, key) {
			return true
		}
	}
}

func globAny[T string | []byte](patterns []string, s T) bool {
	if len(patterns) == 0 {
		return true
	}
	for _, p := range patterns {
		if Glob(p, s) {
			return true
		}
	}
	return false
}
