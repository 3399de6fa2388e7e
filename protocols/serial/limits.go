package serial

import (
	"errors"
	"fmt"
)

// Defaults of [Limits]: a zero field means the value here.
const (
	DefaultDepth  = 64
	DefaultValues = 1 << 20
)

// Limits bound what is decoded, and the depth of what is encoded. A zero field means its default. Whatever they are,
// decoding takes at most 32 bytes of memory for each byte of the body, and 1 KiB.
type Limits struct {
	Depth  int // how deep lists, maps and messages may nest
	Values int // values of a body, keys and elements included
}

func (l Limits) depth() int {
	if l.Depth <= 0 {
		return DefaultDepth
	}
	return l.Depth
}

func (l Limits) values() int {
	if l.Values <= 0 {
		return DefaultValues
	}
	return l.Values
}

var (
	// ErrMalformed is wrapped by every error about bytes or a JSON text that is not what it should be.
	ErrMalformed = errors.New("serial: malformed")
	// ErrLimit is wrapped by every error about what is well formed so far, but beyond Limits.
	ErrLimit = errors.New("serial: over the limit")
	// ErrType is wrapped by every error about a value that a serialization cannot write, or that is not of a Kind.
	ErrType = errors.New("serial: unsupported value")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

func overLimit(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrLimit}, args...)...)
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrType}, args...)...)
}

func tooDeep(limit int) error { return overLimit("nested deeper than %d levels", limit) }
