package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds on what is parsed, far above any real config. They keep a file, or the body of an HTTP request, from costing
// more than its size.
const (
	maxSource = 4 << 20 // bytes
	MaxDepth  = 64      // of nesting
	MaxNodes  = 500_000 // visited while decoding, aliases counted each time they are used
)

type nodeKind uint8

const (
	nullNode nodeKind = iota
	boolNode
	numberNode
	textNode // plain or quoted
	listNode
	mapNode
)

func (k nodeKind) String() string {
	return [...]string{"nothing", "true or false", "a number", "text", "a list", "a map"}[k]
}

// node is a YAML value with its place. Aliases share nodes, so a tree is really a graph without circles.
type node struct {
	kind   nodeKind
	line   int
	column int
	text   string // of scalars: what is written, without quotes
	spans  int    // how many lines a text of several lines may take
	items  []*node
	pairs  []pair
}

type pair struct{ key, value *node }

// get returns the value of a key, or nil.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, p := range n.pairs {
		if p.key.text == key {
			return p.value
		}
	}
	return nil
}

// describe names the value for a message: `"5"`, `a list`.
func (n *node) describe() string {
	switch n.kind {
	case nullNode, listNode, mapNode:
		return n.kind.String()
	case textNode:
		return quote(n.text)
	}
	return quote(n.text) + ", " + n.kind.String() + ","
}

// parseTree turns YAML or JSON into a tree. Problems that leave no tree to look at are returned alone; duplicate keys
// and the like are reported with the tree.
func parseTree(file string, data []byte) (*node, *source, []Problem) {
	if len(data) > maxSource {
		return nil, &source{}, []Problem{{File: file, Line: 1, Column: 1,
			Message: fmt.Sprintf("%d bytes are too many for a config: the limit is %d", len(data), maxSource)}}
	}
	text := normalise(data)
	src := &source{lines: strings.Split(text, "\n")}
	c := &converter{file: file, anchors: make(map[string]*node)}
	body := c.parse(text)
	if len(c.problems) > 0 {
		src.lines = nil // not understood, so what is a secret in it is not known
		return nil, src, c.problems
	}
	if body == nil {
		return &node{kind: nullNode, line: 1, column: 1}, src, nil
	}
	root := c.convert(body, "", 0)
	for _, n := range c.dropped {
		src.mask(n)
	}
	return root, src, c.problems
}

// normalise removes what differs between systems and changes no column: a byte order mark, carriage returns, and the
// tabs of JSON, which YAML does not take for indentation.
func normalise(data []byte) string {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n")) // alone it is a line break in YAML too
	if t := bytes.TrimSpace(data); len(t) > 0 && t[0] == '{' && json.Valid(data) {
		data = bytes.ReplaceAll(data, []byte("\t"), []byte(" ")) // valid JSON has no tab within a text
	}
	return string(data)
}

// converter turns the parser's tree into ours.
type converter struct {
	file     string
	anchors  map[string]*node
	problems []Problem
	dropped  []*node // values that are not decoded, so that nobody knows what is a secret in them
	copied   int     // pairs copied by merge keys
}

func (c *converter) report(line, column int, path, format string, args ...any) {
	c.problems = append(c.problems, Problem{File: c.file, Line: max(line, 1), Column: max(column, 1), Path: path,
		Message: fmt.Sprintf(format, args...)})
}

// parse runs the YAML parser. Its tokens are looked at first, because it recurses as deep as they nest.
func (c *converter) parse(text string) (body ast.Node) {
	defer func() {
		// The parser is a library that has panicked on malformed input before. A config that it cannot take is
		// refused whole, as any other bad config is; the agent goes on with the one it has.
		if r := recover(); r != nil {
			c.report(1, 1, "", "this is not YAML: the parser gave up on it (%v)", r)
			body = nil
		}
	}()
	tokens := lexer.Tokenize(text)
	if at := TooDeep(tokens); at != nil {
		c.report(at.Position.Line, at.Position.Column, "", "nested too deep: a config has at most %d levels", MaxDepth)
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		c.syntax(err)
		return nil
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case body != nil:
			p := doc.Body.GetToken().Position
			c.report(p.Line, p.Column, "", "a second document: a config is one document, without ---")
			return nil
		default:
			body = doc.Body
		}
	}
	return body
}

func (c *converter) syntax(err error) {
	var se yaml.Error
	if !errors.As(err, &se) || se.GetToken() == nil {
		c.report(1, 1, "", "this is not YAML: %v", err)
		return
	}
	t := se.GetToken()
	if p := t.Position; strings.ContainsRune(t.Value, '\t') || strings.HasPrefix(t.Origin, "\t") {
		c.report(p.Line, p.Column, "", "this is not YAML: there is a tab; indent with spaces")
	} else {
		c.report(p.Line, p.Column, "", "this is not YAML: %s", se.GetMessage())
	}
}

