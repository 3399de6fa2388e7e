package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// The packets of a login, in their order on the wire (sources: MySQL source documentation, "Connection Phase";
// MariaDB knowledge base, "Connection"):
//
//	server                                   client
//	Greeting                         ──────>
//	                                 <────── AppendSSLRequest, then TLS (if both can)
//	                                 <────── Response (later, from a logged-in client: COM_CHANGE_USER)
//	AuthSwitch ("use this plugin")   ──────>
//	                                 <────── a payload that is the plugin's alone
//	AuthMoreData                     ──────>
//	                                 <────── a payload that is the plugin's alone
//	OK or ERR                        ──────>

// Limits of what is accepted from a peer that has not logged in yet. The lengths are those of the servers: MariaDB takes
// user names of 128 characters and database names of 64.
const (
	MaxLoginPayload = 64 << 10 // any packet of a login
	MaxUser         = 512      // bytes of a user name: 128 characters of 4 bytes
	MaxDatabase     = 256      // bytes of a database name: 64 characters of 4 bytes
	MaxPluginName   = 64       // bytes of a plugin's name
	maxVersion      = 256      // bytes of a server's version
)

// ErrOldProtocol says that the peer speaks the protocol of before MySQL 4.1, which has no safe authentication.
var ErrOldProtocol = errors.New("the peer speaks the protocol of before MySQL 4.1")

const protocolVersion = 10

// Greeting is the first packet of a connection, from the server (HandshakeV10).
type Greeting struct {
	ServerVersion string // as it is; MariaDB up to 10 puts "5.5.5-" in front
	ConnectionID  uint32
	Scramble      [ScrambleLen]byte // random; no NUL in it
	Caps          Caps              // offered. MariaDB's upper half counts if ClientLongPassword is not set
	Charset       byte              // the server's default collation, the low byte of its number
	Status        Status
	Plugin        string // of the server's default authentication; written if Caps have ClientPluginAuth
}

// Append appends the greeting as a whole packet with sequence id 0. ServerVersion and Plugin end at their first NUL.
// It always has 20 bytes of scramble, with or without ClientSecureConnection.
func (g *Greeting) Append(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, protocolVersion)
	dst = appendCString(dst, g.ServerVersion)
	dst = binary.LittleEndian.AppendUint32(dst, g.ConnectionID)
	dst = append(dst, g.Scramble[:8]...)
	dst = append(dst, 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(g.Caps))
	dst = append(dst, g.Charset)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(g.Status))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(g.Caps>>16))
	dataLen := byte(0)
	if g.Caps.Has(ClientPluginAuth) {
		dataLen = ScrambleLen + 1
	}
	dst = append(dst, dataLen, 0, 0, 0, 0, 0, 0)
	dst = appendExtended(dst, g.Caps)
	dst = append(dst, g.Scramble[8:]...)
	dst = append(dst, 0)
	if g.Caps.Has(ClientPluginAuth) {
		dst = appendCString(dst, g.Plugin)
	}
	closePacket(dst, at, 0)
	return dst
}

// appendExtended writes MariaDB's half of the capabilities, which exists only if bit 0 is not set.
func appendExtended(dst []byte, caps Caps) []byte {
	if caps.Has(ClientLongPassword) {
		return append(dst, 0, 0, 0, 0)
	}
	return binary.LittleEndian.AppendUint32(dst, uint32(caps>>32))
}

// ParseGreeting reads the first packet of a server. A server that refuses at once (too many connections, blocked host)
// sends ERR instead: then the error wraps a [*ServerError]. A server from before 4.1 gives [ErrOldProtocol].
func ParseGreeting(payload []byte) (Greeting, error) {
	if err := refusedGreeting(payload); err != nil {
		return Greeting{}, err
	}
	r := loginReader{b: payload[1:]}
	g := Greeting{ServerVersion: string(r.cstring("server version", maxVersion))}
	g.ConnectionID = uint32(r.uint(4, "connection id"))
	first := r.take(8, "scramble")
	r.take(1, "filler")
	low := r.uint(2, "capabilities")
	if r.err == nil && Caps(low)&ClientProtocol41 == 0 {
		return Greeting{}, fmt.Errorf("greeting of server %.64q: %w", g.ServerVersion, ErrOldProtocol)
	}
	g.Charset = byte(r.uint(1, "charset"))
	g.Status = Status(r.uint(2, "status"))
	high := r.uint(2, "capabilities")
	dataLen := int(r.uint(1, "length of the scramble"))
	r.take(6, "reserved bytes")
	extended := r.uint(4, "reserved bytes")
	g.Caps = Caps(low | high<<16)
	if !g.Caps.Has(ClientLongPassword) {
		g.Caps |= Caps(extended) << 32
	}
	if g.Caps.Has(ClientSecureConnection) {
		second := r.take(min(max(13, dataLen-8), len(r.b)), "scramble")
		if r.err == nil && len(second) < ScrambleLen-8 {
			r.err = malformed("scramble of %d bytes, want %d", 8+len(second), ScrambleLen)
		}
		copy(g.Scramble[8:], second)
	}
	copy(g.Scramble[:8], first)
	if g.Caps.Has(ClientPluginAuth) {
		g.Plugin = string(r.lastString("plugin", MaxPluginName))
	}
	if r.err != nil {
		return Greeting{}, fmt.Errorf("greeting: %w", r.err)
	}
	return g, nil
}

