package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem is one thing that is wrong in a config, and where.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line"`   // from 1
	Column int    `json:"column"` // from 1, in characters
	Path   string `json:"path"`   // resources.feed-cache.policy.timeout; "" for the whole file
	// Message holds the offending text and what would be right. It never holds a secret.
	Message string `json:"message"`

	source string // the line, with secrets masked; "" when it cannot be shown
}

// String is `file:line:column: path: message`.
func (p Problem) String() string {
	where := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Path == "" {
		return where + p.Message
	}
	return where + p.Path + ": " + p.Message
}

// Excerpt shows the line and points at the column, in two lines without a newline at the end. It is "" when the line
// cannot be shown without the risk of showing a secret. Secrets are masked.
func (p Problem) Excerpt() string {
	if p.source == "" {
		return ""
	}
	number := fmt.Sprintf("%5d", p.Line)
	caret := min(p.Column-1, utf8.RuneCountInString(p.source))
	return fmt.Sprintf("%s | %s\n%s | %s^", number, p.source, strings.Repeat(" ", len(number)), strings.Repeat(" ", caret))
}

// Errors is every problem of a config, in the order of the file; beyond 500 the last one counts the rest. It is never
// empty.
type Errors struct{ Problems []Problem }

// Error is one line for each problem.
func (e *Errors) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// source is the text that is parsed, by line.
type source struct {
	lines []string
	masks []mask
}

// mask says that a line holds a secret from a column on. What follows it on the line is masked with it: where a quoted
// or flowing text ends in the source is the YAML parser's knowledge and not worth a mistake here.
type mask struct{ line, column, lines int }

// mask keeps a value and what is below it out of every excerpt.
func (s *source) mask(n *node) {
	if len(s.masks) > MaxNodes {
		return
	}
	if n.kind == textNode || n.kind == numberNode {
		s.masks = append(s.masks, mask{line: n.line, column: n.column, lines: n.spans})
	}
	for _, item := range n.items {
		s.mask(item)
	}
	for _, p := range n.pairs {
		s.mask(p.value)
	}
}

// masked returns the line from 1, with secrets cut off.
func (s *source) masked(line int) string {
	if line < 1 || line > len(s.lines) {
		return ""
	}
	text := []rune(strings.ReplaceAll(s.lines[line-1], "\t", " "))
	cut := len(text)
	if len(s.masks) > MaxNodes {
		return "" // not all of them are known
	}
	for _, m := range s.masks {
		switch {
		case m.lines > 0 && line >= m.line-m.lines && line <= m.line+m.lines:
			return ""
		case m.line == line:
			cut = min(cut, max(0, m.column-1))
		}
	}
	if cut < len(text) {
		return string(text[:cut]) + "***"
	}
	const longest = 160
	if len(text) > longest {
		return ""
	}
	return string(text)
}

// mostProblems bounds an answer: a file with aliases can repeat one mistake hundreds of thousands of times.
const mostProblems = 500

// errors sorts the problems, gives them their excerpts, and returns them as an error; nil when there are none.
func (s *source) errors(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if more := len(problems) - mostProblems; more > 0 {
		last := problems[mostProblems-1]
		last.Path, last.Message = "", fmt.Sprintf("and %d more problems, from here on", more+1)
		problems = append(problems[:mostProblems-1:mostProblems-1], last)
	}
	for i := range problems {
		problems[i].source = s.masked(problems[i].Line)
	}
	return &Errors{Problems: problems}
}

// quote shows an offending text, cut so that a message stays one readable line.
func quote(text string) string {
	const longest = 60
	if utf8.RuneCountInString(text) > longest {
		text = string([]rune(text)[:longest]) + "…"
	}
	return fmt.Sprintf("%q", text)
}
