package sql

import (
	"regexp"
	"slices"
	"strings"
)

// The slow lexer is a second one, written from the rules with regular expressions and slices, for the fast one to be
// compared with. It knows AnsiQuotes and NoBackslashEscapes, and texts that are not Broken.

// slowToken is a token: its type in one letter, its text as written, and its normal form.
type slowToken struct {
	kind      string // w word, q quoted, l literal, u user variable, s system variable, o operator, x /*!, X */, ( ) , . ;
	raw, norm string
}

// slowRule takes a token if its expression matches; kind "" is white space or a comment.
type slowRule struct {
	kind string
	re   *regexp.Regexp
}

const slowIdent = `(?:[0-9A-Za-z_$]|[^\x00-\x7F])`

func slowRules(d Dialect) []slowRule {
	backslash := `|\\(?s:.)`
	notIn := `\\`
	if d&NoBackslashEscapes != 0 {
		backslash, notIn = "", ""
	}
	single := `'(?:[^'` + notIn + `]` + backslash + `|'')*'`
	double := `"(?:[^"` + notIn + `]` + backslash + `|"")*"`
	back := "`(?:[^`]|``)*`"
	dquote, dkind, dvar := double, "l", ""
	if d&AnsiQuotes != 0 {
		dquote, dkind, dvar = `"(?:[^"]|"")*"`, "q", `|"(?:[^"]|"")*"`
	}
	var rules []slowRule
	for _, r := range [][2]string{
		{"", `[ \t\n\v\f\r]+`},
		{"", `#[^\n]*\n?`},
		{"", `--\z|--\n|--[\x00-\x20\x7F][^\n]*\n?`},
		{"x", `/\*M?!(?:[0-9]{5}[0-9]?)?`},
		{"", `(?s:/\*.*?\*/)`},
		{"l", `[nN]` + single + `|[xX]'[0-9a-fA-F]*'|[bB]'[01]*'|` + single},
		{dkind, dquote},
		{"q", back},
		{"s", `@@(?:` + back + dvar + `|` + slowIdent + `*)`},
		{"u", `@(?:` + back + `|` + single + `|` + dquote + `|(?:` + slowIdent + `|\.)*)`},
		{"l", `0[xX][0-9a-fA-F]+|0[bB][01]+`}, // only if no more of a name follows
		{"f", `(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+[eE])(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+`},
		{"l", `[0-9]+`},
		{"w", slowIdent + `+`},
		{"l", `\?|\\N`},
		{"o", `<=>|->>|<=|<>|<<|>=|>>|->|!=|:=|&&|\|\||[-!%&*+/:<=>\[\]^{|}~]`},
		{"(", `\(`}, {")", `\)`}, {",", `,`}, {".", `\.`}, {";", `;`},
	} {
		rules = append(rules, slowRule{r[0], regexp.MustCompile(`\A(?:` + r[1] + `)`)})
	}
	return rules
}

var (
	slowNumber  = regexp.MustCompile(`\A(?:[0-9]+\.[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)`)
	slowGoesOn  = regexp.MustCompile(`\A` + slowIdent)
	slowBareVar = regexp.MustCompile(`\A@(?:` + slowIdent + `|\.)+\z|\A@@` + slowIdent + `+\z`)
	slowCache   = map[Dialect][]slowRule{}
)

// slowTokens cuts text; ok is false for what it does not understand.
func slowTokens(text string, d Dialect) (out []slowToken, ok bool) {
	if slowCache[d] == nil {
		slowCache[d] = slowRules(d)
	}
	exec, glued := 0, false // glued: the last token was a name and nothing stood behind it
	for len(text) > 0 {
		afterDot := len(out) > 0 && out[len(out)-1].kind == "."
		kind, raw := "?", ""
		for _, r := range slowCache[d] {
			m := r.re.FindString(text)
			rest := text[len(m):]
			switch {
			case m == "":
				continue
			case r.kind == "f":
				if m = slowNumber.FindString(text); m == "" || text[0] == '.' && glued || text[0] != '.' && afterDot {
					continue
				}
				kind, raw = "l", m
			case r.kind == "l" && m[0] >= '0' && m[0] <= '9' && (afterDot || slowGoesOn.MatchString(rest)),
				r.kind == "l" && afterDot && strings.ContainsAny(m[:1], "nNxXbB"):
				continue
			default:
				kind, raw = r.kind, m
			}
			break
		}
		if exec > 0 && strings.HasPrefix(text, "*/") {
			kind, raw = "X", "*/"
		}
		if kind == "?" {
			return nil, false
		}
		switch kind {
		case "x":
			exec++
		case "X":
			exec--
		}
		text = text[len(raw):]
		glued = kind == "w" || kind == "q" || kind == "s"
		if kind != "" {
			out = append(out, slowToken{kind, raw, slowNorm(kind, raw)})
		}
	}
	return out, exec == 0
}