// refusedGreeting is an error for first packets that are no greeting of protocol 10.
func refusedGreeting(payload []byte) error {
	switch {
	case len(payload) == 0:
		return malformed("an empty packet instead of a greeting")
	case len(payload) > MaxLoginPayload:
		return malformed("greeting of %d bytes, at most %d are accepted", len(payload), MaxLoginPayload)
	case payload[0] == headERR:
		return fmt.Errorf("instead of a greeting: %w", serverError(payload))
	case payload[0] < protocolVersion:
		return fmt.Errorf("greeting of protocol version %d: %w", payload[0], ErrOldProtocol)
	case payload[0] != protocolVersion:
		return malformed("greeting of protocol version %d, want %d: is this a MySQL port?", payload[0], protocolVersion)
	}
	return nil
}

// serverError is the ERR packet as an error that shares no memory with it. ParseERR looks for a SQLSTATE and takes its
// absence: before the capabilities are agreed on, servers differ in whether they send one.
func serverError(payload []byte) error {
	e, err := ParseERR(payload, ClientProtocol41)
	if err != nil {
		return err
	}
	return e.Clone()
}

// AuthSwitch asks the client to go on with another plugin (AuthSwitchRequest). The client's next packet has nothing but
// that plugin's answer to Data.
type AuthSwitch struct {
	Plugin string
	Data   []byte // 20 random bytes and a NUL; 32 random bytes for client_ed25519
}

// Append appends the whole packet.
func (s *AuthSwitch) Append(dst []byte, seq byte) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, headEOF)
	dst = appendCString(dst, s.Plugin)
	dst = append(dst, s.Data...)
	closePacket(dst, at, seq)
	return dst
}

// ParseAuthSwitch reads a packet with header 0xfe. Data is a part of payload and keeps its trailing NUL. A packet of
// that one byte asks for mysql_old_password: [ErrOldProtocol].
func ParseAuthSwitch(payload []byte) (AuthSwitch, error) {
	switch {
	case len(payload) == 0 || payload[0] != headEOF:
		return AuthSwitch{}, malformed("not an AuthSwitch packet")
	case len(payload) == 1:
		return AuthSwitch{}, fmt.Errorf("the server asks for %s: %w", PluginOld, ErrOldProtocol)
	case len(payload) > MaxLoginPayload:
		return AuthSwitch{}, malformed("AuthSwitch of %d bytes, at most %d are accepted", len(payload), MaxLoginPayload)
	}
	r := loginReader{b: payload[1:]}
	s := AuthSwitch{Plugin: string(r.cstring("plugin", MaxPluginName)), Data: r.b}
	if r.err != nil {
		return AuthSwitch{}, fmt.Errorf("AuthSwitch: %w", r.err)
	}
	return s, nil
}

// What the first byte of AuthMoreData means in caching_sha2_password.
const (
	sha2KeyRequest = 0x02 // from the client: send me your public key
	sha2FastOK     = 0x03 // the scramble was right, an OK follows
	sha2FullAuth   = 0x04 // send the password itself
)

// AppendAuthMoreData appends a packet that goes on with the current plugin.
func AppendAuthMoreData(dst []byte, seq byte, data ...byte) []byte {
	dst = AppendHeader(dst, 1+len(data), seq)
	dst = append(dst, headAuthMore)
	return append(dst, data...)
}

// ParseAuthMoreData returns the data of a packet with header 0x01 as a part of payload.
func ParseAuthMoreData(payload []byte) ([]byte, error) {
	if len(payload) == 0 || payload[0] != headAuthMore {
		return nil, malformed("not an AuthMoreData packet")
	}
	if len(payload) > MaxLoginPayload {
		return nil, malformed("AuthMoreData of %d bytes, at most %d are accepted", len(payload), MaxLoginPayload)
	}
	return payload[1:], nil
}

// appendCString appends s up to its first NUL, and a NUL.
func appendCString[T ~string | ~[]byte](dst []byte, s T) []byte {
	at := len(dst)
	dst = append(dst, s...)
	if n := bytes.IndexByte(dst[at:], 0); n >= 0 {
		dst = dst[:at+n]
	}
	return append(dst, 0)
}

// loginReader takes fields off the front of b. The first that is not there sets err, and all later ones are empty.
type loginReader struct {
	b   []byte
	err error
}

// take returns the next n bytes.
func (r *loginReader) take(n int, what string) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.b) {
		r.fail(malformed("packet ends in %s", what))
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// uint returns the next n bytes as a number, low byte first.
func (r *loginReader) uint(n int, what string) (v uint64) {
	for i, c := range r.take(n, what) {
		v |= uint64(c) << (8 * i)
	}
	return v
}

// cstring returns what stands before the next NUL, which must be there.
func (r *loginReader) cstring(what string, most int) []byte {
	if r.err != nil {
		return nil
	}
	n := bytes.IndexByte(r.b, 0)
	if n < 0 {
		r.fail(malformed("%s without a NUL behind it", what))
		return nil
	}
	return r.cut(n, 1, what, most)
}

// lastString is cstring for fields that some peers leave out or end with the packet instead of a NUL.
func (r *loginReader) lastString(what string, most int) []byte {
	if r.err != nil {
		return nil
	}
	if n := bytes.IndexByte(r.b, 0); n >= 0 {
		return r.cut(n, 1, what, most)
	}
	return r.cut(len(r.b), 0, what, most)
}

// cut takes n bytes and skips some behind them.
func (r *loginReader) cut(n, skip int, what string, most int) []byte {
	if n > most {
		r.fail(malformed("%s of %d bytes, at most %d are accepted", what, n, most))
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n+skip:]
	return v
}

// lenenc returns the next length-encoded string.
func (r *loginReader) lenenc(what string) []byte {
	if r.err != nil {
		return nil
	}
	s, n := LenencString(r.b)
	if n == 0 {
		r.fail(malformed("%s is longer than the packet", what))
		return nil
	}
	r.b = r.b[n:]
	return s
}

func (r *loginReader) fail(err error) { r.err, r.b = err, nil }
