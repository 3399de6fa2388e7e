package mysql

import "encoding/binary"

// LastPrepared is the statement id by which a MariaDB client names the statement that it prepared last, so that it can
// send COM_STMT_PREPARE and COM_STMT_EXECUTE at once.
const LastPrepared = 0xffffffff

// PrepareOK is the first packet of the reply to COM_STMT_PREPARE.
type PrepareOK struct {
	ID       uint32 // the server's id of the statement, which PutStmtID replaces
	Columns  uint16 // columns of the result, 0 if it has no rows
	Params   uint16 // '?' in the statement
	Warnings uint16
	Bare     bool // no definitions follow (MySQL's ClientOptionalResultsetMetadata)
}

// ParsePrepareOK reads a COM_STMT_PREPARE_OK packet.
func ParsePrepareOK(payload []byte, caps Caps) (PrepareOK, error) {
	if len(payload) < 10 || payload[0] != headOK {
		return PrepareOK{}, malformed("%s is no COM_STMT_PREPARE_OK (0x00, id, columns, parameters)", glimpse(payload))
	}
	p := PrepareOK{
		ID:      binary.LittleEndian.Uint32(payload[1:]),
		Columns: binary.LittleEndian.Uint16(payload[5:]),
		Params:  binary.LittleEndian.Uint16(payload[7:]),
	}
	if len(payload) >= 12 {
		p.Warnings = binary.LittleEndian.Uint16(payload[10:])
	}
	if len(payload) > 12 && caps.Has(ClientOptionalResultsetMetadata) {
		p.Bare = payload[12] == 0
	}
	return p, nil
}

// StmtID returns the statement id in the payload of a COM_STMT_EXECUTE, CLOSE, RESET, FETCH, SEND_LONG_DATA or
// BULK_EXECUTE packet, or of a COM_STMT_PREPARE_OK: in all of them it follows the first byte. ok is false if payload is
// too short.
func StmtID(payload []byte) (id uint32, ok bool) {
	if len(payload) < 5 {
		return 0, false
	}
	return binary.LittleEndian.Uint32(payload[1:]), true
}

// PutStmtID replaces the statement id in a payload for which StmtID is ok.
func PutStmtID(payload []byte, id uint32) { binary.LittleEndian.PutUint32(payload[1:], id) }
