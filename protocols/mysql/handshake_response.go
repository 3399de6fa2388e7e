package mysql

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
)

// sslRequestLen is the length of the fields in front of the user name; a packet of just these asks for TLS.
const sslRequestLen = 32

// Response is the client's answer to the greeting (HandshakeResponse41), or a COM_CHANGE_USER.
type Response struct {
	Caps       Caps   // what the client wants of what was offered; decides the layout
	MaxPacket  uint32 // largest packet the client takes; 0 in COM_CHANGE_USER
	Charset    uint16 // collation; in a handshake only its low byte travels, 0 if COM_CHANGE_USER has none
	User       string
	Database   string // "" if Caps lack ClientConnectWithDB (COM_CHANGE_USER always has it)
	Plugin     string // of Auth; "" if Caps lack ClientPluginAuth or the client sent none
	Auth       []byte // the plugin's answer to the scramble
	Attributes []byte // raw: length-encoded names and values in turn, see [Attributes]
	ZstdLevel  byte   // 1 to 22, if Caps have ClientZstd
}

// IsSSLRequest reports whether payload, a client's answer to a greeting, asks for TLS. Bytes that came behind this
// packet belong to TLS: they must not be read as packets.
func IsSSLRequest(payload []byte) bool {
	return len(payload) == sslRequestLen && Caps(binary.LittleEndian.Uint32(payload)).Has(ClientSSL|ClientProtocol41)
}

// AppendSSLRequest appends the whole packet that asks for TLS: the first fields of r, with ClientSSL set.
func (r *Response) AppendSSLRequest(dst []byte, seq byte) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = r.appendFixed(dst, r.Caps|ClientSSL)
	closePacket(dst, at, seq)
	return dst
}

// appendFixed appends the 32 bytes that a Response and an SSLRequest have in common.
func (r *Response) appendFixed(dst []byte, caps Caps) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(caps))
	dst = binary.LittleEndian.AppendUint32(dst, r.MaxPacket)
	dst = append(dst, byte(r.Charset), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	return appendExtended(dst, caps)
}

// Append appends the response as a whole packet, laid out by r.Caps (ClientProtocol41 must be among them). Strings end
// at their first NUL. Auth is left out where it cannot be written: longer than 255 bytes without
// ClientPluginAuthLenenc, or with a NUL in it without ClientSecureConnection; servers then ask with AuthSwitch.
func (r *Response) Append(dst []byte, seq byte) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = r.appendFixed(dst, r.Caps)
	dst = appendCString(dst, r.User)
	if r.Caps.Has(ClientPluginAuthLenenc) {
		dst = AppendLenencString(dst, r.Auth)
	} else {
		dst = appendShort(dst, r.Auth, r.Caps)
	}
	if r.Caps.Has(ClientConnectWithDB) {
		dst = appendCString(dst, r.Database)
	}
	if r.Caps.Has(ClientPluginAuth) {
		dst = appendCString(dst, r.Plugin)
	}
	if r.Caps.Has(ClientConnectAttrs) {
		dst = AppendLenencString(dst, r.Attributes)
	}
	if r.Caps.Has(ClientZstd) {
		dst = append(dst, r.ZstdLevel)
	}
	closePacket(dst, at, seq)
	return dst
}

// maxShortAuth is the longest answer without ClientPluginAuthLenenc.
const maxShortAuth = 255

// appendShort appends an authentication answer with its length in one byte in front or, without ClientSecureConnection,
// a NUL behind it; an empty one if auth does not fit.
func appendShort(dst, auth []byte, caps Caps) []byte {
	bounded := caps.Has(ClientSecureConnection)
	if len(auth) > maxShortAuth || !bounded && bytes.IndexByte(auth, 0) >= 0 {
		auth = nil
	}
	if bounded {
		return append(append(dst, byte(len(auth))), auth...)
	}
	return append(append(dst, auth...), 0)
}

