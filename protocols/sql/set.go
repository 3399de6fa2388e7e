package sql

import "bytes"

// target says where in SET's list of assignments the next token stands.
type target uint8

const (
	targetNone  target = iota
	targetSet          // at SET
	targetStart        // behind SET or a comma
	targetScope        // behind GLOBAL, SESSION, LOCAL, PERSIST
	targetName         // behind the variable's name or a part of it
	targetValue        // behind that
	targetStmt         // behind STATEMENT, which may also be a name
)

// set takes a token of SET, SET itself too.
func (f *facts) set(t *token) {
	if t.kind == tComma && f.depth == 0 {
		f.target = targetStart
		return
	}
	if t.kind == tExecOpen || t.kind == tExecClose {
		return
	}
	switch f.target {
	case targetSet:
		f.target = targetStart
	case targetStart:
		f.setStart(t)
	case targetScope:
		f.target = targetName
		switch t.kw {
		case kwTransaction:
			f.kind = Txn
		case kwAuthorization:
			f.flags |= SetRole
		}
		f.assigned(t)
	case targetName:
		if f.prev.kind == tDot && (t.kind == tWord || t.kind == tQuoted) {
			f.assigned(t)
		} else if t.kind != tDot {
			f.target = targetValue
		}
	case targetStmt:
		f.target = targetValue
		if t.kind == tWord || t.kind == tQuoted || t.kind == tSysVar {
			f.seek, f.target = seekFor, targetName
			f.assigned(t)
		}
	}
}

// setStart takes the first token of an assignment.
func (f *facts) setStart(t *token) {
	f.target = targetName
	switch t.kw {
	case kwGlobal, kwPersist, kwPersistOnly:
		f.target = targetScope
		f.flags |= SetGlobal
	case kwSession, kwLocal:
		f.target = targetScope
	case kwTransaction:
		f.kind, f.flags = Txn, f.flags|NextTxn
	case kwPassword:
		f.kind, f.flags = Admin, f.flags|Secret
	case kwRole:
		f.flags |= SetRole
	case kwDefault:
		f.kind = Admin // SET DEFAULT ROLE
	case kwStatement:
		f.target = targetStmt
	}
	switch t.kind {
	case tUserVar:
		f.flags |= AssignsVar
	case tWord, tQuoted:
		f.assigned(t)
	case tSysVar:
		switch words.find(f.text, t.from, t.to-t.from).kw {
		case kwGlobal, kwPersist, kwPersistOnly:
			f.flags |= SetGlobal
		}
		f.assigned(t)
	}
}

// tracker begins the names of the variables that say what the server reports about a session.
var tracker = []byte("session_track_")

// assigned takes the name, or a part of it, of a variable that gets a value.
func (f *facts) assigned(t *token) {
	if t.kind != tWord && t.kind != tQuoted && t.kind != tSysVar {
		return
	}
	switch words.find(f.text, t.from, t.to-t.from).kw {
	case kwAutocommit:
		f.flags |= SetAutocommit
	case kwInsertID, kwLastInsertID, kwIdentity:
		f.flags |= SetsInsertID
	case kwLogBin, kwThreadID:
		f.flags |= SetLogBin
	}
	if name := f.text[t.from:t.to]; len(name) > len(tracker) && bytes.EqualFold(name[:len(tracker)], tracker) {
		f.flags |= SetTracker
	}
}
