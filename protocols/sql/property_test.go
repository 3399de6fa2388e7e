package sql

import (
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// allCases are the statements of the tables that are not broken.
func allCases() (out []string) {
	for _, cases := range [][]scanCase{readCases, writeCases, otherCases} {
		for _, c := range cases {
			if !c.flags.Has(Broken) {
				out = append(out, c.text)
			}
		}
	}
	return out
}

// spaceless takes the spaces out of a normal form, so that only its tokens count.
func spaceless(text string) string { return strings.ReplaceAll(text, " ", "") }

func scan(text string, d Dialect) Statement {
	var st Statement
	Scan([]byte(text), d, &st)
	return st
}

func digest(text string, d Dialect) string { return string(AppendDigest(nil, []byte(text), d)) }

// TestSlowLexer compares the two lexers on the tables.
func TestSlowLexer(t *testing.T) {
	n := 0
	for _, text := range allCases() {
		if compareSlow(t, text, 0) {
			n++
		}
	}
	if n < 200 {
		t.Errorf("only %d statements were compared", n)
	}
}

// compareSlow tells whether the slow lexer knows the text, and fails where it differs.
func compareSlow(t interface{ Fatalf(string, ...any) }, text string, d Dialect) bool {
	want, ok := slowDigest(text, d)
	if !ok {
		return false
	}
	if got := digest(text, d); spaceless(got) != spaceless(want) {
		t.Fatalf("%q:\nfast %s\nslow %s", text, got, want)
	}
	return true
}

// genLiteral draws a literal.
func genLiteral(t *rapid.T) string {
	return rapid.SampledFrom([]string{
		"1", "0", "42", "1.5", ".5", "1e9", "0x1F", "x'4D'", "b'1'", "'a'", "''", "'it''s'", "'a\\'b'", "\"x\"", "?", "N'x'", "-1", "+ 2", "- -3",
		"_utf8mb4'x'", "'/* */'", "'-- '", "'; DELETE'",
	}).Draw(t, "literal")
}

// genExpr draws an expression; depth limits nesting.
func genExpr(t *rapid.T, depth int) string {
	if depth <= 0 {
		return rapid.SampledFrom([]string{"a", "t.b", "`c d`", "@v", "@@x", "NULL", "NOW()", "count(*)"}).Draw(t, "leaf")
	}
	sub := func() string { return genExpr(t, depth-1) }
	switch rapid.IntRange(0, 9).Draw(t, "expr") {
	case 0, 1, 2:
		return genLiteral(t)
	case 3:
		return sub() + rapid.SampledFrom([]string{" + ", " - ", " = ", "<=", " and ", " - - ", "<=>", " || "}).Draw(t, "op") + sub()
	case 4:
		return sub() + " IN (" + genList(t, depth-1) + ")"
	case 5:
		return "f(" + sub() + ", " + sub() + ")"
	case 6:
		return "(" + sub() + ")"
	case 7:
		return "a IN (SELECT " + sub() + ", " + sub() + " FROM t)"
	case 8:
		return "CASE WHEN " + sub() + " THEN " + sub() + " END"
	}
	return genExpr(t, 0)
}

// genList draws elements with commas between them.
func genList(t *rapid.T, depth int) string {
	var e []string
	for range rapid.IntRange(1, 5).Draw(t, "n") {
		switch rapid.IntRange(0, 5).Draw(t, "element") {
		case 0, 1, 2:
			e = append(e, genLiteral(t))
		case 3:
			e = append(e, rapid.SampledFrom([]string{"NULL", "TRUE", "DEFAULT", "(1,2)", "(NULL)", "(3 , 'x')"}).Draw(t, "constant"))
		default:
			e = append(e, genExpr(t, depth))
		}
	}
	return strings.Join(e, " , ")
}

// genStatement draws a statement.
func genStatement(t *rapid.T) string {
	switch rapid.IntRange(0, 5).Draw(t, "statement") {
	case 0:
		rows := []string{}
		for range rapid.IntRange(1, 4).Draw(t, "rows") {
			rows = append(rows, "("+genList(t, 1)+")")
		}
		tail := rapid.SampledFrom([]string{"", " ON DUPLICATE KEY UPDATE a=VALUES(a), b = VALUES(b)", " RETURNING a, b"}).Draw(t, "tail")
		return "INSERT INTO t (a, b) VALUES " + strings.Join(rows, ",") + tail
	case 1:
		return "VALUES ROW(" + genList(t, 1) + "), ROW(" + genList(t, 1) + ") ORDER BY 1"
	case 2:
		return "UPDATE t SET a = " + genExpr(t, 2) + " WHERE " + genExpr(t, 3) + " LIMIT 1"
	case 3:
		return rapid.SampledFrom(allCases()).Draw(t, "case")
	}
	return "SELECT " + genExpr(t, 2) + ", -1 AS `x` FROM t, u WHERE " + genExpr(t, 3) +
		rapid.SampledFrom([]string{"", " FOR UPDATE", " LIMIT 1, 2", " INTO @a"}).Draw(t, "tail")
}

func TestPropertySlow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := genStatement(t)
		d := Dialect(rapid.IntRange(0, 3).Draw(t, "dialect"))
		if scan(text, d).Flags.Has(Broken) {
			return
		}
		if !compareSlow(t, text, d) {
			t.Fatalf("%q: not known to the slow lexer", text)
		}
	})
}

