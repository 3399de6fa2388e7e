package mysql

import (
	"encoding/binary"
	"fmt"
)

// Step says what the bytes are that [Reply.Next] was given.
type Step uint8

const (
	// NeedMore: fewer bytes are there than are needed to decide; n says how many are needed in all.
	NeedMore Step = iota
	// Forward: b[:n] may be passed on as it is: whole packets, or a part of a large one.
	Forward
	// Terminal: b[:n] is one whole OK, EOF or ERR packet that ends a result. More tells if another follows.
	Terminal
	// Middle: b[:n] is one whole EOF packet behind definitions; it carries a status.
	Middle
	// Infile: b[:n] is a whole LOCAL INFILE request. The client now sends packets up to and with an empty one, then
	// InfileDone is called and the reply goes on. In between, MariaDB may send progress reports, and any server an ERR.
	Infile
	// Auth: b[:n] is a whole AuthSwitch or AuthMoreData packet, or a plugin's own; the client may have to answer.
	Auth
	// Progress: b[:n] is a whole progress report of MariaDB, which ends nothing. A client that checks sequence ids
	// notices if it is dropped.
	Progress
	// Prepared: b[:n] is the whole COM_STMT_PREPARE_OK; the definitions follow.
	Prepared
)

var stepNames = [...]string{"need-more", "forward", "terminal", "middle", "infile", "auth", "progress", "prepared"}

// String returns the step's name in small letters.
func (s Step) String() string {
	if int(s) < len(stepNames) {
		return stepNames[s]
	}
	return fmt.Sprintf("step-%d", uint8(s))
}

// maxColumns bounds the number of columns of a result; servers allow 4,096.
const maxColumns = 1<<16 - 1

// Reply follows the reply to one command, without looking into definitions and rows:
//
//	r.Start(cmd, caps)
//	for !r.Done() {
//		n, step, err := r.Next(buf)
//		// NeedMore: read until buf has n bytes. Else deal with buf[:n] as step says, then drop it from buf.
//	}
//
// Which bytes are passed on and which packets are shown does not depend on how the network split them. A Reply has no
// memory of its own but its few words, however long the reply is. The zero value is Done.
type Reply struct {
	err    error
	caps   Caps
	left   int // bytes of the current frame still to be passed on
	defs   int // definitions of the current list still to come
	cols   int // COM_STMT_PREPARE: definitions in the list behind the current one
	status Status
	cmd    Command
	phase  phase
	seq    byte // sequence id of the next frame
	slack  slack
	cont   bool // the current frame is full: the packet goes on in the next
	bare   bool // definitions are left out, though not the EOF behind them
	more   bool
}

type phase uint8

const (
	phaseDone    phase = iota
	phaseFailed        // err is set
	phaseFirst         // first packet of a result: OK, ERR, LOCAL INFILE or a column count
	phaseDefs          // in a list of definitions
	phaseDefsEOF       // at the EOF behind it
	phaseRows          // rows, or the end; also COM_FIELD_LIST's definitions
	phasePrepare       // COM_STMT_PREPARE's first packet
	phaseSimple        // OK or ERR, EOF for some commands
	phaseText          // COM_STATISTICS
	phaseAuth          // COM_CHANGE_USER
	phaseInfile        // the client's turn
	phaseEndless       // no end that could be told
)

// slack says how exactly the sequence id of the next frame is known.
type slack uint8

const (
	seqExact  slack = iota
	seqAnswer       // the client may have sent one packet in between
	seqOnce         // it has sent some: the next id is taken as it comes
	seqFree         // ids are not checked
)

// Start begins a new reply. caps are the capabilities agreed on with the server. Sequence ids are checked, from 1,
// which is right for a command that was one frame (see SetSeq); with ClientCompress or ClientZstd they are not, as
// servers number the packets inside compressed frames differently.
func (r *Reply) Start(cmd Command, caps Caps) {
	*r = Reply{cmd: cmd, caps: caps, seq: 1}
	if caps&(ClientCompress|ClientZstd) != 0 {
		r.slack = seqFree
	}
	switch cmd {
	case ComQuery, ComStmtExecute, ComStmtBulkExecute, ComProcessInfo:
		r.phase = phaseFirst
	case ComFieldList, ComStmtFetch:
		r.phase = phaseRows
	case ComStmtPrepare:
		r.phase = phasePrepare
	case ComStatistics:
		r.phase = phaseText
	case ComChangeUser:
		r.phase = phaseAuth
	default:
		r.phase = phaseSimple
		if cmd.NoReply() {
			r.phase = phaseDone
		} else if cmd.Endless() {
			r.phase = phaseEndless
		}
	}
}

// SetSeq sets the sequence id that the reply begins with: the number of frames that the command took, modulo 256.
func (r *Reply) SetSeq(first byte) { r.seq = first }

// SkipSeq turns the check of sequence ids off until Start.
func (r *Reply) SkipSeq() { r.slack = seqFree }

// Done tells whether the reply is complete. Next must not be called then.
func (r *Reply) Done() bool { return r.phase == phaseDone }

