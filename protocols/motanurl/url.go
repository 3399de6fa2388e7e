package motanurl

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxLen is the most bytes that Parse takes: ZooKeeper's own limit of what one node holds.
const MaxLen = 1 << 20

// MaxParams is the most parameters that Parse takes.
const MaxParams = 4096

// URL describes a node, or a subscriber, of a service.
type URL struct {
	Protocol string // motan2, motan, grpc, ...
	Host     string // a name or an address; IPv6 without brackets; may be empty
	Port     int    // 0 to 65535; subscribers have 0
	Path     string // the service, usually the name of an interface
	// Params are the parameters, group among them. Names are not empty.
	Params map[string]string
}

// Group returns the parameter group.
func (u *URL) Group() string { return u.Params["group"] }

// Parse reads a URL as Java's Motan, motan-go or Append wrote it. Protocol and path are required, as without them nobody can
// tell what is described; a missing host or port is left empty, as Java's Motan does. A parameter without = has its name as
// value, and of two with one name the last counts, likewise as in Java.
func Parse(s string) (*URL, error) {
	if len(s) > MaxLen {
		return nil, fmt.Errorf("a node URL of %d bytes: %d is the most", len(s), MaxLen)
	}
	body, query, _ := strings.Cut(trim(s), "?")
	protocol, rest, ok := strings.Cut(body, "://")
	if !ok || protocol == "" {
		return nil, fmt.Errorf("node URL %q has no protocol: it starts like motan2://host:port/service", shorten(s))
	}
	address, path, _ := strings.Cut(rest, "/")
	if path == "" {
		return nil, fmt.Errorf("node URL %q names no service: it looks like motan2://host:port/service", shorten(s))
	}
	u := &URL{Protocol: protocol, Path: path}
	var err error
	if u.Host, u.Port, err = splitAddress(address); err != nil {
		return nil, fmt.Errorf("node URL %q: %w", shorten(s), err)
	}
	if u.Params, err = parseQuery(query); err != nil {
		return nil, fmt.Errorf("node URL %q: %w", shorten(s), err)
	}
	if err := u.check(); err != nil {
		return nil, fmt.Errorf("node URL %q: %w", shorten(s), err)
	}
	return u, nil
}

// splitAddress takes host:port apart; [v6]:port too, and a bare host.
func splitAddress(s string) (host string, port int, err error) {
	host, digits := s, ""
	if rest, bracket := strings.CutPrefix(s, "["); bracket {
		var after string
		var closed bool
		if host, after, closed = strings.Cut(rest, "]"); !closed {
			return "", 0, fmt.Errorf("address %q has a [ without its ]", s)
		}
		if digits, closed = strings.CutPrefix(after, ":"); !closed && after != "" {
			return "", 0, fmt.Errorf("address %q goes on after its ] without a port", s)
		}
	} else if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host, digits = s[:i], s[i+1:]
	}
	if digits == "" {
		return host, 0, nil
	}
	port, err = strconv.Atoi(digits)
	if err != nil || port < 0 || port > 65535 || digits[0] == '+' || digits[0] == '-' {
		return "", 0, fmt.Errorf("%q is no port", digits)
	}
	return host, port, nil
}

func parseQuery(query string) (map[string]string, error) {
	params := make(map[string]string)
	form := strings.HasSuffix(query, "&")
	for part := range strings.SplitSeq(query, "&") {
		if part = trim(part); part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		if name = unescape(name, form); name == "" {
			continue // Java's Motan would keep it under the empty name, where nobody looks
		}
		if value = unescape(value, form); !ok {
			value = name
		}
		if params[name] = value; len(params) > MaxParams {
			return nil, fmt.Errorf("over %d parameters", MaxParams)
		}
	}
	return params, nil
}

// check refuses what has no written form.
func (u *URL) check() error {
	switch {
	case u.Protocol == "" || has(u.Protocol, ":/?&="):
		return fmt.Errorf("%q is no protocol", u.Protocol)
	case has(u.Host, "/?&=[]@"):
		return fmt.Errorf("%q is no host", u.Host)
	case u.Port < 0 || u.Port > 65535:
		return fmt.Errorf("%d is no port", u.Port)
	case u.Path == "" || u.Path[0] == '/' || has(u.Path, "?"):
		return fmt.Errorf("%q is no path", u.Path)
	}
	if _, ok := u.Params[""]; ok {
		return errors.New("a parameter has no name")
	}
	return nil
}

// has reports whether s has one of the bytes, a space or a control byte.
func has(s, bytes string) bool {
	return strings.ContainsAny(s, bytes) || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// trim takes spaces and control bytes off both ends, as Java's String.trim does.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
}

// Append writes the URL to dst. The same URL always gives the same bytes. An error means that a field has bytes that no reader
// would give back; dst is then returned as it was.
func (u *URL) Append(dst []byte) ([]byte, error) {
	if err := u.check(); err != nil {
		return dst, fmt.Errorf("write a node URL: %w", err)
	}
	dst = append(dst, u.Protocol...)
	dst = append(dst, "://"...)
	if strings.IndexByte(u.Host, ':') >= 0 {
		dst = append(append(append(dst, '['), u.Host...), ']')
	} else {
		dst = append(dst, u.Host...)
	}
	dst = append(dst, ':')
	dst = strconv.AppendInt(dst, int64(u.Port), 10)
	dst = append(dst, '/')
	dst = append(dst, u.Path...)
	separator := byte('?')
	for _, name := range u.names() {
		dst = append(dst, separator)
		dst = appendEscaped(dst, name)
		dst = append(dst, '=')
		dst = appendEscaped(dst, u.Params[name])
		separator = '&'
	}
	return dst, nil
}

// names returns the names of the parameters, group first and the others sorted, as motan-go writes them.
func (u *URL) names() []string {
	names := make([]string, 0, len(u.Params))
	for name := range u.Params {
		if name != "group" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if _, ok := u.Params["group"]; ok {
		names = slices.Insert(names, 0, "group")
	}
	return names
}

// shorten keeps errors readable.
func shorten(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
