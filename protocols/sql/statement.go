package sql

import "math"

// Span is a part of a text: Len bytes from Off.
type Span struct{ Off, Len int32 }

// Of returns the part of text, which must be the text that the span was made for.
func (t Span) Of(text []byte) []byte { return text[t.Off : t.Off+t.Len] }

// span makes a Span from two offsets.
func span(start, end int) Span { return Span{int32(start), int32(end - start)} }

// MaxTables is how many table names a Statement keeps.
const MaxTables = 8

// Statement is what Scan finds in a text.
type Statement struct {
	Verb  Verb  // of the first statement
	Kind  Kind  // the strictest of all statements; Write wins
	Flags Flags // of all statements
	// Digest identifies the text's shape: the hash of its normal form, see AppendDigest. 0 where there is no token.
	Digest uint64
	// Tables are the first NTables names in FROM, JOIN, INTO, UPDATE and TABLE clauses of all statements, as written and
	// each once; a name of a WITH clause may be among them. TableName strips the quotes.
	Tables  [MaxTables]Span
	NTables uint8
	// Hint is the body of the first comment of the form /* sluice: ... */ before the first keyword or right after it,
	// without "sluice:" and outer white space; zero where there is none.
	Hint Span
	// First is the first statement, up to its semicolon: all of the text, but for the semicolon, unless Multi.
	First Span
	// KillID is the connection id of the first KILL; 0 where KillOther is set.
	KillID uint64
}

// Scan finds the facts in text, which holds one statement or several, and puts them into st. It reads the text once
// and allocates nothing. Everything that it does not know is Unknown: to be treated as a write. The text has to be
// whole: of the beginning of a longer one Verb and Hint hold and Write does, nothing else, for what makes a write of a
// read may stand at its end.
func Scan(text []byte, d Dialect, st *Statement) {
	*st = Statement{}
	if len(text) > math.MaxInt32 {
		st.Flags = Broken
		return
	}
	lex := newLexer(text, d)
	lex.hints = true
	norm := norm{text: text, d: d, state: state{h: hashSeed}}
	f := facts{text: text, lex: &lex, st: st}
	for lex.next(); lex.tok.kind != tEOF; lex.next() {
		norm.token(&lex.tok)
		f.token(&lex.tok)
	}
	f.end()
	st.Digest = norm.sum()
}