func lowerBytes(b []byte) []byte {
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return b
}

// slowNorm writes one token.
func slowNorm(kind, raw string) string {
	switch kind {
	case "l":
		return "?"
	case "w":
		return string(lowerBytes([]byte(raw)))
	case "q", "u", "s":
		at := len(raw) - len(strings.TrimLeft(raw, "@"))
		if kind == "u" {
			at = 1
		}
		name := raw[at:]
		if name != "" && strings.ContainsAny(name[:1], "`'\"") {
			q := name[:1]
			name = strings.ReplaceAll(name[1:len(name)-1], q+q, q)
		}
		name = string(lowerBytes([]byte(name)))
		if bare := raw[:at] + name; slowBareVar.MatchString(bare) {
			return bare
		}
		return raw[:at] + "`" + strings.ReplaceAll(name, "`", "``") + "`"
	}
	return raw
}

// slowNode is a token, or a group in parentheses.
type slowNode struct {
	slowToken
	kids  []slowNode
	group bool
}

// slowKeyword tells whether the token at i is the given keyword: a name next to a dot is none.
func slowKeyword(t []slowToken, i int, words ...string) bool {
	if i < 0 || i >= len(t) || t[i].kind != "w" || !slices.Contains(words, t[i].norm) {
		return false
	}
	return !(i > 0 && t[i-1].kind == ".") && !(i+1 < len(t) && t[i+1].kind == ".")
}

// slowFold takes signs and character sets in front of literals away.
func slowFold(in []slowToken) []slowToken {
	var out []slowToken
	start, sign := -1, false // where the run begins, and whether it ends with a sign
	for i, t := range in {
		charset := t.kind == "w" && slowKeyword(in, i, t.norm) && t.norm[0] == '_' && words.find([]byte(t.norm), 0, len(t.norm)).kw == kwCharset
		switch {
		case t.kind == "l" && start >= 0:
			out, start = out[:start], -1
		case charset:
			if start < 0 {
				start = len(out)
			}
			sign = false
		case t.kind == "o" && (t.norm == "-" || t.norm == "+") && (start >= 0 && sign || start < 0 && slowUnary(in, i-1, out)):
			if start < 0 {
				start = len(out)
			}
			sign = true
		default:
			start = -1
		}
		out = append(out, t)
	}
	return out
}

// slowUnary tells whether an expression begins behind token i.
func slowUnary(in []slowToken, i int, out []slowToken) bool {
	if len(out) == 0 {
		return true
	}
	switch last := out[len(out)-1]; last.kind {
	case "o", "(", ",":
		return true
	case "w":
		return slowKeyword(in, i, last.norm) && words.find([]byte(last.norm), 0, len(last.norm)).attr&aExpr != 0
	}
	return false
}

// slowTree groups tokens by parentheses, which have to match.
func slowTree(t []slowToken) (nodes []slowNode, rest []slowToken) {
	for len(t) > 0 {
		switch t[0].kind {
		case "(":
			kids, after := slowTree(t[1:])
			nodes = append(nodes, slowNode{group: true, kids: kids})
			t = after[1:]
		case ")":
			return nodes, t
		default:
			nodes = append(nodes, slowNode{slowToken: t[0]})
			t = t[1:]
		}
	}
	return nodes, nil
}

// slowSplit cuts nodes at their commas.
func slowSplit(n []slowNode) (out [][]slowNode) {
	start := 0
	for i := range n {
		if n[i].kind == "," {
			out = append(out, n[start:i])
			start = i + 1
		}
	}
	return append(out, n[start:])
}