// More tells, after Terminal, whether another result follows in this reply.
func (r *Reply) More() bool { return r.more }

// Status returns the status flags of the last OK or EOF packet that was shown.
func (r *Reply) Status() Status { return r.status }

// InfileDone says that the client's packets behind a LOCAL INFILE request were passed on, the empty one included.
func (r *Reply) InfileDone() {
	if r.phase == phaseInfile {
		r.phase = phaseSimple
	}
}

// Next looks at b, which begins where the last step ended, and says what its next n bytes are. With NeedMore n is
// greater than len(b) and at most [MaxReplyPacket] or, for an OK packet with ClientSessionTrack, [MaxOKPacket], and a
// header. An error, which wraps [ErrMalformed], is final: the connection to the server must be closed. What was passed
// on before stays what it was.
func (r *Reply) Next(b []byte) (n int, step Step, err error) {
	switch r.phase {
	case phaseDone:
		return 0, 0, malformed("bytes behind the reply to %s", r.cmd)
	case phaseFailed:
		return 0, 0, r.err
	case phaseEndless:
		if len(b) == 0 {
			return 1, NeedMore, nil
		}
		return len(b), Forward, nil
	}
	for {
		if r.left > 0 {
			k := min(r.left, len(b)-n)
			r.left -= k
			n += k
			if r.left > 0 {
				return r.pause(n, 1)
			}
			r.frameEnd()
		}
		if r.phase == phaseRows && !r.cont {
			if n = r.rows(b, n); r.left > 0 {
				return n, Forward, nil
			}
		}
		if r.phase == phaseDone {
			return n, Forward, nil
		}
		size, step, err := r.look(b[n:])
		switch {
		case err == nil && step == NeedMore:
			return r.pause(n, size)
		case step == Forward && err == nil:
			n += r.frame(b[n:], size)
			continue
		case n > 0:
			// What comes next is looked at again when these bytes are gone.
			return n, Forward, nil
		case err == nil:
			err = r.take(b[:size], step)
		}
		if err != nil {
			r.phase, r.err = phaseFailed, err
			return 0, 0, err
		}
		return size, step, nil
	}
}

// pause ends a call that needs bytes: the n that are settled are passed on first.
func (r *Reply) pause(n, need int) (int, Step, error) {
	if n > 0 {
		return n, Forward, nil
	}
	return need, NeedMore, nil
}

// rows passes over the rows that begin at b[pos], as long as nothing about them is unusual, and returns where it
// stopped. This is where the bytes of a large result are spent: one look at the header and one at the first byte of
// each row.
func (r *Reply) rows(b []byte, pos int) int {
	seq := r.seq
	for len(b)-pos > HeaderLen {
		h := binary.LittleEndian.Uint32(b[pos:])
		size := int(h & MaxPayload)
		if b[pos+HeaderLen] >= headEOF || size == 0 || size == MaxPayload || byte(h>>24) != seq {
			break
		}
		seq++
		if pos += HeaderLen + size; pos > len(b) {
			r.left = pos - len(b)
			pos = len(b)
			break
		}
	}
	r.seq = seq
	return pos
}

// look says what the packet at the front of b is, and changes nothing. size is the number of bytes needed with
// NeedMore, the payload's length with Forward, the packet's length otherwise.
func (r *Reply) look(b []byte) (size int, step Step, err error) {
	if len(b) < HeaderLen {
		return HeaderLen, NeedMore, nil
	}
	length, seq := Header(b)
	if !r.inOrder(seq) {
		return 0, 0, malformed("reply to %s: sequence id %d instead of %d", r.cmd, seq, r.seq)
	}
	if r.cont {
		return length, Forward, nil
	}
	if length == 0 {
		if r.phase == phaseAuth {
			return HeaderLen, Auth, nil
		}
		return 0, 0, malformed("reply to %s: empty packet", r.cmd)
	}
	if len(b) == HeaderLen {
		return HeaderLen + 1, NeedMore, nil
	}
	c := b[HeaderLen]
	if c == headERR {
		return r.whole(b, length, MaxReplyPacket, Terminal)
	}
	switch r.phase {
	case phaseFirst:
		return r.first(b, length, c)
	case phaseRows:
		if c != headEOF || length == MaxPayload {
			return length, Forward, nil
		}
		return r.end(b, length)
	case phaseDefs:
		if c < headInfile && length < MaxPayload {
			return length, Forward, nil
		}
	case phaseDefsEOF:
		if c == headEOF && length < classicEOF {
			return r.defsEnd(b, length)
		}
	case phasePrepare:
		if c == headOK {
			return r.whole(b, length, MaxReplyPacket, Prepared)
		}
	case phaseSimple:
		if c == headOK || c == headEOF && r.endsWithEOF() {
			return r.whole(b, length, r.maxOK(), Terminal)
		}
	case phaseText:
		if length < MaxPayload {
			return length, Forward, nil
		}
	case phaseAuth:
		if c == headOK {
			return r.whole(b, length, r.maxOK(), Terminal)
		}
		return r.whole(b, length, MaxReplyPacket, Auth)
	}
	return 0, 0, malformed("reply to %s: packet of %d bytes beginning with %#02x is neither %s nor an ERR",
		r.cmd, length, c, r.phase)
}

