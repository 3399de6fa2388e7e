package http1

// What a byte may be part of.
const (
	isToken  = 1 << iota // a method, or the name of a field (RFC 9110, 5.6.2)
	isValue              // the value of a field: everything but controls; a tab is none
	isTarget             // a request's target: visible ASCII, but no fragment
	isHost               // a host with its port (RFC 3986, 3.2.2 and 3.2.3)
)

var chars = func() (t [256]uint8) {
	for c := range t {
		if c >= ' ' && c != 0x7f || c == '\t' {
			t[c] |= isValue
		}
		if c > ' ' && c < 0x7f && c != '#' {
			t[c] |= isTarget
		}
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	for _, c := range letters + "!#$%&'*+-.^_`|~" {
		t[c] |= isToken
	}
	for _, c := range letters + "-._~%!$&'()*+,;=:[]" {
		t[c] |= isHost
	}
	return t
}()

// all reports whether all of b may be part of what.
func all(b []byte, what uint8) bool {
	for _, c := range b {
		if chars[c]&what == 0 {
			return false
		}
	}
	return true
}

// trim returns b without spaces and tabs around it.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// EqualFold reports whether b is s, which is in lower case, when letters of ASCII match in either case.
func EqualFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != s[i] {
			return false
		}
	}
	return true
}

// foldEqual is EqualFold for two texts of any case.
func foldEqual(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		d := b[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if d >= 'A' && d <= 'Z' {
			d |= 0x20
		}
		if c != d {
			return false
		}
	}
	return true
}

// IsToken, IsTarget and IsHost report whether s can be a method or a field's name, a target, and a host with or without a port.
func IsToken(s string) bool  { return s != "" && all([]byte(s), isToken) }
func IsTarget(s string) bool { return s != "" && all([]byte(s), isTarget) }
func IsHost(s string) bool   { return s != "" && all([]byte(s), isHost) }
