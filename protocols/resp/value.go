package resp

import "strconv"

// Value is a decoded reply, for control use: roles, topologies, command tables. The data path never builds one.
type Value struct {
	Kind  byte    // type byte: '+', '-', ':', '$', '*', '_', ',', '#', '!', '=', '(', '%', '~', '>'
	Null  bool    // '_', "$-1" or "*-1"
	Str   string  // text of + - $ ! = , (  (without the "txt:" of =); "t" or "f" of #
	Int   int64   // value of ':'; 1 or 0 of '#'
	Elems []Value // elements of * ~ >; of a map key, value, key, value...
}

// Decode builds the whole reply at the start of buf and returns its length. The length is 0 if the reply is not whole;
// the error is a *ReplyError. Attributes are dropped. Strings are copies. Memory is bounded by the bytes there are.
func Decode(buf []byte) (Value, int, error) {
	var s ReplyScanner
	n, done, err := s.Scan(buf)
	if err != nil || !done {
		return Value{}, 0, err
	}
	v, _ := decode(buf[:n], 0)
	return v, n, nil
}

// decode builds the value at buf[p:], which was scanned before: it is whole and at most maxDepth deep.
func decode(buf []byte, p int) (Value, int) {
	kind := buf[p]
	end := p + 1
	for buf[end] != '\r' {
		end++
	}
	line, p := string(buf[p+1:end]), end+2
	v := Value{Kind: kind}
	switch kind {
	case '$', '!', '=':
		n, _ := strconv.Atoi(line)
		if n < 0 {
			v.Null = true
			return v, p
		}
		v.Str = string(buf[p : p+n])
		if kind == '=' {
			v.Str = v.Str[4:]
		}
		return v, p + n + 2
	case '*', '~', '>', '%', '|':
		n, _ := strconv.Atoi(line)
		if n < 0 {
			v.Null = true
			return v, p
		}
		if kind == '%' || kind == '|' {
			n *= 2
		}
		v.Elems = make([]Value, n)
		for i := range v.Elems {
			v.Elems[i], p = decode(buf, p)
		}
		if kind == '|' {
			return decode(buf, p)
		}
		return v, p
	case '_':
		v.Null = true
	case ':':
		v.Str = line
		v.Int, _ = strconv.ParseInt(line, 10, 64)
	case '#':
		v.Str = line
		if line == "t" {
			v.Int = 1
		}
	default:
		v.Str = line
	}
	return v, p
}

// IsError tells whether the reply is an error; Str is its text.
func (v Value) IsError() bool { return v.Kind == '-' || v.Kind == '!' }

// Get returns the value of a key in a map, or in an array of keys and values as RESP2 has it instead.
func (v Value) Get(key string) (Value, bool) {
	for i := 0; i+1 < len(v.Elems); i += 2 {
		if v.Elems[i].Str == key {
			return v.Elems[i+1], true
		}
	}
	return Value{}, false
}
