package resp

// ProtocolError says that a client's bytes are not a request. The connection must be closed after it was answered:
// nobody knows where the next request would start.
type ProtocolError struct {
	// Text is the error line to answer, without '-' and CRLF: "ERR Protocol error: invalid bulk length". It is what
	// Redis 7 answers to the same bytes, except for the two errors that Redis does not know (see the package comment).
	Text string
}

// Error returns the text that the client is to read.
func (e *ProtocolError) Error() string { return e.Text }

const protocolError = "ERR Protocol error: "

// Redis' own texts (networking.c, processInlineBuffer and processMultibulkBuffer). The values are never changed.
var (
	errBigInline    = &ProtocolError{protocolError + "too big inline request"}
	errQuotes       = &ProtocolError{protocolError + "unbalanced quotes in request"}
	errBigCount     = &ProtocolError{protocolError + "too big mbulk count string"}
	errCount        = &ProtocolError{protocolError + "invalid multibulk length"}
	errUnauthCount  = &ProtocolError{protocolError + "unauthenticated multibulk length"}
	errBigLength    = &ProtocolError{protocolError + "too big bulk count string"}
	errLength       = &ProtocolError{protocolError + "invalid bulk length"}
	errUnauthLength = &ProtocolError{protocolError + "unauthenticated bulk length"}
)

// Refusals that are our own: Redis skips two bytes where a CRLF should be, and waits for ever at a NUL in an inline
// request. Bytes that two parsers understand differently must never reach a connection shared by several clients.
var (
	errCRLF = &ProtocolError{protocolError + "invalid CRLF"}
	errNUL  = &ProtocolError{protocolError + "NUL byte in inline request"}
)

// errRelay is a caller's mistake, not the client's: the request's head was not scanned far enough to be relayed.
var errRelay = &ProtocolError{protocolError + "relay of a request whose head is not known"}

// errDollar is the answer to an argument that does not start with '$'. Redis blanks line ends in error texts.
func errDollar(got byte) *ProtocolError {
	if got == '\r' || got == '\n' {
		got = ' '
	}
	return &ProtocolError{protocolError + "expected '$', got '" + string([]byte{got}) + "'"}
}

// ReplyError says that an upstream's bytes are not RESP. The connection they came from must be closed and all requests
// waiting on it failed: replies can no longer be matched to requests.
type ReplyError struct {
	Text string
}

// Error names the package and what was wrong.
func (e *ReplyError) Error() string { return "resp: malformed reply: " + e.Text }

var (
	errReplyType     = &ReplyError{"unknown type byte"}
	errReplyStreamed = &ReplyError{"streamed types ('?', ';', '.') are not supported"}
	errReplyLength   = &ReplyError{"invalid length"}
	errReplyCount    = &ReplyError{"invalid element count"}
	errReplyDepth    = &ReplyError{"nested deeper than 128 levels"}
	errReplyCRLF     = &ReplyError{"CRLF expected"}
	errReplyInt      = &ReplyError{"invalid integer"}
	errReplyBool     = &ReplyError{"boolean is neither #t nor #f"}
	errReplyNull     = &ReplyError{"null is not '_' alone"}
	errReplyDouble   = &ReplyError{"empty double"}
	errReplyPush     = &ReplyError{"push inside a reply"}
)