func (n slowNode) is(nodes []slowNode, i int, w ...string) bool {
	return n.kind == "w" && slices.Contains(w, n.norm) && !(i > 0 && nodes[i-1].kind == ".") && !(i+1 < len(nodes) && nodes[i+1].kind == ".")
}

// slowShorten shortens lists in a sequence of nodes.
func slowShorten(n []slowNode) (out []slowNode) {
	for i := 0; i < len(n); i++ {
		k := n[i]
		switch {
		case i > 0 && k.group && n[i-1].is(n, i-1, "in"):
			out = append(out, slowNode{group: true, kids: slowItems(k.kids)})
		case i > 0 && n[i-1].is(n, i-1, "values", "value") && (k.group || k.norm == "row" && n[i-1].norm == "values"):
			last := ""
			for first := true; ; first = false {
				var row []slowNode
				j := i
				if !first {
					if j >= len(n) || n[j].kind != "," {
						break
					}
					j++
				}
				if j < len(n) && n[j].kind == "w" && n[j].norm == "row" {
					row = append(row, n[j])
					j++
				}
				if j >= len(n) || !n[j].group {
					break
				}
				row = append(row, slowNode{group: true, kids: slowItems(n[j].kids)})
				if s := slowRender(row); s != last {
					if !first {
						out = append(out, slowNode{slowToken: slowToken{kind: ",", norm: ","}})
					}
					out = append(out, row...)
					last = s
				}
				i = j + 1
			}
			i--
		case k.group:
			out = append(out, slowNode{group: true, kids: slowShorten(k.kids)})
		default:
			out = append(out, k)
		}
	}
	return out
}

var slowWords = regexp.MustCompile("[a-z0-9_$`@]|[^\x00-\x7F]")

// slowItems shortens the elements of a list.
func slowItems(n []slowNode) (out []slowNode) {
	whole, last := false, "\x00"
	for i, e := range slowSplit(n) {
		if len(e) > 0 && e[0].is(e, 0, "select", "with") {
			whole = true
		}
		if len(e) > 0 && e[0].group {
			e = append([]slowNode{{group: true, kids: slowItems(e[0].kids)}}, slowShorten(append([]slowNode{{}}, e[1:]...))[1:]...)
		} else {
			e = slowShorten(e)
		}
		if !whole && len(e) == 1 && e[0].is(e, 0, "null", "true", "false", "default") {
			e = []slowNode{{slowToken: slowToken{kind: "l", norm: "?"}}}
		}
		s := slowRender(e)
		if !whole && s == last && !slowWords.MatchString(s) {
			continue
		}
		last = s
		if i > 0 {
			out = append(out, slowNode{slowToken: slowToken{kind: ",", norm: ","}})
		}
		out = append(out, e...)
	}
	return out
}

// slowRender writes nodes with a space between all tokens.
func slowRender(n []slowNode) string {
	var b strings.Builder
	for _, k := range n {
		if k.group {
			b.WriteString("( " + slowRender(k.kids) + ") ")
		} else {
			b.WriteString(k.norm + " ")
		}
	}
	return b.String()
}

// slowDigest is the normal form of text, but for the spaces; ok is false for what the slow lexer does not know.
func slowDigest(text string, d Dialect) (string, bool) {
	all, ok := slowTokens(text, d)
	if !ok {
		return "", false
	}
	var parts []string
	for len(all) > 0 {
		end := slices.IndexFunc(all, func(t slowToken) bool { return t.kind == ";" })
		if end < 0 {
			end = len(all)
		}
		one := all[:end]
		all = all[min(end+1, len(all)):]
		depth := 0
		for _, t := range one {
			if t.kind == "(" {
				depth++
			} else if t.kind == ")" {
				if depth--; depth < 0 {
					return "", false
				}
			}
		}
		if depth != 0 {
			return "", false
		}
		if len(one) > 0 {
			nodes, _ := slowTree(slowFold(one))
			parts = append(parts, slowRender(slowShorten(nodes)))
		}
	}
	return strings.Join(parts, "; "), true
}
