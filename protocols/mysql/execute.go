package mysql

import "encoding/binary"

// Flags of COM_STMT_EXECUTE.
const (
	CursorReadOnly   = 0x01 // rows are left on the server, for COM_STMT_FETCH
	CursorForUpdate  = 0x02
	CursorScrollable = 0x04
	// ParamCountAvailable: the number of values is given and their types have names, as there may be query attributes
	// behind the statement's parameters. It counts only with ClientQueryAttributes.
	ParamCountAvailable = 0x08
)

// Flags of COM_STMT_BULK_EXECUTE.
const (
	BulkAutoIDs   = 64  // the reply has the generated ids
	BulkSendTypes = 128 // the types of the parameters follow
)

// executeHead is the length of a COM_STMT_EXECUTE in front of its parameters: command, id, flags, iterations.
const executeHead = 10

// maxParams bounds the number of values that come with one command; the protocol counts a statement's in two bytes, and
// query attributes come on top.
const maxParams = 1 << 17

// Execute is a view of a COM_STMT_EXECUTE payload. The offsets count from the payload's first byte, the command.
type Execute struct {
	ID         uint32
	Flags      byte
	Iterations uint32 // always 1
	Params     int    // values, query attributes included
	Nulls      int    // offset of the NULL bitmap, which ends at NullsEnd; both 0 without parameters
	NullsEnd   int    // offset of the byte that says if types follow
	NewTypes   bool   // types follow; if not, those of an earlier execution hold
	Types      int    // offset of the types, or of the place where AppendExecuteWithTypes puts them
	TypesEnd   int    // offset behind them; equal to Types without NewTypes
	Values     int    // offset of the values
	Named      bool   // types have names
}

// ParseExecute reads the head of a COM_STMT_EXECUTE up to its values, which are not looked at: payload may end among
// them. nparams is the number of the statement's parameters (PrepareOK.Params).
func ParseExecute(payload []byte, nparams int, caps Caps) (Execute, error) {
	if len(payload) < executeHead || Command(payload[0]) != ComStmtExecute {
		return Execute{}, malformed("%s is no COM_STMT_EXECUTE (0x17, id, flags, iterations)", glimpse(payload))
	}
	e := Execute{
		ID:         binary.LittleEndian.Uint32(payload[1:]),
		Flags:      payload[5],
		Iterations: binary.LittleEndian.Uint32(payload[6:]),
		Params:     nparams,
		Types:      executeHead,
		TypesEnd:   executeHead,
		Values:     executeHead,
	}
	pos := executeHead
	e.Named = caps.Has(ClientQueryAttributes) && e.Flags&ParamCountAvailable != 0
	if e.Named {
		n, size := LenencInt(payload[pos:])
		if size == 0 || n > maxParams || int(n) < nparams {
			return Execute{}, malformed("COM_STMT_EXECUTE: number of values is not between %d and %d", nparams, maxParams)
		}
		e.Params = int(n)
		pos += size
	}
	if e.Params <= 0 {
		e.Params = 0
		e.Types, e.TypesEnd, e.Values = pos, pos, pos
		return e, nil
	}
	e.Nulls, e.NullsEnd = pos, pos+(e.Params+7)/8
	if e.NullsEnd >= len(payload) {
		return Execute{}, malformed("COM_STMT_EXECUTE: ends within the NULL bitmap of %d values", e.Params)
	}
	bind := payload[e.NullsEnd]
	e.Types = e.NullsEnd + 1
	e.TypesEnd = e.Types
	if bind > 1 {
		return Execute{}, malformed("COM_STMT_EXECUTE: byte %#02x before the types, want 0 or 1", bind)
	}
	if e.NewTypes = bind == 1; e.NewTypes {
		size := typesLen(payload[e.Types:], e.Params, e.Named)
		if size < 0 {
			return Execute{}, malformed("COM_STMT_EXECUTE: ends within the types of %d values", e.Params)
		}
		e.TypesEnd += size
	}
	e.Values = e.TypesEnd
	return e, nil
}

// typesLen returns the length of n types at the front of b, -1 if b ends within them.
func typesLen(b []byte, n int, named bool) int {
	if !named {
		if len(b) < 2*n {
			return -1
		}
		return 2 * n
	}
	pos := 0
	for range n {
		if len(b)-pos < 2 {
			return -1
		}
		_, size := LenencString(b[pos+2:])
		if size == 0 {
			return -1
		}
		pos += 2 + size
	}
	return pos
}

// AppendExecuteWithTypes appends a COM_STMT_EXECUTE payload in which the types follow, made from one in which they do
// not: typesOff is its Execute.Types, types are the bytes that an earlier execution had between Types and TypesEnd. A
// server that did not see that execution needs them. The payload may end among its values; the rest follows as it is.
func AppendExecuteWithTypes(dst, payload []byte, typesOff int, types []byte) []byte {
	dst = append(dst, payload[:typesOff-1]...)
	dst = append(dst, 1)
	dst = append(dst, types...)
	return append(dst, payload[typesOff:]...)
}

// BulkExecute is a view of the head of a COM_STMT_BULK_EXECUTE payload (MariaDB).
type BulkExecute struct {
	ID       uint32
	Flags    uint16
	Types    int // offset of the types, or of the place where AppendBulkWithTypes puts them
	TypesEnd int // offset behind them, and of the rows; equal to Types without BulkSendTypes
}

// bulkHead is the length of a COM_STMT_BULK_EXECUTE in front of its types: command, id, flags.
const bulkHead = 7

// ParseBulkExecute reads the head of a COM_STMT_BULK_EXECUTE. nparams is the number of the statement's parameters.
func ParseBulkExecute(payload []byte, nparams int) (BulkExecute, error) {
	if len(payload) < bulkHead || Command(payload[0]) != ComStmtBulkExecute {
		return BulkExecute{}, malformed("%s is no COM_STMT_BULK_EXECUTE (0xfa, id, flags)", glimpse(payload))
	}
	e := BulkExecute{
		ID:       binary.LittleEndian.Uint32(payload[1:]),
		Flags:    binary.LittleEndian.Uint16(payload[5:]),
		Types:    bulkHead,
		TypesEnd: bulkHead,
	}
	if e.Flags&BulkSendTypes != 0 {
		if e.TypesEnd += 2 * nparams; e.TypesEnd > len(payload) || nparams < 0 {
			return BulkExecute{}, malformed("COM_STMT_BULK_EXECUTE: ends within the types of %d parameters", nparams)
		}
	}
	return e, nil
}

// AppendBulkWithTypes appends a COM_STMT_BULK_EXECUTE payload in which the types follow, made from one in which they do
// not; types are the bytes that an earlier execution had between Types and TypesEnd.
func AppendBulkWithTypes(dst, payload, types []byte) []byte {
	at := len(dst)
	dst = append(dst, payload[:bulkHead]...)
	dst[at+5] |= BulkSendTypes
	dst = append(dst, types...)
	return append(dst, payload[bulkHead:]...)
}
