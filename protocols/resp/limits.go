package resp

// Defaults of [Limits]: a zero field means the value here.
const (
	DefaultMaxBulk   = 512 << 20 // bytes; Redis' proto-max-bulk-len
	DefaultMaxArgs   = 1 << 20   // arguments of one request
	DefaultMaxInline = 64 << 10  // bytes of an inline request or of a count line; Redis' PROTO_INLINE_MAX_SIZE
	DefaultStream    = 32 << 10  // bytes
)

// What Redis allows a client that has not logged in.
const (
	unauthenticatedArgs = 10
	unauthenticatedBulk = 16384
)

// Limits bound what a client may send. A zero field means its default. One Limits is shared by many requests; it must
// not change while one of them is being scanned.
type Limits struct {
	MaxBulk   int64 // longest argument in bytes; beyond: "invalid bulk length"
	MaxArgs   int   // most arguments of one request; beyond: "invalid multibulk length"
	MaxInline int   // longest inline request, and longest count or length line, in bytes without the line end
	// Stream: an argument that is longer than this and not wholly in the buffer makes Scan return Large, so that the
	// caller forwards it piece by piece instead of gathering it.
	Stream int
	// Unauthenticated: refuse more than 10 arguments and arguments over 16,384 bytes, as Redis does before AUTH.
	Unauthenticated bool
}

func (l *Limits) maxBulk() int64 {
	if l == nil || l.MaxBulk <= 0 {
		return DefaultMaxBulk
	}
	return l.MaxBulk
}

func (l *Limits) maxArgs() int64 {
	if l == nil || l.MaxArgs <= 0 {
		return DefaultMaxArgs
	}
	return int64(l.MaxArgs)
}

func (l *Limits) maxInline() int {
	if l == nil || l.MaxInline <= 0 {
		return DefaultMaxInline
	}
	return l.MaxInline
}

func (l *Limits) stream() int {
	if l == nil || l.Stream <= 0 {
		return DefaultStream
	}
	return l.Stream
}

func (l *Limits) unauthenticated() bool { return l != nil && l.Unauthenticated }