// TestPropertyDigest: equal normal forms have equal hashes, others have others, and a normal form is its own.
func TestPropertyDigest(t *testing.T) {
	seen := map[string]uint64{}
	back := map[uint64]string{}
	rapid.Check(t, func(t *rapid.T) {
		text := genStatement(t)
		st, norm := scan(text, 0), digest(text, 0)
		if len(norm) > MaxDigestText-100 {
			return
		}
		if h, ok := seen[norm]; ok && h != st.Digest {
			t.Fatalf("%q: %x and %x", norm, h, st.Digest)
		}
		if other, ok := back[st.Digest]; ok && other != norm {
			t.Fatalf("%q and %q are both %x", norm, other, st.Digest)
		}
		seen[norm], back[st.Digest] = st.Digest, norm
		if again := digest(norm, 0); again != norm || scan(norm, 0).Digest != st.Digest {
			t.Fatalf("%q:\n%s becomes\n%s", text, norm, again)
		}
	})
}

// respace writes text's tokens with other spaces, comments and cases between and in them.
func respace(t *rapid.T, text string, tokens []slowToken) string {
	rnd := rand.New(rand.NewPCG(uint64(len(text)), rapid.Uint64().Draw(t, "seed")))
	gaps := []string{" ", "\n", "\t \r\n", " /* c */ ", "/**/", " -- c ; '\n", "#c\n", " /*+ h */ ", "/* /* */"}
	var b strings.Builder
	exec := 0
	for i, tok := range tokens {
		if i > 0 && tok.kind != "." && tokens[i-1].kind != "." {
			if exec > 0 {
				b.WriteString(gaps[rnd.IntN(3)])
			} else {
				b.WriteString(gaps[rnd.IntN(len(gaps))])
			}
		}
		switch tok.kind {
		case "x":
			exec++
		case "X":
			exec--
		}
		if tok.kind != "w" || rnd.IntN(2) == 0 {
			b.WriteString(tok.raw)
			continue
		}
		for _, c := range []byte(tok.raw) {
			if rnd.IntN(2) == 0 && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
				c ^= 0x20
			}
			b.WriteByte(c)
		}
	}
	return b.String()
}

// TestPropertySpaces: spaces, comments and the case of words change nothing.
func TestPropertySpaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := genStatement(t)
		tokens, ok := slowTokens(text, 0)
		if !ok {
			t.Fatalf("%q: not known to the slow lexer", text)
		}
		other := respace(t, text, tokens)
		a, b := scan(text, 0), scan(other, 0)
		if a.Digest != b.Digest || a.Kind != b.Kind || a.Verb != b.Verb || a.Flags != b.Flags {
			t.Fatalf("%q: %+v\n%q: %+v", text, a, other, b)
		}
		if x, y := digest(text, 0), digest(other, 0); x != y {
			t.Fatalf("%q: %s\n%q: %s", text, x, other, y)
		}
	})
}

// TestPropertyLiterals: other literals change nothing but what a hint or KILL says.
func TestPropertyLiterals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := genStatement(t)
		tokens, _ := slowTokens(text, 0)
		var b strings.Builder
		for i, tok := range tokens {
			if i > 0 && tok.kind != "." && tokens[i-1].kind != "." {
				b.WriteByte(' ')
			}
			if tok.kind == "l" {
				b.WriteString(rapid.SampledFrom([]string{"7", "'x'", "0x00", "?", "'; DROP --'", "1e-5", "''", "x''"}).Draw(t, "literal"))
			} else {
				b.WriteString(tok.raw)
			}
		}
		a, c := scan(text, 0), scan(b.String(), 0)
		if a.Digest != c.Digest || a.Kind != c.Kind || a.Verb != c.Verb || (a.Flags^c.Flags)&^KillOther != 0 {
			t.Fatalf("%q: %+v\n%q: %+v", text, a, b.String(), c)
		}
	})
}

// TestPropertyConcat: two statements with a semicolon between them are the sum of both.
func TestPropertyConcat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := genStatement(t), genStatement(t)
		a, b, both := scan(x, 0), scan(y, 0), scan(x+"\n;"+y, 0)
		if a.Digest == 0 || b.Digest == 0 {
			return // one is empty
		}
		want := (a.Flags | b.Flags | Multi) &^ (ReleasesLocks | KillOther)
		if both.Verb != a.Verb || both.Flags&^(ReleasesLocks|KillOther) != want || both.Kind != stricter(a.Kind, b.Kind) {
			t.Fatalf("%q ; %q: %+v", x, y, both)
		}
		dx, dy := digest(x, 0), digest(y, 0)
		if got := digest(x+"\n;"+y, 0); len(dx)+len(dy) < MaxDigestText-100 && got != dx+"; "+dy {
			t.Fatalf("%q ; %q: %s", x, y, got)
		}
	})
}
