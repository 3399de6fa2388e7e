package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"

	"github.com/sluice-mesh/sluice/config"
)

// Texts are edited as trees of mapping, []any and scalars, so that the order of keys stays as it was written.

// mapping is a YAML or JSON map in the order of the text.
type mapping []yaml.MapItem

// Bounds of a tree. They are those of config, so that nothing that it takes is refused here.
const (
	maxDepth = config.MaxDepth
	maxNodes = config.MaxNodes
)

func (m mapping) index(key string) int {
	return slices.IndexFunc(m, func(i yaml.MapItem) bool { return keyText(i.Key) == key })
}

func (m mapping) get(key string) (any, bool) {
	if i := m.index(key); i >= 0 {
		return m[i].Value, true
	}
	return nil, false
}

// set returns the map with a key set: where it was, or at the end. m may be changed.
func (m mapping) set(key string, value any) mapping {
	if i := m.index(key); i >= 0 {
		m[i].Value = value
		return m
	}
	return append(m, yaml.MapItem{Key: key, Value: value})
}

func (m mapping) without(key string) mapping {
	return slices.DeleteFunc(m.clone(), func(i yaml.MapItem) bool { return keyText(i.Key) == key })
}

func (m mapping) clone() mapping { return slices.Clone(m) }

// asMapping returns v if it is a map, or an empty one.
func asMapping(v any) mapping {
	m, _ := v.(mapping)
	return m
}

// keyText returns a key as config reads it: numbers and booleans as they are written.
func keyText(key any) string {
	if s, ok := key.(string); ok {
		return s
	}
	return fmt.Sprint(key)
}

// isJSON tells the two forms of a text apart.
func isJSON(text []byte) bool {
	t := bytes.TrimSpace(text)
	return len(t) > 0 && t[0] == '{' && json.Valid(t)
}

// decodeText reads YAML or JSON as a tree.
func decodeText(text []byte) (any, error) {
	if isJSON(text) {
		return decodeJSON(text)
	}
	return decodeYAML(text, nil)
}

// decodeJSON reads JSON as a tree. Of a key that is written twice the last one counts.
func decodeJSON(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := jsonValue(d, 0)
	if err != nil {
		return nil, fmt.Errorf("this is not JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("this is not JSON: something follows the value")
	}
	return v, nil
}

func jsonValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		m, at := mapping{}, make(map[string]int)
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := jsonValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			text, _ := key.(string)
			if i, twice := at[text]; twice {
				m[i].Value = v
				continue
			}
			at[text] = len(m)
			m = append(m, yaml.MapItem{Key: text, Value: v})
		}
		_, err = d.Token()
		return m, err
	case json.Delim('['):
		l := []any{}
		for d.More() {
			v, err := jsonValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			l = append(l, v)
		}
		_, err = d.Token()
		return l, err
	}
	return t, nil
}

// decodeYAML reads YAML as a tree, and its comments if they are wanted. The tree is made from the parser's nodes, as config
// does it: the library's own decoder loses aliases within ordered maps.
func decodeYAML(text []byte, comments yaml.CommentMap) (v any, err error) {
	defer func() {
		// As in config: the library has panicked on malformed texts before.
		if p := recover(); p != nil {
			v, err = nil, fmt.Errorf("this is not YAML: the parser gave up on it (%v)", p)
		}
	}()
	source := normalise(text)
	tokens := lexer.Tokenize(source)
	if config.TooDeep(tokens) != nil {
		return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, fmt.Errorf("this is not YAML: %w", err)
	}
	c := &converter{anchors: make(map[string]ast.Node), budget: maxNodes}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if v != nil {
			return nil, errors.New("this is more than one YAML document")
		}
		if v, err = c.value(doc.Body, 0); err != nil {
			return nil, err
		}
	}
	if comments != nil {
		var ignored any
		if err := yaml.UnmarshalWithOptions([]byte(source), &ignored, yaml.CommentToMap(comments)); err != nil {
			clear(comments) // they are lost by a change, and nothing else is
		}
	}
	return v, nil
}

// normalise removes what differs between systems, as config does.
func normalise(text []byte) string {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	return string(bytes.ReplaceAll(text, []byte("\r"), []byte("\n")))
}

// converter makes a tree of the parser's nodes. Aliases are copied, each time at the cost of what they stand for.
type converter struct {
	anchors map[string]ast.Node
	budget  int
}

func (c *converter) value(n ast.Node, depth int) (any, error) {
	if c.budget--; c.budget < 0 {
		return nil, fmt.Errorf("more than %d values, with aliases counted each time", maxNodes)
	}
	if depth > 4*maxDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return nil, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.StringNode:
		return n.Value, nil
	case *ast.SequenceNode:
		l := make([]any, 0, len(n.Values))
		for _, item := range n.Values {
			v, err := c.value(item, depth+1)
			if err != nil {
				return nil, err
			}
			l = append(l, v)
		}
		return l, nil
	case *ast.MappingNode:
		return c.mapping(n.Values, depth)
	case *ast.MappingValueNode:
		return c.mapping([]*ast.MappingValueNode{n}, depth)
	case *ast.AnchorNode:
		if n.Name != nil {
			c.anchors[n.Name.GetToken().Value] = n.Value
		}
		return c.value(n.Value, depth+1)
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		at, ok := c.anchors[name]
		if !ok {
			return nil, fmt.Errorf("*%s refers to nothing", name)
		}
		return c.value(at, depth+1)
	case ast.ScalarNode: // numbers and booleans
		return n.GetValue(), nil
	}
	return nil, fmt.Errorf("line %d: this form of YAML has no place in a document", n.GetToken().Position.Line)
}

func (c *converter) mapping(values []*ast.MappingValueNode, depth int) (any, error) {
	m, written := mapping{}, make(map[string]bool, len(values))
	var merged []any
	for _, v := range values {
		value, err := c.value(v.Value, depth+1)
		if err != nil {
			return nil, err
		}
		if v.Key.IsMergeKey() {
			merged = append(merged, value)
			continue
		}
		key, err := c.value(v.Key, depth+1)
		if err != nil {
			return nil, err
		}
		text, ok := key.(string)
		if !ok {
			if _, isMap := key.(mapping); isMap || key == nil {
				return nil, fmt.Errorf("line %d: a key must be text", v.Key.GetToken().Position.Line)
			}
			text = v.Key.GetToken().Value // a number or a boolean, as it is written
		}
		if written[text] {
			return nil, fmt.Errorf("line %d: %q is written twice", v.Key.GetToken().Position.Line, text)
		}
		written[text] = true
		m = append(m, yaml.MapItem{Key: text, Value: value})
	}
	for _, from := range merged {
		m = m.merge(from, written)
	}
	return m, nil
}

// merge adds the pairs of `<<: *name`, a map or a list of maps, that are not written out.
func (m mapping) merge(from any, written map[string]bool) mapping {
	if list, ok := from.([]any); ok {
		for _, item := range list {
			m = m.merge(item, written)
		}
	}
	for _, item := range asMapping(from) {
		if key := keyText(item.Key); !written[key] {
			written[key] = true
			m = append(m, item)
		}
	}
	return m
}

// MarshalJSON writes the map in its order.
func (m mapping) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, item := range m {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := encodeJSON(keyText(item.Key))
		if err != nil {
			return nil, err
		}
		value, err := encodeJSON(item.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", item.Key, err)
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
