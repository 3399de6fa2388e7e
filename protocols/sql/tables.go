package sql

import "bytes"

// expect says where a table's name may come next.
type expect uint8

const (
	exNone  expect = iota
	exOne          // one name
	exQuery        // one name, or a parenthesis with names or a query in it; not a function
)

// tables collects the names of tables. It knows the clauses, not the grammar: a name that is missing or too many
// hurts statistics, nothing else.
type tables struct {
	expect expect
	open   bool // a name is being taken, which may go on with a dot
	dotted bool // and the last token was that dot
	drop   bool // and a parenthesis behind it makes it a function
	ddl    bool // CREATE or DROP of INDEX or TRIGGER: the table is behind ON
	show   bool // SHOW COLUMNS or INDEX: the table is behind FROM or IN
	start  int
	end    int
	// One bit per depth of parentheses, up to 63.
	query uint64 // SELECT or DELETE was here: a FROM is a clause
	list  uint64 // a list of tables: a comma brings the next one
}

// bit returns the bit of a depth, none for those too deep.
func bit(depth int) uint64 { return 1 << uint(depth) }

// token takes the next token.
func (s *tables) token(f *facts, t *token) {
	if t.kind == tLit && !s.open && s.expect == exNone {
		return // most tokens of a long statement
	}
	switch t.kind {
	case tWord:
		if t.kw != kwNone && !s.dotted && s.keyword(f, t) {
			return
		}
		s.name(f, t)
	case tQuoted:
		s.name(f, t)
	case tDot:
		if s.open {
			s.dotted = true
		}
	case tLParen:
		if s.open && s.drop {
			s.open = false
		}
		s.close(f)
		s.list &^= bit(f.depth)
		s.query &^= bit(f.depth)
		if s.expect == exQuery {
			s.list |= bit(f.depth)
		} else {
			s.expect = exNone
		}
	case tComma:
		s.close(f)
		s.expect = exNone
		if s.list&bit(f.depth) != 0 {
			s.expect = exQuery
		}
	case tExecOpen, tExecClose:
	default:
		s.close(f)
		s.expect = exNone
	}
}

// name takes a name or a word that may be one.
func (s *tables) name(f *facts, t *token) {
	if s.dotted {
		s.end, s.dotted = t.end, false
		return
	}
	s.close(f)
	if s.expect == exNone {
		return
	}
	s.open, s.drop = true, s.expect == exQuery
	s.start, s.end = t.start, t.end
	s.expect = exNone
}

// close ends the name being taken and keeps it.
func (s *tables) close(f *facts) {
	if !s.open {
		return
	}
	s.open, s.dotted = false, false
	st := f.st
	name := f.text[s.start:s.end]
	for i := range st.NTables {
		if bytes.Equal(st.Tables[i].Of(f.text), name) {
			return
		}
	}
	if st.NTables < MaxTables {
		st.Tables[st.NTables] = span(s.start, s.end)
		st.NTables++
	}
}

// main is told of the main verb behind EXPLAIN: what looked like a table before it was an option.
func (s *tables) main(f *facts) {
	if f.explain && !f.seen {
		s.open = false
		f.st.NTables = 0
	}
}

// keyword takes a keyword and tells whether it is nothing but that.
func (s *tables) keyword(f *facts, t *token) bool {
	here := bit(f.depth)
	if s.expect != exNone && t.attr&aMod != 0 {
		return true
	}
	if t.attr&aReserved != 0 || t.kw == kwTables || t.kw == kwView {
		s.close(f)
		s.expect = exNone
	}
	if t.attr&aTail != 0 {
		s.list &^= here
	}
	switch t.kw {
	case kwSelect, kwDelete:
		s.query |= here
	case kwFrom:
		s.from(f, here)
	case kwIn:
		s.showFrom()
	case kwJoin, kwStraightJoin:
		if t.kw == kwJoin || s.list&here != 0 {
			s.expect = exQuery
		}
	case kwInsert, kwReplace, kwDescribe, kwDesc, kwExplain:
		if f.words == 1 {
			s.expect = exOne
		}
	case kwInto:
		if f.verb == VerbInsert || f.verb == VerbReplace {
			s.expect = exOne
		}
	case kwUpdate:
		if f.prev.kw != kwFor && f.prev.kw != kwKey && f.prev.kw != kwOn {
			s.expect = exQuery
			s.list |= here
		}
	case kwFor:
		s.list &^= here
	default:
		return s.definition(f, t, here)
	}
	return true
}

// from takes FROM.
func (s *tables) from(f *facts, here uint64) {
	if s.query&here != 0 {
		s.expect = exQuery
		s.list |= here
	}
	s.showFrom()
}

// showFrom takes FROM or IN of SHOW COLUMNS.
func (s *tables) showFrom() {
	if s.show {
		s.show = false
		s.expect = exOne
	}
}

// definition takes a keyword of statements that are about tables as such.
func (s *tables) definition(f *facts, t *token, here uint64) bool {
	switch t.kw {
	case kwTable, kwTables, kwView:
		if t.kw == kwTables && f.verb != VerbLock && f.verb != VerbFlush && f.verb != VerbDrop {
			return f.verb == VerbShow
		}
		s.expect = exOne
		if f.verb != VerbCreate && f.verb != VerbAlter && f.verb != VerbLoad {
			s.list |= here
		}
	case kwTo, kwLike:
		if t.kw == kwTo && f.verb == VerbRename || t.kw == kwLike && f.verb == VerbCreate {
			s.expect = exOne
		}
	case kwUsing:
		if f.verb == VerbDelete {
			s.expect = exOne
			s.list |= here
		}
	case kwIndex, kwTrigger:
		s.ddl = f.verb == VerbCreate || f.verb == VerbDrop
		s.show = f.verb == VerbShow
	case kwColumns:
		s.show = f.verb == VerbShow
		return s.expect == exNone
	case kwOn:
		if s.ddl && f.depth == 0 {
			s.ddl = false
			s.expect = exOne
		}
	default:
		if f.words == 1 && (f.verb == VerbTruncate || f.verb == VerbHandler) {
			s.expect = exOne
			return true
		}
		return t.attr&aReserved != 0
	}
	return true
}
