package sql

// MaxDigestText is the longest text that AppendDigest writes.
const MaxDigestText = 2048

// AppendDigest appends the normal form of text to dst and returns it: what its Digest is the hash of. It allocates
// nothing if dst has the room. Texts with the same normal form have the same Digest, and the other way round but for
// collisions of 64 bits; whoever writes SQL can make those, so compare the normal form where it matters.
//
// The normal form is the tokens with single spaces, all but some punctuation apart:
//
//   - literals and ? are ?, together with the signs and the character set (_utf8mb4 'x') in front of them;
//   - keywords and names are in lower case, names in quotes in backquotes: "Id" with AnsiQuotes is `id`. Where a byte
//     from 0x80 may take an ASCII letter with it (TrailByte), the case of the name stays;
//   - comments are gone, also /*+ ... */; the brackets of executable comments stay, with their version;
//   - in IN (...), and in the rows of VALUES, neighbours that are alike stand for one, if they are made of literals:
//     IN (?, ?, ?) is in (?), and (1, NOW(), 2, 3) is (?, now(), ?). NULL, TRUE, FALSE and DEFAULT alone between the
//     commas are literals there. Rows that are alike then stand for one, whatever they are made of;
//   - empty statements are gone, and so are semicolons at the ends.
//
// It ends before the token that would take it over MaxDigestText, while the hash goes on. It has no literals and is fit
// for logs. The normal form of a normal form is itself, as long as it is whole.
func AppendDigest(dst, text []byte, d Dialect) []byte {
	lex := newLexer(text, d)
	n := norm{text: text, d: d, state: state{h: hashSeed}, writing: true, out: dst, base: len(dst)}
	for lex.next(); lex.tok.kind != tEOF; lex.next() {
		n.token(&lex.tok)
	}
	n.closeLists()
	return n.out
}

// prev is what stands to the left of the next token, as far as spaces and signs are concerned.
type prev uint8

const (
	pNone     prev = iota // the beginning
	pName                 // a name, or a keyword that may be a function
	pKeyword              // another keyword
	pExpr                 // a keyword that an expression follows
	pLit                  // a literal
	pUserVar              // @x
	pOp                   // an operator or a semicolon
	pLParen               // (
	pRParen               // ) or the end of an executable comment, or a stray byte
	pComma                // ,
	pDot                  // a dot within a name
	pLooseDot             // another dot
	pExecOpen             // /*!
)

// unary tells whether a sign behind p belongs to what follows it.
func (p prev) unary() bool {
	switch p {
	case pNone, pExpr, pOp, pLParen, pComma:
		return true
	}
	return false
}

// run is a sequence of tokens that vanish if a literal follows.
type run uint8

const (
	runNone    run = iota
	runSign        // ends with a sign
	runCharset     // ends with a character set
)

// state is what has to be put back to make the last tokens undone.
type state struct {
	h     uint64
	len   int32 // of the normal form in out
	toks  int32 // of the present element of a list
	words bool  // it has names or keywords
	prev  prev
	full  bool // no more text
}

// norm turns tokens into the normal form: a hash, and the text if writing.
type norm struct {
	text []byte
	d    Dialect
	state
	run      run
	runStart state
	lastKw   kw // the last token, if it is a keyword
	depth    int
	nlists   int
	lists    [maxLists]list

	writing bool
	out     []byte
	base    int // where the normal form begins in out
	semi    bool
}

// sum ends the text and returns its hash.
func (n *norm) sum() uint64 {
	n.closeLists()
	if n.prev == pNone {
		return 0
	}
	return max(1, mix(n.h, 0, tagOf(tEOF, 0)))
}

// save returns the present state, undo goes back to it.
func (n *norm) save() state {
	s := n.state
	s.len = int32(len(n.out) - n.base)
	return s
}

func (n *norm) undo(s *state) {
	n.state = *s
	if n.writing {
		n.out = n.out[:n.base+int(s.len)]
	}
}

