package resp

// Arg returns argument i (0 is the command's name), or nil if it is not wholly in buf, which must hold the bytes that
// were scanned. It costs O(1) for the first four and when read in order, else a walk. The bytes are those of buf, and
// only an inline argument with escapes is a copy.
func (r *Request) Arg(buf []byte, i int) []byte {
	if i < 0 || i >= r.got {
		return nil
	}
	if i < headArgs && r.escaped>>i&1 == 0 {
		s := r.head[i]
		end := s.Off + s.Len
		return buf[s.Off:end:end]
	}
	if r.Inline {
		return r.inlineArg(buf, i)
	}
	j, at := r.walkI, r.walkAt
	if j < headArgs || j > i {
		last := r.head[headArgs-1]
		j, at = headArgs, int(last.Off+last.Len)+2
	}
	for ; ; j++ {
		arg, next := bulkAt(buf, at)
		if j == i {
			r.walkI, r.walkAt = j+1, next
			return arg
		}
		at = next
	}
}

// inlineArg walks the line; such requests come from people and health checks.
func (r *Request) inlineArg(buf []byte, i int) []byte {
	line := r.inlineLine(buf)
	t := nextToken(line, 0)
	for ; i > 0; i-- {
		t = nextToken(line, t.next)
	}
	return t.value(line)
}

// value returns the token's value, a copy if it must be unquoted.
func (t token) value(line []byte) []byte {
	if t.escaped {
		return appendToken(make([]byte, 0, t.to-t.from), line[t.from:t.to])
	}
	return line[t.from:t.to:t.to]
}

// bulkAt returns the argument whose (already checked) length line is at buf[at:], and where the next one starts.
func bulkAt(buf []byte, at int) (arg []byte, next int) {
	at++ // the '$'
	n := 0
	for ; buf[at] != '\r'; at++ {
		n = n*10 + int(buf[at]-'0')
	}
	at += 2
	end := at + n
	return buf[at:end:end], end + 2
}

// Args walks the arguments of a request without a closure:
//
//	for it := r.Args(buf); ; {
//		arg, ok := it.Next()
//		if !ok {
//			break
//		}
//		...
//	}
type Args struct {
	buf    []byte // multibulk: the request; inline: the line
	at     int    // where the next argument (with its length line) starts
	i, n   int
	inline bool
}

// Args returns an iterator over the arguments that are wholly in buf.
func (r *Request) Args(buf []byte) Args {
	it := Args{buf: buf, n: r.got, inline: r.Inline}
	if r.got == 0 {
		return it
	}
	if r.Inline {
		it.buf = r.inlineLine(buf)
		return it
	}
	for it.buf[it.at] != '\n' { // the count line
		it.at++
	}
	it.at++
	return it
}

// Next returns the next argument; ok is false after the last one.
func (it *Args) Next() (arg []byte, ok bool) {
	if it.i >= it.n {
		return nil, false
	}
	it.i++
	if it.inline {
		t := nextToken(it.buf, it.at)
		it.at = t.next
		return t.value(it.buf), true
	}
	arg, it.at = bulkAt(it.buf, it.at)
	return arg, true
}

// Each calls yield for each argument that is wholly in buf, in order, until it returns false.
func (r *Request) Each(buf []byte, yield func(i int, arg []byte) bool) {
	it := r.Args(buf)
	for i := 0; ; i++ {
		arg, ok := it.Next()
		if !ok || !yield(i, arg) {
			return
		}
	}
}

// AppendCanonical appends the complete request as an array of bulk strings: its bytes as they are or, for an inline
// request, its arguments unquoted. What it appends is the only form that may be written to an upstream.
func (r *Request) AppendCanonical(dst, buf []byte) []byte {
	if !r.Inline {
		return append(dst, buf[:r.Size]...)
	}
	dst = AppendArray(dst, r.Argc)
	it := r.Args(buf)
	for {
		arg, ok := it.Next()
		if !ok {
			return dst
		}
		dst = AppendBulk(dst, arg)
	}
}
