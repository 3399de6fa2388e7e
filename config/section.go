package config

import (
	"reflect"

	"github.com/sluice-mesh/sluice/resources"
)

// Decode reads a file of another schema, such as the centre's: into is a pointer to a struct with the tags that [resources.Spec]
// describes. The error is of type [*Errors] and holds every problem.
func Decode(name string, data []byte, into any) error {
	root, src, problems := parseTree(name, data)
	d := &decoder{file: name, src: src, problems: problems, secrets: make(map[*node]resources.Secret)}
	if root == nil {
		return d.finish()
	}
	d.value(root, reflect.ValueOf(into).Elem(), place{})
	return d.finish()
}
