package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed is what every error of this package about bytes that cannot be what they should be wraps. The connection
// that they came from must be closed: nothing says where the next packet begins, or to which command it belongs.
var ErrMalformed = errors.New("mysql: malformed packet")

// malformed returns an error that wraps ErrMalformed.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

// progressCode is the code of an ERR packet that is a MariaDB progress report, not an error.
const progressCode = 0xffff

// ServerError is an ERR packet.
type ServerError struct {
	Code    uint16
	State   [5]byte // SQLSTATE, "HY000" if the packet has none
	Message []byte  // part of the parsed payload: Clone before that is overwritten
}

// generalState is the SQLSTATE of an error that names none.
var generalState = [5]byte{'H', 'Y', '0', '0', '0'}

// Error returns the error as the command line client prints it: "ERROR 1045 (28000): Access denied ...".
func (e *ServerError) Error() string {
	return fmt.Sprintf("ERROR %d (%s): %s", e.Code, e.State[:], e.Message)
}

// Clone returns a copy that shares no memory with the parsed payload.
func (e *ServerError) Clone() *ServerError {
	return &ServerError{Code: e.Code, State: e.State, Message: bytes.Clone(e.Message)}
}

// ParseERR reads an ERR packet. The SQLSTATE is looked for only if caps has ClientProtocol41, and may be missing even
// so, as it is while the capabilities are not agreed on yet.
func ParseERR(payload []byte, caps Caps) (ServerError, error) {
	if len(payload) < 3 || payload[0] != headERR {
		return ServerError{}, malformed("%s is no ERR packet (0xff and two bytes of code)", glimpse(payload))
	}
	e := ServerError{Code: binary.LittleEndian.Uint16(payload[1:]), State: generalState}
	rest := payload[3:]
	if caps.Has(ClientProtocol41) && len(rest) >= 6 && rest[0] == '#' {
		copy(e.State[:], rest[1:6])
		rest = rest[6:]
	}
	e.Message = rest[:len(rest):len(rest)]
	return e, nil
}

// AppendERR appends a whole ERR packet. state is the SQLSTATE of five bytes; "" leaves it out, as a client without
// ClientProtocol41 needs it. A message that would make the packet longer than [MaxReplyPacket] is cut.
func AppendERR(dst []byte, seq byte, code uint16, state, message string) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, headERR, byte(code), byte(code>>8))
	if len(state) == len(generalState) {
		dst = append(append(dst, '#'), state...)
	}
	room := MaxReplyPacket - (len(dst) - at - HeaderLen)
	dst = append(dst, message[:min(len(message), room)]...)
	closePacket(dst, at, seq)
	return dst
}

// isProgress tells whether payload, which begins with 0xff, is a progress report.
func isProgress(payload []byte, caps Caps) bool {
	return caps.Has(MariaDBProgress) && len(payload) >= 3 && binary.LittleEndian.Uint16(payload[1:]) == progressCode
}

// glimpse describes payload for an error: its length and first bytes.
func glimpse(payload []byte) string {
	return fmt.Sprintf("a payload of %d bytes (% x)", len(payload), payload[:min(len(payload), 8)])
}
