package mysql

import "fmt"

// TrackKind says what of a session a record of a session-state block reports.
type TrackKind byte

// The kinds. The value is text except where stated; a kind that is not listed has all its data as the value.
const (
	TrackSystemVariable     TrackKind = iota // a variable's name and new value
	TrackSchema                              // the new default database
	TrackState                               // "1": something changed that no other record describes
	TrackGTIDs                               // MySQL: the GTIDs of the transactions that committed
	TrackTxnCharacteristics                  // statements that would open the same transaction: "SET TRANSACTION ...;"
	TrackTxnState                            // eight letters or '_': "T_R_W_S_" is open, has read and written tables
)

var trackNames = [...]string{
	"system-variable", "schema", "state", "gtids", "transaction-characteristics", "transaction-state",
}

// String returns a short name: "schema"; "kind-9" for one without.
func (k TrackKind) String() string {
	if int(k) < len(trackNames) {
		return trackNames[k]
	}
	return fmt.Sprintf("kind-%d", byte(k))
}

// TrackReader goes through the records of a session-state block:
//
//	t := mysql.Track(ok.Track)
//	for t.Next() {
//		// t.Kind, t.Name, t.Value
//	}
//	if err := t.Err(); err != nil { ... }
type TrackReader struct {
	Kind  TrackKind
	Name  []byte // of a system variable; part of the block
	Value []byte // part of the block

	vars []byte // name and value pairs of the current record still to come
	rest []byte
	err  error
}

// Track returns a reader of the block that an OK packet carries.
func Track(block []byte) TrackReader { return TrackReader{rest: block} }

// Err returns what ended the iteration early: a wrapped [ErrMalformed], or nil.
func (t *TrackReader) Err() error { return t.err }

// Next steps to the next record, or to the next variable of a record that holds several. It returns false at the end.
func (t *TrackReader) Next() bool {
	if t.err != nil {
		return false
	}
	if len(t.vars) > 0 {
		return t.variable()
	}
	if len(t.rest) == 0 {
		return false
	}
	kind := TrackKind(t.rest[0])
	data, n := LenencString(t.rest[1:])
	if n == 0 {
		return t.fail("record of kind %s does not fit its length", kind)
	}
	t.rest = t.rest[1+n:]
	t.Kind, t.Name = kind, nil
	switch kind {
	case TrackSystemVariable:
		t.vars = data
		return t.variable()
	case TrackSchema, TrackTxnCharacteristics, TrackTxnState:
		return t.text(data)
	case TrackState:
		// The documents promise a string; the servers write the bare letter.
		if t.Value = data; len(data) != 1 {
			return t.text(data)
		}
		return true
	case TrackGTIDs:
		// A byte for the encoding comes first; only 0, text, exists.
		if len(data) == 0 || data[0] != 0 {
			return t.fail("GTIDs in an encoding other than 0")
		}
		return t.text(data[1:])
	}
	t.Value = data
	return true
}

// text takes the one string that data must be.
func (t *TrackReader) text(data []byte) bool {
	s, n := LenencString(data)
	if n == 0 || n != len(data) {
		return t.fail("record of kind %s is not one string", t.Kind)
	}
	t.Value = s
	return true
}

// variable takes a name and a value.
func (t *TrackReader) variable() bool {
	name, n := LenencString(t.vars)
	if n == 0 {
		return t.fail("variable without a name")
	}
	value, m := LenencString(t.vars[n:])
	if m == 0 {
		return t.fail("variable %q without a value", name)
	}
	t.Kind, t.Name, t.Value, t.vars = TrackSystemVariable, name, value, t.vars[n+m:]
	return true
}

func (t *TrackReader) fail(format string, args ...any) bool {
	t.err = malformed("session state: "+format, args...)
	t.vars, t.rest = nil, nil
	return false
}

// AppendTrack appends a record to a session-state block. name counts only for a system variable.
func AppendTrack[T ~string | ~[]byte](dst []byte, kind TrackKind, name, value T) []byte {
	size := lenencSize(len(value))
	switch kind {
	case TrackSystemVariable:
		size += lenencSize(len(name))
	case TrackGTIDs:
		size++
	case TrackSchema, TrackTxnCharacteristics, TrackTxnState:
	default:
		return AppendLenencString(append(dst, byte(kind)), value)
	}
	dst = AppendLenencInt(append(dst, byte(kind)), uint64(size))
	switch kind {
	case TrackSystemVariable:
		dst = AppendLenencString(dst, name)
	case TrackGTIDs:
		dst = append(dst, 0)
	}
	return AppendLenencString(dst, value)
}

// lenencSize returns how many bytes a string of n bytes takes with its length.
func lenencSize(n int) int {
	switch {
	case n < 0xfb:
		return n + 1
	case n < 1<<16:
		return n + 3
	case n < 1<<24:
		return n + 4
	}
	return n + 9
}
