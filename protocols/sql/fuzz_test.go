package sql

import (
	"bytes"
	"testing"
)

// FuzzScan: no panic, spans within the text, the normal form of a normal form is itself and has the same hash, and the
// slow lexer finds the same tokens.
func FuzzScan(f *testing.F) {
	for i, text := range allCases() {
		f.Add([]byte(text), byte(i))
	}
	for _, text := range []string{
		"SELECT 'a", "SELECT `a", "/*", "/*!", "/*!50000", "/*!500001*/", "--", "- -", "@", "@@", "@@`", "@'a\\'b'", "1.e(", "x'", "N'", "0x", ".5.5", "a..b",
		"a.5.b", "in (1, (null), default, -(-(1)))", "values (1),(2),", "values row, row", "values row (1), (2) , row", "in ((((((((((1,1))))))))))",
		"in (select null, 1, 1)", "values (values (1),(1)),(values (1))", "_utf8 _utf8 - - _utf8 'x'", ")))in (1,1)", "in (1;in (1", "values (1)),(2)",
		"`a\x81` `", "\x95\\'", "kill 1;kill", "set @@global.a:=1,@x", "select . x, 1, 1", "/*! a /*! b */ c */ d */", "\"a``b\"\"c\"", "\\N \\n",
	} {
		for d := range 8 {
			f.Add([]byte(text), byte(d))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, pick byte) {
		d := Dialect(pick)
		var st Statement
		Scan(text, d, &st)
		checkSpans(t, text, &st)
		checkNormal(t, text, d, &st)
		if d&(TrailByte|SingleByte) == 0 && !st.Flags.Has(Broken) {
			checkTokens(t, text, d)
		}
	})
}

// checkSpans looks at what a Statement points to.
func checkSpans(t *testing.T, text []byte, st *Statement) {
	inside := func(s Span) {
		if s.Off < 0 || s.Len < 0 || int(s.Off)+int(s.Len) > len(text) {
			t.Fatalf("%q: span %v", text, s)
		}
	}
	inside(st.Hint)
	inside(st.First)
	for _, s := range st.Tables[:st.NTables] {
		inside(s)
		TableName(nil, s.Of(text))
	}
	for range Hints(st.Hint.Of(text)) {
	}
	if st.Flags.Has(Broken) && st.Kind != Unknown {
		t.Fatalf("%q: broken and %v", text, st.Kind)
	}
	if st.KillID != 0 && !st.Flags.Has(Kill) {
		t.Fatalf("%q: an id without KILL", text)
	}
}

// checkNormal looks at the normal form.
func checkNormal(t *testing.T, text []byte, d Dialect, st *Statement) {
	norm := AppendDigest([]byte("x"), text, d)
	if norm[0] != 'x' || len(norm) > MaxDigestText+1 {
		t.Fatalf("%q: normal form of %d bytes", text, len(norm))
	}
	norm = norm[1:]
	if len(text) > MaxDigestText/4 {
		return // it may not be whole
	}
	if d&TrailByte != 0 && st.Flags.Has(Broken) {
		return // half a character may take a quote with it
	}
	var again Statement
	Scan(norm, d, &again)
	if other := AppendDigest(nil, norm, d); !bytes.Equal(other, norm) || again.Digest != st.Digest {
		t.Fatalf("%q %b:\n%q %x becomes\n%q %x", text, d, norm, st.Digest, other, again.Digest)
	}
}

// checkTokens compares the tokens with the slow lexer's.
func checkTokens(t *testing.T, text []byte, d Dialect) {
	want, ok := slowTokens(string(text), d)
	if !ok {
		t.Fatalf("%q: not broken, and not known to the slow lexer", text)
	}
	l := newLexer(text, d)
	for i := 0; ; i++ {
		l.next()
		if l.tok.kind == tEOF {
			if i != len(want) {
				t.Fatalf("%q: %d tokens, slow %d", text, i, len(want))
			}
			return
		}
		if i >= len(want) || string(text[l.tok.start:l.tok.end]) != want[i].raw || slowKind[want[i].kind] != l.tok.kind {
			t.Fatalf("%q: token %d is %q (%d), slow %q", text, i, text[l.tok.start:l.tok.end], l.tok.kind, want)
		}
	}
}

var slowKind = map[string]tokKind{
	"w": tWord, "q": tQuoted, "l": tLit, "u": tUserVar, "s": tSysVar, "o": tOp, "(": tLParen, ")": tRParen, ",": tComma, ".": tDot, ";": tSemi,
	"x": tExecOpen, "X": tExecClose,
}
