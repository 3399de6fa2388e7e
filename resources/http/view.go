package http

// call is the resources.View of the request that it was made of, while Begin runs.

// Key implements resources.View: the path.
func (c *call) Key(i int) ([]byte, bool) { return c.path, i == 0 }

// Digest implements resources.View; a call has none.
func (c *call) Digest() uint64 { return 0 }

// OpName implements resources.Named: a method that is not among those that this kind knows.
func (c *call) OpName() string { return string(c.verb) }

// AppendText implements resources.View: the method and the path. A query may hold secrets.
func (c *call) AppendText(dst []byte) []byte {
	dst = appendSome(dst, c.verb)
	return appendSome(appendSome(dst, space), c.path)
}

var space = []byte{' '}

// appendSome appends as much of b as there is room for.
func appendSome(dst, b []byte) []byte { return append(dst, b[:min(len(b), cap(dst)-len(dst))]...) }
