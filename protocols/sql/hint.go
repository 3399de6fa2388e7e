package sql

import (
	"bytes"
	"iter"
)

// Hints returns the pairs of a hint's body, such as "reads=primary, timeout=2s": keys and values with an equals sign
// between them, pairs apart by commas or white space. A key alone has a nil value; a value ends where the pair ends and
// has no quotes. "sluice:" in front is left out. Keys and values are parts of body.
func Hints(body []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		rest := bytes.TrimLeft(body, hintSpace)
		rest = bytes.TrimPrefix(rest, []byte(hintName))
		for {
			rest = bytes.TrimLeft(rest, hintSpace)
			if len(rest) == 0 {
				return
			}
			end := bytes.IndexAny(rest, hintSpace)
			if end < 0 {
				end = len(rest)
			}
			k, v, ok := bytes.Cut(rest[:end], []byte("="))
			if !ok {
				v = nil
			}
			if !yield(k, v) {
				return
			}
			rest = rest[end:]
		}
	}
}

// hintSpace is what pairs are apart by.
const hintSpace = " \t\r\n\f\v,"
