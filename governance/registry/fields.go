package registry

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Field is one thing that a spec says.
type Field struct {
	Path    string          // as in Change; endpoints are one field of their group, an item of another list is a field
	Value   json.RawMessage // of endpoints: how many there are, in words
	Written bool            // the document says so; else it is a default, or comes from elsewhere
}

// Fields lists what a spec says, in the order of paths, and which of it stands in a document, YAML or JSON. The name is left out, and so are
// endpoints where there are none. The error is for a text that cannot be read.
func Fields(spec, document []byte) ([]Field, error) {
	whole, err := readValue(spec)
	if err != nil {
		return nil, fmt.Errorf("the spec: %w", err)
	}
	written, err := readValue(document)
	if err != nil {
		return nil, fmt.Errorf("the document: %w", err)
	}
	m, _ := whole.(map[string]any)
	delete(m, "name")
	var out []Field
	fields(&out, "", m, written)
	return out, nil
}

func fields(out *[]Field, path string, v, written any) {
	switch v := v.(type) {
	case map[string]any:
		from, _ := written.(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(v)) {
			at := key
			if path != "" {
				at = path + "." + key
			}
			list, isList := v[key].([]any)
			if key == "endpoints" && isList {
				if len(list) == 0 && from[key] == nil {
					continue
				}
				count := fmt.Sprintf(`"%d endpoints"`, len(list))
				if len(list) == 1 {
					count = `"1 endpoint"`
				}
				*out = append(*out, Field{Path: at, Value: json.RawMessage(count), Written: from[key] != nil})
				continue
			}
			fields(out, at, v[key], from[key])
		}
	case []any:
		from, _ := written.([]any)
		for i := range v {
			*out = append(*out, Field{Path: fmt.Sprintf("%s[%d]", path, i), Value: asJSON(v[i]), Written: i < len(from)})
		}
	default:
		*out = append(*out, Field{Path: path, Value: asJSON(v), Written: written != nil})
	}
}
