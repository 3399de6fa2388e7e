package mysql

import "encoding/binary"

const (
	// MaxReplyPacket is the largest payload of the packets that must be whole to be understood: ERR, EOF, LOCAL INFILE,
	// COM_STMT_PREPARE_OK, authentication, and an OK without session state.
	MaxReplyPacket = 64 << 10
	// MaxOKPacket is the largest payload of an OK packet whose receiver has ClientSessionTrack: the values of changed
	// variables have no limit of their own.
	MaxOKPacket = 1 << 20
)

// classicEOF is the length from which on a payload that begins with 0xfe cannot be an EOF packet.
const classicEOF = 9

// OK is an OK packet: a command without rows has succeeded, or (header 0xfe) the rows of a result are complete.
type OK struct {
	AffectedRows uint64
	InsertID     uint64 // 0 if no AUTO_INCREMENT value was made
	Status       Status
	Warnings     uint16
	Info         []byte // for people: "Rows matched: 1  Changed: 0  Warnings: 0"; part of the parsed payload
	Track        []byte // session-state block, see [Track]; part of the parsed payload
}

// ParseOK reads an OK packet, header 0x00 or 0xfe, as it is sent to a client with caps. It also takes an EOF packet for
// one: with 0xfe in front nothing but the length tells them apart, and some servers send an EOF where
// ClientDeprecateEOF asks for an OK.
func ParseOK(payload []byte, caps Caps) (OK, error) {
	if len(payload) == 0 || payload[0] != headOK && payload[0] != headEOF {
		return OK{}, malformed("%s is no OK packet (0x00 or 0xfe first)", glimpse(payload))
	}
	if payload[0] == headEOF && len(payload) <= 5 {
		e, err := ParseEOF(payload, caps)
		return OK{Status: e.Status, Warnings: e.Warnings}, err
	}
	var ok OK
	var n int
	b := payload[1:]
	if ok.AffectedRows, n = LenencInt(b); n == 0 {
		return OK{}, malformed("%s: OK packet without affected rows", glimpse(payload))
	}
	b = b[n:]
	if ok.InsertID, n = LenencInt(b); n == 0 {
		return OK{}, malformed("%s: OK packet without insert id", glimpse(payload))
	}
	b = b[n:]
	switch {
	case caps.Has(ClientProtocol41):
		if len(b) < 4 {
			return OK{}, malformed("%s: OK packet ends within status and warnings", glimpse(payload))
		}
		ok.Status, ok.Warnings = Status(binary.LittleEndian.Uint16(b)), binary.LittleEndian.Uint16(b[2:])
		b = b[4:]
	case caps.Has(ClientTransactions):
		if len(b) < 2 {
			return OK{}, malformed("%s: OK packet ends within its status", glimpse(payload))
		}
		ok.Status = Status(binary.LittleEndian.Uint16(b))
		b = b[2:]
	}
	return ok, ok.tail(b, caps)
}

// tail reads what follows the fixed part: information and session state.
func (ok *OK) tail(b []byte, caps Caps) error {
	if len(b) == 0 {
		return nil
	}
	info, n := LenencString(b)
	if !caps.Has(ClientSessionTrack) {
		// The documents say that the text fills the packet; the servers put its length in front all the same.
		if n != len(b) {
			info = b[:len(b):len(b)]
		}
		ok.Info = info
		return nil
	}
	if n == 0 {
		return malformed("OK packet: information of %d bytes does not fit its length", len(b))
	}
	ok.Info, b = info, b[n:]
	if ok.Status.Has(StatusSessionStateChanged) && len(b) > 0 {
		if ok.Track, n = LenencString(b); n == 0 {
			return malformed("OK packet: session state of %d bytes does not fit its length", len(b))
		}
		b = b[n:]
	}
	if len(b) > 0 {
		return malformed("OK packet: %d bytes behind its end", len(b))
	}
	return nil
}

// AppendOK appends a whole OK packet for a client with caps, whatever the capabilities with which ok was parsed:
// without ClientSessionTrack the session state and its status bit are left out, and where header is 0xfe and the client
// has no ClientDeprecateEOF, an EOF packet is written. header is 0x00 or 0xfe; Info and Track together are shorter than
// 16 MiB.
func AppendOK(dst []byte, seq, header byte, ok *OK, caps Caps) []byte {
	track := caps.Has(ClientSessionTrack) && len(ok.Track) > 0
	status := ok.Status &^ StatusSessionStateChanged
	if track {
		status |= StatusSessionStateChanged
	}
	if header == headEOF && !caps.Has(ClientDeprecateEOF) {
		return AppendEOF(dst, seq, EOF{Status: status, Warnings: ok.Warnings}, caps)
	}
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, header)
	dst = AppendLenencInt(dst, ok.AffectedRows)
	dst = AppendLenencInt(dst, ok.InsertID)
	switch {
	case caps.Has(ClientProtocol41):
		dst = binary.LittleEndian.AppendUint16(dst, uint16(status))
		dst = binary.LittleEndian.AppendUint16(dst, ok.Warnings)
	case caps.Has(ClientTransactions):
		dst = binary.LittleEndian.AppendUint16(dst, uint16(status))
	}
	if len(ok.Info) > 0 || track {
		dst = AppendLenencString(dst, ok.Info)
	}
	if track {
		dst = AppendLenencString(dst, ok.Track)
	}
	closePacket(dst, at, seq)
	return dst
}

// EOF is an EOF packet, which a client without ClientDeprecateEOF gets behind column definitions and behind rows.
type EOF struct {
	Warnings uint16
	Status   Status
}

// ParseEOF reads an EOF packet: 0xfe, and with ClientProtocol41 warnings and status.
func ParseEOF(payload []byte, caps Caps) (EOF, error) {
	if len(payload) == 0 || payload[0] != headEOF || len(payload) >= classicEOF {
		return EOF{}, malformed("%s is no EOF packet (0xfe, shorter than 9 bytes)", glimpse(payload))
	}
	if !caps.Has(ClientProtocol41) {
		return EOF{}, nil
	}
	if len(payload) < 5 {
		return EOF{}, malformed("%s: EOF packet ends within warnings and status", glimpse(payload))
	}
	warnings, status := binary.LittleEndian.Uint16(payload[1:]), binary.LittleEndian.Uint16(payload[3:])
	return EOF{Warnings: warnings, Status: Status(status)}, nil
}

// AppendEOF appends a whole EOF packet.
func AppendEOF(dst []byte, seq byte, e EOF, caps Caps) []byte {
	if !caps.Has(ClientProtocol41) {
		return append(AppendHeader(dst, 1, seq), headEOF)
	}
	dst = append(AppendHeader(dst, 5, seq), headEOF)
	dst = binary.LittleEndian.AppendUint16(dst, e.Warnings)
	return binary.LittleEndian.AppendUint16(dst, uint16(e.Status))
}