// first looks at the first packet of a result.
func (r *Reply) first(b []byte, length int, c byte) (int, Step, error) {
	switch c {
	case headOK:
		return r.whole(b, length, r.maxOK(), Terminal)
	case headInfile:
		if !r.caps.Has(ClientLocalFiles) {
			return 0, 0, malformed("reply to %s: the server asks for a file, the client has not offered LOCAL_FILES", r.cmd)
		}
		return r.whole(b, length, MaxReplyPacket, Infile)
	}
	size, step, err := r.whole(b, length, 10, Forward)
	if err != nil || step == NeedMore {
		return size, step, err
	}
	if _, _, err := r.columnCount(b[HeaderLen:size]); err != nil {
		return 0, 0, err
	}
	return length, Forward, nil
}

// columnCount reads the first packet of a result that has rows; bare says that its definitions are left out.
func (r *Reply) columnCount(payload []byte) (count int, bare bool, err error) {
	v, n := LenencInt(payload)
	if n == 0 || v == 0 || v > maxColumns {
		return 0, false, malformed("reply to %s: %s is no column count (1 to %d)", r.cmd, glimpse(payload), maxColumns)
	}
	if r.optionalDefs() {
		if len(payload) != n+1 || payload[n] > 1 {
			return 0, false, malformed("reply to %s: %s is no column count with a byte that says if definitions follow",
				r.cmd, glimpse(payload))
		}
		return int(v), payload[n] == 0, nil
	}
	if len(payload) != n {
		return 0, false, malformed("reply to %s: column count with %d bytes behind it", r.cmd, len(payload)-n)
	}
	return int(v), false, nil
}

// end looks at a packet among rows that begins with 0xfe and is too short to be a row of 16 MiB.
func (r *Reply) end(b []byte, length int) (int, Step, error) {
	if r.classic() && length >= classicEOF {
		return 0, 0, malformed("reply to %s: packet of %d bytes beginning with 0xfe is neither a row nor an EOF", r.cmd, length)
	}
	return r.whole(b, length, r.maxOK(), Terminal)
}

// defsEnd looks at the EOF behind definitions. Where it tells of a cursor no rows follow: COM_STMT_FETCH asks for them.
func (r *Reply) defsEnd(b []byte, length int) (int, Step, error) {
	size, step, err := r.whole(b, length, classicEOF, Middle)
	if step == Middle && r.cmd == ComStmtExecute {
		if e, err := ParseEOF(b[HeaderLen:size], r.caps); err == nil && e.Status.Has(StatusCursorExists) {
			step = Terminal
		}
	}
	return size, step, err
}

// whole asks for all of a packet.
func (r *Reply) whole(b []byte, length, most int, step Step) (int, Step, error) {
	if length > most {
		return 0, 0, malformed("reply to %s: %s packet of %d bytes, at most %d are taken", r.cmd, step, length, most)
	}
	if len(b) < HeaderLen+length {
		return HeaderLen + length, NeedMore, nil
	}
	if step == Terminal && b[HeaderLen] == headERR && isProgress(b[HeaderLen:HeaderLen+length], r.caps) {
		step = Progress
	}
	return HeaderLen + length, step, nil
}

// take moves on behind the packet that is shown to the caller.
func (r *Reply) take(packet []byte, step Step) error {
	payload := packet[HeaderLen:]
	_, seq := Header(packet)
	r.passed(seq)
	switch step {
	case Terminal:
		return r.terminal(payload)
	case Middle:
		e, err := ParseEOF(payload, r.caps)
		if err != nil {
			return err
		}
		r.status = e.Status
		r.listEnd()
	case Infile, Progress:
		if step == Infile {
			r.phase = phaseInfile
		}
		if r.phase == phaseInfile && r.slack != seqFree {
			r.slack = seqOnce
		}
	case Auth:
		if r.slack != seqFree {
			r.slack = seqAnswer
		}
	case Prepared:
		p, err := ParsePrepareOK(payload, r.caps)
		if err != nil {
			return err
		}
		r.bare = p.Bare
		r.cols = int(p.Columns)
		if p.Params > 0 {
			r.list(int(p.Params))
		} else {
			r.listEnd()
		}
	}
	return nil
}

// terminal ends a result.
func (r *Reply) terminal(payload []byte) error {
	r.more = false
	if payload[0] == headERR {
		if _, err := ParseERR(payload, r.caps); err != nil {
			return err
		}
		r.phase = phaseDone
		return nil
	}
	ok, err := ParseOK(payload, r.caps)
	if err != nil {
		return err
	}
	r.status = ok.Status
	r.phase = phaseDone
	if r.manyResults() && ok.Status.Has(StatusMoreResults) {
		r.phase, r.more = phaseFirst, true
	}
	return nil
}