// TooDeep returns the token at which YAML nests deeper than MaxDepth, or nil, before a parser recurses as deep.
func TooDeep(tokens token.Tokens) *token.Token {
	flow, line, onLine := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, onLine = t.Position.Line, 0
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow = max(0, flow-1)
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType:
			onLine++ // `- - - x` nests without brackets or indentation
			if flow > 0 {
				onLine = 0
			}
		}
		if flow > MaxDepth || onLine > MaxDepth || t.Position.IndentLevel > MaxDepth {
			return t
		}
	}
	return nil
}

func (c *converter) convert(n ast.Node, path string, depth int) *node {
	out := &node{kind: nullNode, line: 1, column: 1}
	if n == nil || depth > 4*MaxDepth {
		return out
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		out.line, out.column = t.Position.Line, t.Position.Column
	}
	switch n := n.(type) {
	case *ast.NullNode:
		out.text = n.Token.Value
	case *ast.BoolNode:
		out.kind, out.text = boolNode, n.Token.Value
	case *ast.IntegerNode:
		out.kind, out.text = numberNode, n.Token.Value
	case *ast.FloatNode:
		out.kind, out.text = numberNode, n.Token.Value
	case *ast.InfinityNode:
		out.kind, out.text = numberNode, n.Token.Value
	case *ast.NanNode:
		out.kind, out.text = numberNode, n.Token.Value
	case *ast.StringNode:
		out.kind, out.text = textNode, n.Value
		out.spans = strings.Count(n.Token.Origin, "\n")
		if strings.Count(strings.TrimSpace(n.Token.Origin), "\n") == 0 {
			out.spans = 0
		}
	case *ast.LiteralNode:
		out.kind, out.text = textNode, n.Value.Value
		out.spans = strings.Count(n.Value.Token.Origin, "\n") + 1
	case *ast.SequenceNode:
		out.kind = listNode
		for i, item := range n.Values {
			out.items = append(out.items, c.convert(item, fmt.Sprintf("%s[%d]", path, i), depth+1))
		}
	case *ast.MappingNode:
		c.mapping(out, n.Values, n.IsFlowStyle, path, depth)
	case *ast.MappingValueNode:
		c.mapping(out, []*ast.MappingValueNode{n}, n.IsFlowStyle, path, depth)
	case *ast.AnchorNode:
		value := c.convert(n.Value, path, depth+1)
		if n.Name != nil {
			c.anchors[n.Name.GetToken().Value] = value
		}
		return value
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		if value, ok := c.anchors[name]; ok {
			return value
		}
		c.report(out.line, out.column, path, "*%s refers to nothing: write &%s before the value that is meant, further up", name, name)
	case *ast.TagNode:
		c.report(out.line, out.column, path, "%s is a YAML tag, which a config has no use for: write the value alone", quote(n.Start.Value))
		return c.convert(n.Value, path, depth+1)
	default:
		c.report(out.line, out.column, path, "this form of YAML has no place in a config")
	}
	return out
}

func (c *converter) mapping(out *node, values []*ast.MappingValueNode, flow bool, path string, depth int) {
	out.kind = mapNode
	if len(values) > 0 && !flow {
		if t := values[0].Key.GetToken(); t != nil {
			out.line, out.column = t.Position.Line, t.Position.Column
		}
	}
	first := make(map[string]*node, len(values))
	var merged []*node
	for _, v := range values {
		if v.Key.IsMergeKey() {
			merged = append(merged, c.convert(v.Value, path, depth+1))
			continue
		}
		key := c.key(v.Key, path, depth)
		if key == nil {
			continue
		}
		at := join(path, key.text)
		value := c.convert(v.Value, at, depth+1)
		if value.kind == nullNode {
			value.line, value.column = key.line, key.column
		}
		if before, dup := first[key.text]; dup {
			c.report(key.line, key.column, at, "%s is written twice, first on line %d: keep one of them", quote(key.text), before.line)
			c.dropped = append(c.dropped, value)
			continue
		}
		first[key.text] = key
		out.pairs = append(out.pairs, pair{key, value})
	}
	for _, m := range merged {
		c.merge(out, m, first, path)
	}
}

// key returns a mapping's key, or nil when it is no plain text.
func (c *converter) key(k ast.MapKeyNode, path string, depth int) *node {
	key := c.convert(k, path, depth+1)
	switch key.kind {
	case textNode, numberNode, boolNode:
		return key
	}
	c.report(key.line, key.column, path, "a key must be text")
	return nil
}

// merge adds the pairs of `<<: *name` that are not written out.
func (c *converter) merge(out, from *node, have map[string]*node, path string) {
	if from.kind == listNode {
		for _, item := range from.items {
			if item.kind == mapNode {
				c.merge(out, item, have, path)
			}
		}
		return
	}
	if from.kind != mapNode {
		c.report(from.line, from.column, path, "<< takes a map or a list of maps, such as <<: *name")
		return
	}
	for _, p := range from.pairs {
		if c.copied++; c.copied > MaxNodes {
			return
		}
		if _, written := have[p.key.text]; !written {
			have[p.key.text] = p.key
			out.pairs = append(out.pairs, p)
		}
	}
}

// join appends a key to a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
