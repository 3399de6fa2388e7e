package config

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"strings"

	"github.com/sluice-mesh/sluice/resources"
)

// Reference returns the reference of every field as Markdown: the agent's section, resources, policies, and the
// settings of each registered kind. It is generated from the tags that the parser checks.
func Reference() []byte { return Options{}.Reference() }

// Reference is [Reference] with options: with the settings of own filters too.
func (o Options) Reference() []byte {
	w := &refWriter{}
	w.WriteString(refIntro)
	w.section("agent", "The agent", reflect.ValueOf(&Agent{}))
	w.section("resources.NAME", "A resource", reflect.ValueOf(&resources.Spec{}))
	for _, kind := range resources.Kinds() {
		driver, err := resources.DriverOf(kind)
		if err != nil {
			continue // kinds are never taken back
		}
		title := "Settings of the kind " + kind
		doc, ok := driver.(resources.SettingsDocer)
		if !ok {
			fmt.Fprintf(w, "\n## %s\n\nNone.\n", title)
			continue
		}
		w.section("settings", title, reflect.ValueOf(doc.SettingsDoc()))
	}
	for _, name := range o.FilterNames {
		if o.FilterSettings == nil {
			break
		}
		if settings, ok := o.FilterSettings(name); ok && settings != nil {
			w.section("policy.filters."+name, "Settings of the filter "+name, reflect.ValueOf(settings))
		}
	}
	return w.Bytes()
}

// ReferenceOf returns the reference of one more section, such as the centre's: path is where it stands in its file, and v a
// pointer to a struct with our tags.
func ReferenceOf(path, title string, v any) []byte {
	w := &refWriter{}
	w.section(path, title, reflect.ValueOf(v))
	return w.Bytes()
}

const refIntro = `# Configuration reference

<!-- Generated from the code: do not edit. -->

How values are written:

| Type | Unit and notation |
|---|---|
| duration | a number with its unit: ` + "`500us` `50ms` `1s` `5m` `1h30m`" + ` |
| size | bytes: ` + "`512`" + `, or ` + "`64KiB` `1MiB` `2GiB`, `10KB` `10MB` `1GB`" + ` |
| percentage | ` + "`15%` `0.1%`" + ` |
| rate | a number per second, minute or hour: ` + "`5000/s` `100/m` `10/h`" + ` |
| secret | a reference, ` + "`${env:NAME}`, `${file:/path}`, or `${secret:NAME}`" + ` for one that the governance centre keeps; it is never shown |

**Reload** says what a change takes: *live* holds at once, *drain* re-opens the resource while its sessions end at their
boundaries, *restart* holds from the next start of the agent. A section that is marked *off* does nothing until it is
written; ` + "`{}`" + ` switches it on with its defaults. Unknown keys are errors.

An entry of ` + "`resources`" + ` that has a ` + "`kind`" + ` is the file's, whole. One that has only ` + "`listen`" + `, and
perhaps ` + "`labels`" + `, is defined in the centre.
`

type refWriter struct {
	bytes.Buffer
	seen map[reflect.Type]bool
}

// table is a struct that is still to be written below the one that mentions it.
type table struct {
	path string
	typ  reflect.Type
}

// section writes a heading, and a table for the struct that v points to and for each one below it.
func (w *refWriter) section(path, title string, v reflect.Value) {
	fmt.Fprintf(w, "\n## %s\n", title)
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		w.WriteString("\nNone.\n")
		return
	}
	w.seen = map[reflect.Type]bool{v.Type(): true}
	queue := []table{{path, v.Type()}}
	for len(queue) > 0 {
		t := queue[0]
		queue = append(w.table(t), queue[1:]...)
	}
}

func (w *refWriter) table(t table) (below []table) {
	fmt.Fprintf(w, "\n### `%s`\n\n| Field | Type | Unit | Default | Bounds | Reload | What it is |\n|---|---|---|---|---|---|---|\n", t.path)
	for _, f := range fieldsOf(t.typ) {
		what, unit := typeName(f.typ)
		if f.tag.Get("unit") != "" {
			unit = f.tag.Get("unit")
		}
		def := f.tag.Get("default")
		switch {
		case def != "":
			def = cell(def)
		case f.tag.Get("required") == "true":
			def = "*required*"
		case f.typ.Kind() == reflect.Pointer && f.typ.Elem().Kind() == reflect.Struct:
			def = "*off*"
		}
		fmt.Fprintf(w, "| `%s` | %s | %s | %s | %s | %s | %s |\n", f.key, what, unit, def, cell(f.tag.Get("bounds")),
			cmp.Or(f.tag.Get("reload"), "drain"), escape(f.tag.Get("doc")))
		if elem, at := elementOf(f.typ, join(t.path, f.key)); elem != nil && !w.seen[elem] {
			w.seen[elem] = true
			below = append(below, table{at, elem})
		}
	}
	return below
}

func cell(s string) string {
	if s == "" {
		return ""
	}
	return "`" + escape(s) + "`"
}

func escape(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

// typeName says what a field holds, and in which unit.
func typeName(t reflect.Type) (what, unit string) {
	switch t {
	case reflect.TypeFor[resources.Duration]():
		return "duration", "time"
	case reflect.TypeFor[resources.Size]():
		return "size", "bytes"
	case reflect.TypeFor[resources.Percent](), reflect.TypeFor[resources.Multiple]():
		return "percentage", "%"
	case reflect.TypeFor[resources.Rate]():
		return "rate", "per second"
	case reflect.TypeFor[resources.Addresses]():
		return "text or list of text", ""
	case reflect.TypeFor[[]resources.EndpointSpec]():
		return "list of text or map", ""
	case secretType:
		return "secret", ""
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Slice:
		what, unit = typeName(t.Elem())
		return "list of " + what, unit
	case reflect.Map:
		what, unit = typeName(t.Elem())
		return "map of name to " + what, unit
	case reflect.Struct:
		return "map", ""
	case reflect.Interface:
		return "any", ""
	case reflect.String:
		return "text", ""
	}
	what, _ = nameOf(t)
	if what == "a whole number" {
		return "number", "count"
	}
	return strings.TrimPrefix(what, "a "), ""
}

// elementOf returns the struct that a field holds, alone, in a list or in a map, and the path of one.
func elementOf(t reflect.Type, path string) (reflect.Type, string) {
	switch t.Kind() {
	case reflect.Pointer:
		return elementOf(t.Elem(), path)
	case reflect.Slice:
		return elementOf(t.Elem(), path+"[]")
	case reflect.Map:
		return elementOf(t.Elem(), path+".NAME")
	case reflect.Struct:
		if t != secretType && len(fieldsOf(t)) > 0 {
			return t, path
		}
	}
	return nil, ""
}
