package sql

// tokKind is a token's type.
type tokKind uint8

const (
	tEOF       tokKind = iota
	tWord              // keyword or name without quotes
	tQuoted            // name in backquotes, or in double quotes with AnsiQuotes
	tLit               // string, number, hexadecimal or bit value, \N, ?
	tUserVar           // @x
	tSysVar            // @@x, without what follows a dot
	tOp                // any other punctuation, longest first: <=> := ->>
	tLParen            // (
	tRParen            // )
	tComma             // ,
	tDot               // .
	tSemi              // ;
	tExecOpen          // /*! or /*M! with its version
	tExecClose         // */ of that
	tBad               // a byte that no token starts with
	tElem              // only in hashes: an element of a list
)

// token is what the lexer found. Its text is text[start:end].
type token struct {
	kind  tokKind
	attr  attr // tWord
	fold  bool // tWord, tQuoted, tUserVar, tSysVar: the case of ASCII letters does not matter
	quote byte // tQuoted, tUserVar, tSysVar: the quote around the name, or 0
	twice bool // the quote occurs inside, doubled
	kw    kw   // tWord: kwNone too for every name next to a dot
	start int
	end   int
	from  int // the name is text[from:to], as written between the quotes; tExecOpen: the version's digits
	to    int
}

// class says what a byte starts or continues.
type class uint8

const (
	cSpace  class = 1 << iota // white space
	cIdent                    // may continue a name: letters, digits, $, _, bytes from 0x80
	cDigit                    // 0 to 9
	cHex                      // hexadecimal digit
	cString                   // ends the fast walk through a string: quotes, the backslash, bytes from 0x80
	cASCII                    // cIdent below 0x80
	cOp                       // an operator's byte
)

var classes = func() (t [256]class) {
	for _, c := range []byte(" \t\n\v\f\r") {
		t[c] = cSpace
	}
	for c := range 256 {
		switch {
		case c >= '0' && c <= '9':
			t[c] = cIdent | cDigit | cHex
		case c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			t[c] = cIdent | cHex
		case c >= 'g' && c <= 'z', c >= 'G' && c <= 'Z', c == '_', c == '$', c >= 0x80:
			t[c] = cIdent
		}
	}
	for c := range 256 {
		if c >= 0x80 || c == '\'' || c == '"' || c == '`' || c == '\\' {
			t[c] |= cString
		} else if t[c].is(cIdent) {
			t[c] |= cASCII
		}
	}
	for _, c := range []byte("!%&*+-/:<=>[]^{|}~") {
		t[c] |= cOp
	}
	return t
}()

func (c class) is(mask class) bool { return c&mask != 0 }
