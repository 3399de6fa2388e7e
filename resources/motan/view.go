package motan

// call is the resources.View of the request that it was made of, while Begin runs.

// Key implements resources.View: what the caller hashes by.
func (c *call) Key(i int) ([]byte, bool) { return c.OnlyKey, i == 0 && c.OnlyKey != nil }

// Digest implements resources.View; a call has none.
func (c *call) Digest() uint64 { return 0 }

// OpName implements resources.Named: the method.
func (c *call) OpName() string { return string(c.desc.Method) }

// AppendText implements resources.View: the service, the method and its parameters' types, without their values.
func (c *call) AppendText(dst []byte) []byte {
	dst = appendSome(dst, c.desc.Service)
	dst = appendSome(dst, dot)
	dst = appendSome(dst, c.desc.Method)
	if len(c.desc.Desc) > 0 {
		dst = appendSome(appendSome(appendSome(dst, open), c.desc.Desc), shut)
	}
	return dst
}

var dot, open, shut = []byte{'.'}, []byte{'('}, []byte{')'}

// appendSome appends as much of b as there is room for.
func appendSome(dst, b []byte) []byte { return append(dst, b[:min(len(b), cap(dst)-len(dst))]...) }
