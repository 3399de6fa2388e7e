package mysql

// This file moves a Reply from packet to packet; reply.go says what the packets are.

// phaseWants names what each phase takes, for errors.
var phaseWants = [...]string{
	phaseFirst:   "an OK, a LOCAL INFILE request, a column count",
	phaseDefs:    "a definition",
	phaseDefsEOF: "the EOF behind definitions",
	phaseRows:    "a row, the end of the rows",
	phasePrepare: "a COM_STMT_PREPARE_OK",
	phaseSimple:  "an OK",
	phaseText:    "a text",
	phaseInfile:  "(as it is the client's turn) anything else",
}

// String says what the phase takes.
func (p phase) String() string {
	if int(p) < len(phaseWants) {
		return phaseWants[p]
	}
	return "anything"
}

// inOrder tells whether seq is a sequence id that the next frame may have.
func (r *Reply) inOrder(seq byte) bool {
	switch r.slack {
	case seqExact:
		return seq == r.seq
	case seqAnswer:
		return seq == r.seq || seq == r.seq+1
	}
	return true
}

// passed notes the sequence id of a frame.
func (r *Reply) passed(seq byte) {
	r.seq = seq + 1
	if r.slack != seqFree {
		r.slack = seqExact
	}
}

// frame passes on the header at the front of b, of a frame with length bytes of payload, and a column count with it. It
// returns how many bytes that is.
func (r *Reply) frame(b []byte, length int) int {
	_, seq := Header(b)
	r.passed(seq)
	if r.phase == phaseFirst {
		count, bare, _ := r.columnCount(b[HeaderLen : HeaderLen+length])
		r.bare = bare
		r.list(count)
		return HeaderLen + length
	}
	r.cont = length == MaxPayload
	if r.left = length; length == 0 {
		r.frameEnd()
	}
	return HeaderLen
}

// frameEnd is where the last byte of a frame has been passed on.
func (r *Reply) frameEnd() {
	if r.cont {
		return
	}
	switch r.phase {
	case phaseDefs:
		r.defs--
		r.inList()
	case phaseText:
		r.phase = phaseDone
	}
}

// list begins a list of n definitions.
func (r *Reply) list(n int) {
	if r.defs = n; r.bare {
		r.defs = 0
	}
	r.inList()
}

// inList is between two definitions of a list, or at its end.
func (r *Reply) inList() {
	switch {
	case r.defs > 0:
		r.phase = phaseDefs
	case r.classic():
		r.phase = phaseDefsEOF
	default:
		r.listEnd()
	}
}

// listEnd is behind a list and the EOF that may follow it: there come rows, another list, or nothing.
func (r *Reply) listEnd() {
	if r.cmd != ComStmtPrepare {
		r.phase = phaseRows
		return
	}
	if n := r.cols; n > 0 {
		r.cols = 0
		r.list(n)
		return
	}
	r.phase = phaseDone
}

// classic tells whether EOF packets stand behind definitions and rows.
func (r *Reply) classic() bool { return !r.caps.Has(ClientDeprecateEOF) }

// optionalDefs tells whether a byte behind the column count says if definitions follow.
func (r *Reply) optionalDefs() bool {
	return r.caps&(MariaDBCacheMetadata|ClientOptionalResultsetMetadata) != 0
}

// manyResults tells whether the reply to the command may hold several results.
func (r *Reply) manyResults() bool {
	return r.cmd == ComQuery || r.cmd == ComStmtExecute || r.cmd == ComStmtBulkExecute || r.cmd == ComProcessInfo
}

// endsWithEOF tells whether the command's success may be told by an EOF packet, or by an OK that begins like one.
func (r *Reply) endsWithEOF() bool {
	switch r.cmd {
	case ComInitDB, ComCreateDB, ComDropDB, ComRefresh, ComPing, ComProcessKill, ComStmtReset, ComResetConnection,
		ComRegisterSlave:
		return false
	}
	// COM_SET_OPTION, COM_DEBUG and COM_SHUTDOWN do so; of the rest nothing is known. LOCAL INFILE never does.
	return !r.manyResults()
}

// maxOK is the largest payload of an OK packet.
func (r *Reply) maxOK() int {
	if r.caps.Has(ClientSessionTrack) {
		return MaxOKPacket
	}
	return MaxReplyPacket
}
