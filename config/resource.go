package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/sluice-mesh/sluice/resources"
)

// resource decodes and checks one resource; nil when it is no map at all.
func (d *decoder) resource(n *node, path string, name *node) *Resource {
	if n.kind != mapNode {
		d.src.mask(n)
		d.report(n, path, "%s stands where a resource is expected: a map with kind, listen and groups", n.describe())
		return nil
	}
	d.name(name, path, "resource")
	r := &Resource{Spec: &resources.Spec{Name: name.text}}
	if wanted(n) && !d.remote {
		d.report(n.get("listen"), path, "only listen is written here, so the centre would say what it is, but agent.center names none: set it, or write kind and groups")
		return nil
	}
	r.Driver = d.driver(n, path)
	r.Spec.Policy = defaults(r.Driver)
	d.value(n, reflect.ValueOf(r.Spec).Elem(), place{path: path})
	r.Spec.Policy.Fill() // what depends on what was written
	d.groups(n, path, r.Spec)
	d.listen(n, path, r.Spec.Listen)
	if t := r.Spec.Policy.Trace; t != nil && t.OTLP != "" {
		at, full := find(n, path, "policy.trace.otlp")
		d.refused(at, full, checkURL(t.OTLP))
	}
	if t := r.Spec.UpstreamTLS; t != nil && (t.Cert == "") != (t.Key == "") {
		at, full := find(n, path, "upstream-tls")
		d.report(at, full, "cert and key go together: write both or none")
	}
	if r.Driver != nil {
		d.settings(n, path, r)
	} else if sn := n.get("settings"); sn != nil {
		d.src.mask(sn) // what is a secret in them is not known
	}
	d.filters(n, path, r.Spec)
	d.accept(n, path, r)
	return r
}

// accept checks the other protocols in which a resource can be called.
func (d *decoder) accept(n *node, path string, r *Resource) {
	if r.Spec.Accept == nil || r.Driver == nil || r.Settings == nil {
		return // or reported as wrong
	}
	faces, err := resources.Faces(r.Driver, resources.Declared{Spec: r.Spec, Settings: r.Settings})
	if err != nil {
		d.refused(n, path, err)
		return
	}
	for _, f := range faces[1:] {
		at, full := find(n, path, strings.TrimSuffix(f.Path, ".listen"))
		d.listen(at, full, f.Spec.Listen)
	}
}

// listen checks where a resource listens.
func (d *decoder) listen(n *node, path string, addresses resources.Addresses) {
	for i, address := range addresses {
		if at, full := findItem(n, path, "listen", i); at.kind == textNode { // else reported as no text
			d.refused(at, full, checkAddress(address, true))
		}
	}
	if l := n.get("listen"); l != nil && len(addresses) == 0 && (l.kind == listNode || l.kind == nullNode) && !d.anywhere {
		d.report(l, join(path, "listen"), "empty: write at least one address, such as 127.0.0.1:6380")
	}
}

// wanted reports whether an entry says only where to listen, so that the centre says the rest. An entry with a kind is the
// file's, whole.
func wanted(n *node) bool {
	if n.kind != mapNode || n.get("listen") == nil {
		return false
	}
	for _, p := range n.pairs {
		if p.key.text != "listen" && p.key.text != "labels" {
			return false
		}
	}
	return true
}

// want decodes such an entry.
func (d *decoder) want(n *node, path string, name *node) *Want {
	d.name(name, path, "resource")
	w := &Want{Name: name.text}
	d.value(n, reflect.ValueOf(w).Elem(), place{path: path})
	d.listen(n, path, w.Listen)
	return w
}

// driver finds the driver of the kind that is written, or reports what is wrong with it.
func (d *decoder) driver(n *node, path string) resources.Driver {
	kind := n.get("kind")
	if kind == nil || kind.kind != textNode {
		return nil // reported as missing or as no text
	}
	driver, err := resources.DriverOf(kind.text)
	if err != nil {
		d.report(kind, join(path, "kind"), "%s is not a kind: %s", quote(kind.text), orNear(kind.text, resources.Kinds()))
		return nil
	}
	return driver
}

// defaults returns the policy of a kind for a resource that writes none.
func defaults(driver resources.Driver) resources.Policy {
	var p resources.Policy
	if own, ok := driver.(resources.PolicyDefaulter); ok {
		own.PolicyDefaults(&p)
	} else {
		p.Timeout = resources.Duration(1e9)
	}
	p.Fill()
	return p
}

