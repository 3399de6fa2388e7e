package motan

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
)

// Source is a configuration of motan-go with everything that it imports, merged and its placeholders filled in.
type Source struct {
	sections map[string]any
	notes    []string
}

// Options say for whom a configuration is read.
type Options struct {
	Pool        string // as the flag -pool: "feed-web-yf"
	Application string // as -application; empty: the part of Pool before its first -
	IDC         string // as -idc
}

// Sections that more of the configuration is read by.
const (
	dynamicSection = "dynamic-param"
	importServices = "import-refer"
	importLocation = "import-http-location"
)

// Read reads a file or a folder.
func Read(path string, o Options) (*Source, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	s := &Source{sections: map[string]any{}}
	switch {
	case !st.IsDir():
		err = s.merge(path)
	case o.Pool == "" && o.Application == "":
		err = fmt.Errorf("%s is a folder, of which each pool takes another part: say which with --pool or --application", path)
	default:
		err = s.folder(path, o)
	}
	if err != nil {
		return nil, err
	}
	if len(s.sections) == 0 {
		return nil, fmt.Errorf("%s holds nothing for pool %q, application %q", path, o.Pool, o.Application)
	}
	return s, s.fill(o)
}

// folder reads the files of a pool, each over those before.
func (s *Source) folder(path string, o Options) error {
	parts := strings.Split(o.Pool, "-")
	application := o.Application
	if application == "" {
		application = parts[0]
	}
	files := []string{"basic.yaml", "http/service/" + application + ".yaml", "http/pools/" + o.Pool + ".yaml", "applications/" + application + ".yaml"}
	for i := range parts {
		if o.Pool != "" {
			files = append(files, "pools/"+strings.Join(parts[:i+1], "-")+".yaml")
		}
	}
	for _, f := range files {
		if err := s.mergeWithImports(path, f); err != nil {
			return err
		}
	}
	return nil
}

// mergeWithImports reads a file, if it is there, after those that it imports.
func (s *Source) mergeWithImports(folder, file string) error {
	m, err := load(filepath.Join(folder, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for section, where := range map[string]string{importServices: "services", importLocation: "http/location"} {
		list, _ := m[section].([]any)
		for _, name := range list {
			imported := fmt.Sprintf("%s/%v.yaml", where, name)
			if _, err := os.Stat(filepath.Join(folder, imported)); err != nil {
				s.notes = append(s.notes, fmt.Sprintf("%s imports %s, which cannot be read: %v", file, imported, errors.Unwrap(err)))
				continue
			}
			if err := s.mergeWithImports(folder, imported); err != nil {
				return err
			}
		}
		delete(m, section)
	}
	mergeInto(s.sections, m)
	return nil
}

// merge reads one file.
func (s *Source) merge(path string) error {
	m, err := load(path)
	if err != nil {
		return err
	}
	mergeInto(s.sections, m)
	return nil
}

// load reads one file of sections.
func load(path string) (map[string]any, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := map[string]any{}
	if err := yaml.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// mergeInto puts src over dst, map by map.
func mergeInto(dst, src map[string]any) {
	for k, v := range src {
		into, a := dst[k].(map[string]any)
		from, b := v.(map[string]any)
		if a && b {
			mergeInto(into, from)
			continue
		}
		dst[k] = v
	}
}

// fill puts dynamic parameters in the place of ${name}.
func (s *Source) fill(o Options) error {
	params, _ := s.sections[dynamicSection].(map[string]any)
	delete(s.sections, dynamicSection)
	values := make(map[string]any, len(params))
	for name, v := range params {
		byPool, isMap := v.(map[string]any)
		if !isMap {
			values[name] = v
			continue
		}
		chosen, err := ofPool(byPool, o.Pool)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", dynamicSection, name, err)
		}
		values[name] = chosen
	}
	s.sections, _ = s.replace(s.sections, values, "").(map[string]any)
	return nil
}

// ofPool chooses the value of a parameter for a pool: by its name, by a pattern, or the default.
func ofPool(byPool map[string]any, pool string) (any, error) {
	if v, ok := byPool[pool]; ok && v != nil {
		return v, nil
	}
	for pattern, v := range byPool {
		text, ok := strings.CutPrefix(pattern, "regexp:")
		if !ok {
			continue
		}
		re, err := regexp.Compile(text)
		if err != nil {
			return nil, err
		}
		if re.MatchString(pool) {
			return v, nil
		}
	}
	return byPool["default"], nil
}

var placeholder = regexp.MustCompile(`\$\{([^}]+)\}`)

// replace returns v with its placeholders filled in. One that stands alone keeps its value's type.
func (s *Source) replace(v any, values map[string]any, at string) any {
	switch x := v.(type) {
	case map[string]any:
		for k, e := range x {
			x[k] = s.replace(e, values, at+"."+k)
		}
	case []any:
		for i, e := range x {
			x[i] = s.replace(e, values, fmt.Sprintf("%s[%d]", at, i))
		}
	case string:
		if m := placeholder.FindString(x); m != "" && m == x {
			if value := values[x[2:len(x)-1]]; value != nil {
				return value
			}
		}
		return placeholder.ReplaceAllStringFunc(x, func(m string) string {
			name := m[2 : len(m)-1]
			if value := values[name]; value != nil {
				return fmt.Sprint(value)
			}
			if name != "idc" { // which groups may have, and is known to Convert
				s.notes = append(s.notes, fmt.Sprintf("%s: no dynamic parameter has the name %s", strings.TrimPrefix(at, "."), name))
			}
			return m
		})
	}
	return v
}