// ParseResponse reads a client's answer to a greeting. Auth and Attributes are parts of payload. What real clients leave
// out at the end counts as empty, what they add is not looked at. A client from before 4.1 gives [ErrOldProtocol].
func ParseResponse(payload []byte) (Response, error) {
	var out Response
	if len(payload) > MaxLoginPayload {
		return out, malformed("login of %d bytes, at most %d are accepted", len(payload), MaxLoginPayload)
	}
	if len(payload) >= 2 && Caps(binary.LittleEndian.Uint16(payload))&ClientProtocol41 == 0 {
		return out, ErrOldProtocol
	}
	r := loginReader{b: payload}
	out.Caps = Caps(r.uint(4, "capabilities"))
	out.MaxPacket = uint32(r.uint(4, "packet size"))
	out.Charset = uint16(r.uint(1, "charset"))
	r.take(19, "filler")
	extended := r.uint(4, "filler")
	if !out.Caps.Has(ClientLongPassword) {
		out.Caps |= Caps(extended) << 32
	}
	out.User = string(r.cstring("user", MaxUser))
	switch {
	case out.Caps.Has(ClientPluginAuthLenenc):
		out.Auth = r.lenenc("authentication answer")
	case out.Caps.Has(ClientSecureConnection):
		out.Auth = r.take(int(r.uint(1, "length of the authentication answer")), "authentication answer")
	default:
		out.Auth = r.lastString("authentication answer", maxShortAuth)
	}
	if out.Caps.Has(ClientConnectWithDB) {
		out.Database = string(r.lastString("database", MaxDatabase))
	}
	out.readTail(&r)
	if out.Caps.Has(ClientZstd) && len(r.b) > 0 {
		out.ZstdLevel = byte(r.uint(1, "zstd level"))
	}
	if r.err != nil {
		return Response{}, fmt.Errorf("login: %w", r.err)
	}
	return out, nil
}

// readTail reads what a Response and a COM_CHANGE_USER have in common at their end. Some clients announce attributes and
// send none.
func (r *Response) readTail(in *loginReader) {
	if r.Caps.Has(ClientPluginAuth) {
		r.Plugin = string(in.lastString("plugin", MaxPluginName))
	}
	if r.Caps.Has(ClientConnectAttrs) && len(in.b) > 0 {
		r.Attributes = in.lenenc("attributes")
	}
}

// AppendChangeUser appends a COM_CHANGE_USER as a whole packet with sequence id 0, laid out by the connection's caps.
// An Auth that cannot be written is left out, as in Append: its length has one byte here whatever the caps.
func (r *Response) AppendChangeUser(dst []byte, caps Caps) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, byte(ComChangeUser))
	dst = appendCString(dst, r.User)
	dst = appendShort(dst, r.Auth, caps)
	dst = appendCString(dst, r.Database)
	dst = binary.LittleEndian.AppendUint16(dst, r.Charset)
	if caps.Has(ClientPluginAuth) {
		dst = appendCString(dst, r.Plugin)
	}
	if caps.Has(ClientConnectAttrs) {
		dst = AppendLenencString(dst, r.Attributes)
	}
	closePacket(dst, at, 0)
	return dst
}

// ParseChangeUser reads a COM_CHANGE_USER, command byte included, of a connection with these caps. Auth and Attributes
// are parts of payload. A packet that ends behind the database name is fine (clients of 5.0).
func ParseChangeUser(payload []byte, caps Caps) (Response, error) {
	if len(payload) == 0 || Command(payload[0]) != ComChangeUser {
		return Response{}, malformed("not a COM_CHANGE_USER packet")
	}
	if len(payload) > MaxLoginPayload {
		return Response{}, malformed("COM_CHANGE_USER of %d bytes, at most %d are accepted", len(payload), MaxLoginPayload)
	}
	r := loginReader{b: payload[1:]}
	out := Response{Caps: caps, User: string(r.cstring("user", MaxUser))}
	if caps.Has(ClientSecureConnection) {
		out.Auth = r.take(int(r.uint(1, "length of the authentication answer")), "authentication answer")
	} else {
		out.Auth = r.cstring("authentication answer", maxShortAuth)
	}
	out.Database = string(r.lastString("database", MaxDatabase))
	if r.err == nil && len(r.b) > 0 {
		out.Charset = uint16(r.uint(2, "charset"))
		out.readTail(&r)
	}
	if r.err != nil {
		return Response{}, fmt.Errorf("COM_CHANGE_USER: %w", r.err)
	}
	return out, nil
}

// AppendAttribute appends one connection attribute to a block for Response.Attributes.
func AppendAttribute[T ~string | ~[]byte](dst []byte, name, value T) []byte {
	return AppendLenencString(AppendLenencString(dst, name), value)
}

// Attributes iterates over a block of connection attributes. Names and values are parts of block. It stops where the
// block is malformed: they only describe the client, so that servers too take what they can read.
func Attributes(block []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for len(block) > 0 {
			name, n := LenencString(block)
			if n == 0 {
				return
			}
			value, m := LenencString(block[n:])
			if m == 0 || !yield(name, value) {
				return
			}
			block = block[n+m:]
		}
	}
}