// settings hands the settings to the driver, which decodes them with our decoder, so that its problems have places.
func (d *decoder) settings(n *node, path string, r *Resource) {
	at := place{path: join(path, "settings")}
	sn := n.get("settings")
	if sn == nil {
		sn = &node{kind: mapNode, line: n.line, column: n.column}
	}
	if sn.kind != mapNode && sn.kind != nullNode {
		return // reported as no map
	}
	asked := false
	before := len(d.problems)
	got, err := r.Driver.Settings(func(into any) error {
		asked = true
		err := d.attempt(sn, into, at)
		if own, ok := err.(*Errors); ok {
			d.problems = append(d.problems, own.Problems...)
		}
		return err
	})
	if err != nil && len(d.problems) == before {
		d.refused(sn, at.path, err)
	}
	if !asked && len(sn.pairs) > 0 && len(d.problems) == before {
		d.src.mask(sn)
		d.report(sn, at.path, "the kind %s has no settings: remove them", r.Spec.Kind)
	}
	r.Settings = got
	if own, ok := got.(resources.PolicyChecker); ok && len(d.problems) == before {
		d.refused(n, path, policyError(own.CheckPolicy(&r.Spec.Policy), n.get("policy") != nil))
	}
	if _, ok := got.(resources.Registered); !ok {
		for _, g := range r.Spec.GroupNames() {
			if r.Spec.Groups[g].Registry != "" {
				at, full := find(n, path, "groups."+g+".registry")
				d.report(at, full, "resources of kind %s have no name in a registry of services: write endpoints instead", r.Spec.Kind)
			}
		}
	}
	if r.Spec.Settings != nil && sn.kind == mapNode {
		r.Spec.Settings, _ = d.generic(sn).(map[string]any) // again: now it is known what is a secret
	}
}

// policyError says where in a resource an error about its policy belongs: to the field, when there is a policy.
func policyError(err error, written bool) error {
	var field *resources.FieldError
	if errors.As(err, &field) && written {
		return resources.At("policy."+field.Path, field.Err)
	}
	if field != nil {
		return field.Err
	}
	return err
}

// filters decodes the settings of own filters.
func (d *decoder) filters(n *node, path string, spec *resources.Spec) {
	fn := n.get("policy").get("filters")
	if fn == nil || fn.kind != mapNode {
		return
	}
	for _, p := range fn.pairs {
		at := place{path: join(join(path, "policy.filters"), p.key.text)}
		var into any
		known := false
		if d.options.FilterSettings != nil {
			into, known = d.options.FilterSettings(p.key.text)
		}
		switch {
		case !known:
			d.src.mask(p.value)
			d.report(p.key, at.path, "no filter is called %s: %s", quote(p.key.text), orNear(p.key.text, d.options.FilterNames))
		case into == nil:
			if len(p.value.pairs) > 0 || p.value.kind != mapNode && p.value.kind != nullNode {
				d.src.mask(p.value)
				d.report(p.value, at.path, "this filter has no settings: write {}")
			}
			spec.Policy.Filters[p.key.text] = nil
		default:
			if err, ok := d.attempt(p.value, into, at).(*Errors); ok {
				d.problems = append(d.problems, err.Problems...)
			}
			spec.Policy.Filters[p.key.text] = into
		}
	}
}

// JSON returns the resource as the HTTP interface shows it: the policy with all defaults, the settings of the kind as
// they are written. Secrets are shown as their references, literal ones as "***"; [ParseResource] reads the result back
// unless it holds one of those.
func (r *Resource) JSON() ([]byte, error) {
	spec := *r.Spec
	if spec.Listen == nil { // as ListenOptional allows; null would not be read back
		spec.Listen = resources.Addresses{}
	}
	if len(spec.Policy.Filters) > 0 {
		shown := make(map[string]any, len(spec.Policy.Filters))
		for name, settings := range spec.Policy.Filters {
			shown[name] = plain(reflect.ValueOf(settings))
		}
		spec.Policy.Filters = shown
	}
	b, err := json.MarshalIndent(&spec, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("resource %s as json: %w", spec.Name, err)
	}
	return b, nil
}

// plain turns settings into what encoding/json writes with the keys of the config, which their yaml tags name.
func plain(v reflect.Value) any {
	for v.IsValid() && (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	if !v.IsValid() {
		return nil
	}
	if m, ok := v.Interface().(interface{ MarshalText() ([]byte, error) }); ok {
		text, err := m.MarshalText()
		if err == nil {
			return string(text)
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		out := make(map[string]any)
		for _, f := range fieldsOf(v.Type()) {
			out[f.key] = plain(v.FieldByIndex(f.index))
		}
		return out
	case reflect.Map:
		out := make(map[string]any, v.Len())
		for it := v.MapRange(); it.Next(); {
			out[fmt.Sprint(it.Key())] = plain(it.Value())
		}
		return out
	case reflect.Slice, reflect.Array:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = plain(v.Index(i))
		}
		return out
	}
	return v.Interface()
}
