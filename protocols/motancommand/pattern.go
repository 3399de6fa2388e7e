package motancommand

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// maxDepth bounds the parentheses of a pattern.
const maxDepth = 64

// Pattern says which services a command is for. It is Java's expression over names, where ! binds closer than & and that closer
// than |; a name that holds a * stands for all that begin with what is before it:
//
//   - com.weibo.UserService    com.weibo.* & !(com.weibo.Status* | com.weibo.TagService)
//
// A pattern that has signs of regular expressions, which no name and no expression has, is one, as motan-go takes what it can find
// in no other way: ^com\.weibo\.(User|Status)Service$. It is RE2's and matches any part of the name.
type Pattern struct {
	root node
	re   *regexp.Regexp // nil: root
}

// ParsePattern reads a pattern.
func ParsePattern(text string) (*Pattern, error) {
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("pattern is empty: write * for all services of the group")
	}
	if len(text) > maxPattern {
		return nil, fmt.Errorf("pattern has %d bytes, and %d are the most", len(text), maxPattern)
	}
	if strings.ContainsAny(text, `^[]\+?{}`) {
		re, err := regexp.Compile(text)
		if err != nil {
			return nil, fmt.Errorf("pattern %q is taken for a regular expression: %w", text, err)
		}
		return &Pattern{re: re}, nil
	}
	p := parser{text: strings.Join(strings.Fields(text), "")}
	root, err := p.either(0)
	if err == nil && p.at < len(p.text) {
		err = fmt.Errorf("%q is not expected", p.text[p.at:p.at+1])
	}
	if err != nil {
		return nil, fmt.Errorf("pattern %q: after %d characters: %w; it is names, in which * ends what must be the same, with ! & | and parentheses", text, p.at, err)
	}
	return &Pattern{root: root}, nil
}

// Match reports whether a service is meant.
func (p *Pattern) Match(service string) bool {
	if p.re != nil {
		return p.re.MatchString(service)
	}
	return p.root.match(service)
}

// node is a part of an expression: a name, or an operator over others.
type node struct {
	op   byte // '|', '&', '!'; 0: a name
	of   []node
	name string
	open bool // the name had a *: it is a prefix
}

func (n *node) match(service string) bool {
	switch n.op {
	case '|':
		for i := range n.of {
			if n.of[i].match(service) {
				return true
			}
		}
		return false
	case '&':
		for i := range n.of {
			if !n.of[i].match(service) {
				return false
			}
		}
		return true
	case '!':
		return !n.of[0].match(service)
	}
	if n.open {
		return strings.HasPrefix(service, n.name)
	}
	return service == n.name
}

// parser reads an expression that has no spaces.
type parser struct {
	text string
	at   int
}

func (p *parser) take(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// either reads what | joins.
func (p *parser) either(depth int) (node, error) { return p.joined('|', depth, p.both) }

// both reads what & joins.
func (p *parser) both(depth int) (node, error) { return p.joined('&', depth, p.single) }

func (p *parser) joined(op byte, depth int, part func(int) (node, error)) (node, error) {
	n := node{op: op}
	for {
		one, err := part(depth)
		if err != nil {
			return node{}, err
		}
		n.of = append(n.of, one)
		if !p.take(op) {
			break
		}
	}
	if len(n.of) == 1 {
		return n.of[0], nil
	}
	return n, nil
}

// single reads a name, something in parentheses, or the contrary of one of them.
func (p *parser) single(depth int) (node, error) {
	if depth > maxDepth {
		return node{}, fmt.Errorf("more than %d parentheses and ! are around it", maxDepth)
	}
	switch {
	case p.take('!'):
		one, err := p.single(depth + 1)
		return node{op: '!', of: []node{one}}, err
	case p.take('('):
		one, err := p.either(depth + 1)
		if err == nil && !p.take(')') {
			err = errors.New("a parenthesis is not closed")
		}
		return one, err
	}
	from := p.at
	for p.at < len(p.text) && isName(p.text[p.at]) {
		p.at++
	}
	name := p.text[from:p.at]
	if name == "" {
		return node{}, errors.New("a name is missing")
	}
	name, _, open := strings.Cut(name, "*")
	return node{name: name, open: open}, nil
}

// isName reports whether names of services have a byte. Java's expression does not know the - and the /, which some of motan-go have.
func isName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_$.*-/", c) >= 0
}