// token takes the next token.
func (n *norm) token(t *token) {
	if t.kind == tSemi {
		n.closeLists()
		n.depth = 0
		n.lastKw = kwNone
		n.run = runNone
		n.semi = n.prev != pNone
		return
	}
	if n.semi {
		n.semi = false
		n.emit(mix(n.h, 0, tagOf(tSemi, 1)), semicolon, false, pOp)
	}
	if n.nlists > 0 && n.lists[n.nlists-1].done && n.row(t) {
		return
	}
	switch t.kind {
	case tComma:
		n.comma()
	case tLParen:
		n.open()
	case tRParen:
		n.close()
	case tLit:
		n.literal()
	case tWord:
		n.word(t)
		return
	case tOp:
		n.op(t)
	case tDot:
		n.dot()
	case tQuoted, tUserVar, tSysVar:
		n.name(t)
	case tExecOpen:
		n.emit(hashSpan(n.h, n.text, t.from, t.to-t.from, tagExec(n.text, t), false), n.text[t.start:t.end], true, pExecOpen)
	case tExecClose:
		n.emit(mix(n.h, 0, tagOf(tExecClose, 0)), execClose, true, pRParen)
	case tBad:
		n.emit(mix(n.h, 0, tagOf(tBad, 0)), badByte, true, pRParen)
	}
	n.lastKw = kwNone
}

// Tokens with one form only.
var (
	execClose = []byte("*/")
	badByte   = []byte(`\`)
	lparen    = []byte("(")
	rparen    = []byte(")")
	comma     = []byte(",")
	dot       = []byte(".")
	semicolon = []byte(";")
	mark      = []byte("?")
)

// tagExec tells /*! and /*M! apart in the hash.
func tagExec(text []byte, t *token) tokKind {
	if text[t.start+2] == 'M' {
		return tExecOpen | 0x80
	}
	return tExecOpen
}

// emit ends a token: its hash is in h, its text is s; spaced tells whether a space may stand before it. A run ends.
func (n *norm) emit(h uint64, s []byte, spaced bool, p prev) {
	n.h = h
	n.run = runNone
	n.toks++
	if n.writing {
		n.put(s, spaced, false)
	}
	n.prev = p
}

// put appends a token's text, in lower case if fold.
func (n *norm) put(s []byte, spaced, fold bool) {
	spaced = spaced && n.prev != pNone && n.prev != pLParen && n.prev != pDot
	size := len(s)
	if spaced {
		size++
	}
	if n.full || len(n.out)-n.base+size > MaxDigestText {
		n.full = true
		return
	}
	if spaced {
		n.out = append(n.out, ' ')
	}
	if !fold {
		n.out = append(n.out, s...)
		return
	}
	for _, c := range s {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		n.out = append(n.out, c)
	}
}

func (n *norm) literal() {
	if n.run != runNone {
		n.undo(&n.runStart)
	}
	n.emit(mix(n.h, 0, tagOf(tLit, 1)), mark, true, pLit)
}

// op takes an operator; a sign in front of an operand may become part of a literal.
func (n *norm) op(t *token) {
	size := t.end - t.start
	r := runNone
	if c := n.text[t.start]; size == 1 && (c == '-' || c == '+') {
		if n.run == runSign || n.run == runNone && n.prev.unary() {
			r = n.begin(runSign)
		}
	}
	n.emit(mix(n.h, load(n.text, t.start, size), tagOf(tOp, size)), n.text[t.start:t.end], true, pOp)
	n.run = r
}

// begin begins a run or goes on with it.
func (n *norm) begin(r run) run {
	if n.run == runNone {
		n.runStart = n.save()
	}
	return r
}

func (n *norm) dot() {
	if n.prev == pName {
		n.emit(mix(n.h, 0, tagOf(tDot, 0)), dot, false, pDot)
		return
	}
	n.emit(mix(n.h, 1, tagOf(tDot, 0)), dot, true, pLooseDot)
}

// word takes a keyword or a name without quotes.
func (n *norm) word(t *token) {
	if t.kw == kwRow && n.lastKw == kwValues {
		n.push(n.depth, true)
	}
	if n.nlists > 0 {
		n.lists[n.nlists-1].word(n, t)
	}
	p := pName
	if t.kw != kwNone && t.attr&(aFunc|aCharset) == 0 {
		p = pKeyword
		if t.attr&aExpr != 0 {
			p = pExpr
		}
	}
	r := runNone
	if t.attr&aCharset != 0 {
		r = n.begin(runCharset)
	}
	n.h = hashSpan(n.h, n.text, t.start, t.end-t.start, tWord, t.fold)
	n.toks++
	n.words = true
	if n.writing {
		n.put(n.text[t.start:t.end], true, t.fold)
	}
	n.prev, n.run, n.lastKw = p, r, t.kw
}
