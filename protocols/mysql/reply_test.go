package mysql

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
)

// pk is one frame.
func pk(seq byte, payload string) string {
	return string(append(AppendHeader(nil, len(payload), seq), payload...))
}

// Packets of the tests, by their payloads. status is the low byte of the status flags.
const (
	okPacket  = "\x00\x01\x02\x02\x00\x00\x00"
	okMore    = "\x00\x01\x02\x0a\x00\x00\x00"
	okEnd     = "\xfe\x00\x00\x02\x00\x00\x00"
	okEndMore = "\xfe\x00\x00\x0a\x00\x00\x00"
	okCursor  = "\xfe\x00\x00\x42\x00\x00\x00"
	eof       = "\xfe\x00\x00\x02\x00"
	eofMore   = "\xfe\x00\x00\x0a\x00"
	eofCursor = "\xfe\x00\x00\x42\x00"
	errPacket = "\xff\x28\x04#42000no"
	progress  = "\xff\xff\xff\x01\x01\x02\x10\x00\x00\x04copy"
	column    = "\x03def\x00\x00\x00\x01a\x00\x0c\x3f\x00\x01\x00\x00\x00\x08\x81\x00\x00\x00\x00"
	prepareOK = "\x00\x07\x00\x00\x00\x01\x00\x02\x00\x00\x00\x00" // statement 7, 1 column, 2 parameters
)

// frames numbers payloads from 1 on.
func frames(payloads ...string) string {
	var sb strings.Builder
	for i, p := range payloads {
		sb.WriteString(pk(byte(i+1), p))
	}
	return sb.String()
}

const classicCaps = ClientProtocol41 | ClientTransactions | ClientMultiResults | ClientPSMultiResults

// TestReply has a case for each way in which a reply may go.
func TestReply(t *testing.T) {
	const (
		old   = classicCaps
		dep   = classicCaps | ClientDeprecateEOF
		local = dep | ClientLocalFiles
		cache = MariaDBCacheMetadata
		opt   = ClientOptionalResultsetMetadata
	)
	for _, c := range []struct {
		name string
		cmd  Command
		caps Caps
		in   string
		want string
	}{
		{"ok", ComQuery, dep, frames(okPacket), "terminal 11"},
		{"ok with more", ComQuery, dep, frames(okMore, okPacket), "terminal 11 more, terminal 11"},
		{"err", ComQuery, dep, frames(errPacket), "terminal 15"},
		{"err without sqlstate", ComQuery, dep, frames("\xff\x28\x04no"), "terminal 9"},
		{"more, then err", ComQuery, dep, frames(okMore, errPacket), "terminal 11 more, terminal 15"},
		{"rows", ComQuery, dep, frames("\x01", column, "\x011", "\xfb", "\x00", okEnd), "forward 48, terminal 11"},
		{"rows, classic", ComQuery, old, frames("\x01", column, eof, "\x011", "\xfb", "\x00", eof), "forward 32, middle 9, forward 16, terminal 9"},
		{"no rows", ComQuery, dep, frames("\x02", column, column, okEnd), "forward 59, terminal 11"},
		{"results", ComQuery, old, frames("\x01", column, eof, eofMore, "\x01", column, eof, eof), "forward 32, middle 9, terminal 9 more, forward 32, middle 9, terminal 9"},
		{"results of EXECUTE, an OK last", ComStmtExecute, dep, frames("\x01", column, okEndMore, okPacket), "forward 32, terminal 11 more, terminal 11"},
		{"EOF where an OK is due", ComQuery, dep, frames("\x01", column, eof), "forward 32, terminal 9"},
		{"err in definitions", ComQuery, old, frames("\x02", column, errPacket), "forward 32, terminal 15"},
		{"err behind definitions", ComQuery, old, frames("\x01", column, errPacket), "forward 32, terminal 15"},
		{"err in rows", ComQuery, dep, frames("\x01", column, "\x011", errPacket), "forward 38, terminal 15"},
		{"251 columns", ComQuery, dep, frames(append(append([]string{"\xfc\xfb\x00"}, slicesOf(column, 251)...), okEnd)...), "forward 6784, terminal 11"},
		{"cursor", ComStmtExecute, old, frames("\x01", column, eofCursor), "forward 32, terminal 9"},
		{"cursor, OK", ComStmtExecute, dep, frames("\x01", column, okCursor), "forward 32, terminal 11"},
		{"cursor status in a query", ComQuery, old, frames("\x01", column, eofCursor, eof), "forward 32, middle 9, terminal 9"},
		{"fetch", ComStmtFetch, old, frames("\x00\x00\x01", "\x00\x00\x02", eof), "forward 14, terminal 9"},
		{"fetch, more is no more", ComStmtFetch, dep, frames("\x00\x00\x01", okEndMore), "forward 7, terminal 11"},
		{"fetch fails", ComStmtFetch, old, frames(errPacket), "terminal 15"},
		{"prepare", ComStmtPrepare, old, frames(prepareOK, column, column, eof, column, eof), "prepared 16, forward 54, middle 9, forward 27, middle 9"},
		{"prepare, no EOF", ComStmtPrepare, dep, frames(prepareOK, column, column, column), "prepared 16, forward 81"},
		{"prepare, nothing", ComStmtPrepare, old, frames("\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), "prepared 16"},
		{"prepare, columns only", ComStmtPrepare, old, frames("\x00\x07\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00", column, eof), "prepared 16, forward 27, middle 9"},
		{"prepare, definitions left out", ComStmtPrepare, old | opt, frames(prepareOK+"\x00", eof, eof), "prepared 17, middle 9, middle 9"},
		{"prepare, definitions left out, no EOF", ComStmtPrepare, dep | opt, frames(prepareOK + "\x00"), "prepared 17"},
		{"prepare fails", ComStmtPrepare, old, frames(errPacket), "terminal 15"},
		{"prepare fails late", ComStmtPrepare, dep, frames(prepareOK, column, errPacket), "prepared 16, forward 27, terminal 15"},
		{"cached definitions", ComStmtExecute, dep | cache, frames("\x01\x00", "\x00\x00\x01", okEnd), "forward 13, terminal 11"},
		{"cached definitions, classic", ComStmtExecute, old | cache, frames("\x01\x00", eof, "\x00\x00\x01", eof), "forward 6, middle 9, forward 7, terminal 9"},
		{"definitions not cached", ComStmtExecute, dep | cache, frames("\x01\x01", column, okEnd), "forward 33, terminal 11"},
		{"cached, then not", ComStmtExecute, dep | cache, frames("\x01\x00", okEndMore, "\x01\x01", column, okEnd), "forward 6, terminal 11 more, forward 33, terminal 11"},
		{"metadata NONE", ComQuery, dep | opt, frames("\x01\x00", "\x011", okEnd), "forward 12, terminal 11"},
		{"infile", ComQuery, local, pk(1, "\xfbfile") + pk(4, okPacket), "infile 9, terminal 11"},
		{"infile, err", ComQuery, local, pk(1, "\xfbfile") + pk(200, errPacket), "infile 9, terminal 15"},
		{"infile, more", ComQuery, local, pk(1, "\xfbfile") + pk(4, okMore) + pk(5, okPacket), "infile 9, terminal 11 more, terminal 11"},
		{"progress", ComQuery, dep | MariaDBProgress, frames(progress, progress, okPacket), "progress 18, progress 18, terminal 11"},
		{"progress without the capability", ComQuery, dep, frames(progress), "terminal 18"},
		{"statistics", ComStatistics, dep, frames("Uptime: 1"), "forward 13"},
		{"statistics like an EOF", ComStatistics, dep, frames("\xfe"), "forward 5"},
		{"set option", ComSetOption, old, frames(eof), "terminal 9"},
		{"set option, OK", ComSetOption, dep, frames(okEnd), "terminal 11"},
		{"set option, EOF even so", ComSetOption, dep, frames(eof), "terminal 9"},
		{"field list", ComFieldList, old, frames(column, column, eof), "forward 54, terminal 9"},
		{"field list, no EOF", ComFieldList, dep, frames(column, okEnd), "forward 27, terminal 11"},
		{"ping", ComPing, dep, frames(okMore), "terminal 11"},
		{"processes", ComProcessInfo, dep, frames("\x01", column, okEnd), "forward 32, terminal 11"},
		{"change user", ComChangeUser, dep, frames(okPacket), "terminal 11"},
		{"change user, switch", ComChangeUser, dep, pk(1, "\xfecaching_sha2_password\x00salt\x00") + pk(3, "\x01\x03") + pk(4, okPacket), "auth 32, auth 6, terminal 11"},
		{"change user, full", ComChangeUser, dep, pk(1, "\xfeplug\x00s") + pk(3, "\x01\x04") + pk(5, okPacket), "auth 11, auth 6, terminal 11"},
		{"change user, plugin data", ComChangeUser, dep, pk(1, "\x02Password:") + pk(3, "") + pk(5, errPacket), "auth 14, auth 4, terminal 15"},
		{"close", ComStmtClose, dep, "", ""},
		{"long data", ComStmtSendLongData, dep, "", ""},
		{"quit", ComQuit, dep, "", ""},
		{"bulk, unit results", ComStmtBulkExecute, dep | cache, frames("\x02\x01", column, column, "\x00\x00\x01", okEnd), "forward 67, terminal 11"},
		{"incomplete", ComQuery, dep, frames("\x01", column, "\x011", okEnd)[:45], "forward 38, incomplete"},
		{"incomplete row", ComQuery, dep, frames("\x01", column, "\x011")[:37], "forward 37, incomplete"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r Reply
			r.Start(c.cmd, c.caps)
			if err := followAll(t, r, []byte(c.in), c.want); err != nil {
				t.Error(err)
			}
		})
	}
}

func slicesOf(s string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = s
	}
	return all
}

// TestReplyRefused: bytes that no server sends, or that could not be followed with certainty.
func TestReplyRefused(t *testing.T) {
	const (
		old = classicCaps
		dep = classicCaps | ClientDeprecateEOF
	)
	big := string(AppendHeader(nil, MaxReplyPacket+1, 1))
	huge := string(AppendHeader(nil, MaxOKPacket+1, 1))
	for _, c := range []struct {
		name  string
		cmd   Command
		caps  Caps
		in    string
		want  string // steps
		error string // part of the error
	}{
		{"sequence at the start", ComQuery, dep, pk(0, okPacket), "error", "sequence id 0 instead of 1"},
		{"sequence in rows", ComQuery, dep, frames("\x01", column) + pk(3, "\x011") + pk(5, "\x011"), "forward 38, error", "sequence id 5 instead of 4"},
		{"sequence at the end", ComQuery, dep, frames("\x01", column) + pk(4, okEnd), "forward 32, error", "sequence id 4 instead of 3"},
		{"empty packet first", ComQuery, dep, pk(1, ""), "error", "empty packet"},
		{"empty packet among rows", ComQuery, dep, frames("\x01", column, ""), "forward 32, error", "empty packet"},
		{"0xfe first", ComQuery, dep, frames(eof), "error", "no column count"},
		{"no columns", ComQuery, dep, frames("\xfc\x00\x00"), "error", "no column count"},
		{"too many columns", ComQuery, dep, frames("\xfd\x00\x00\x01"), "error", "1 to 65535"},
		{"long column count", ComQuery, dep, frames("\x0112345678901"), "error", "at most 10"},
		{"column count and more", ComQuery, dep, frames("\x01\x01"), "error", "1 bytes behind it"},
		{"column count without its byte", ComQuery, dep | MariaDBCacheMetadata, frames("\x01"), "error", "if definitions follow"},
		{"column count with another byte", ComQuery, dep | MariaDBCacheMetadata, frames("\x01\x02"), "error", "if definitions follow"},
		{"EOF in definitions", ComQuery, old, frames("\x02", column, eof), "forward 32, error", "neither a definition"},
		{"row in place of EOF", ComQuery, old, frames("\x01", column, "\x011"), "forward 32, error", "neither the EOF behind definitions"},
		{"0xfe among rows, no EOF", ComQuery, old, frames("\x01", column, eof, "\xfe12345678"), "forward 32, middle 9, error", "neither a row nor an EOF"},
		{"short OK", ComQuery, dep, frames("\x00\x00\x00\x02"), "error", "ends within status"},
		{"short EOF", ComQuery, old, frames("\x01", column, "\xfe\x00"), "forward 32, error", "ends within warnings"},
		{"short ERR", ComQuery, dep, frames("\xff\x00"), "error", "no ERR packet"},
		{"infile not offered", ComQuery, dep, frames("\xfb/etc/passwd"), "error", "LOCAL_FILES"},
		{"infile, OK early", ComQuery, dep | ClientLocalFiles, frames("\xfbf", "\x01x"), "infile 6, error", "neither an OK"},
		{"large ERR", ComQuery, dep, big + "\xff", "error", "at most 65536"},
		{"large OK", ComQuery, dep, big + "\x00", "error", "at most 65536"},
		{"large OK with session state", ComQuery, dep | ClientSessionTrack, huge + "\x00", "error", "at most 1048576"},
		{"large request for a file", ComQuery, dep | ClientLocalFiles, big + "\xfb", "error", "at most 65536"},
		{"short prepare OK", ComStmtPrepare, dep, frames("\x00\x01\x00\x00\x00"), "error", "COM_STMT_PREPARE_OK"},
		{"prepare, rows", ComStmtPrepare, dep, frames("\x01"), "error", "neither a COM_STMT_PREPARE_OK"},
		{"ping, EOF", ComPing, dep, frames(eof), "error", "neither an OK"},
		{"ping, rows", ComPing, dep, frames("\x01"), "error", "COM_PING"},
		{"auth, two ids missing", ComChangeUser, dep, pk(1, "\xfep\x00") + pk(4, okPacket), "auth 7, error", "sequence id 4 instead of 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r Reply
			r.Start(c.cmd, c.caps)
			err := followAll(t, r, []byte(c.in), c.want)
			if err == nil || !strings.Contains(err.Error(), c.error) {
				t.Errorf("error %v, want one with %q", err, c.error)
			}
		})
	}
}

// TestReplyRest: bytes behind a reply belong to the next, and a reply that is complete takes none.
func TestReplyRest(t *testing.T) {
	var r Reply
	if !r.Done() {
		t.Error("a zero Reply is not Done")
	}
	r.Start(ComStatistics, 0)
	if got, _ := follow(t, r, []byte(frames("text", okPacket)), 100); got != "forward 8, left 11" {
		t.Error(got)
	}
	r.Start(ComQuit, 0)
	if _, _, err := r.Next([]byte(frames(okPacket))); err == nil {
		t.Error("bytes behind the end are no error")
	}
	r.Start(ComQuery, classicCaps)
	if n, step, err := r.Next(nil); n != HeaderLen || step != NeedMore || err != nil {
		t.Error(n, step, err)
	}
}

// TestReplySequence: ids wrap, start where SetSeq says, and are not looked at where they cannot be.
func TestReplySequence(t *testing.T) {
	in := frames(append(append([]string{"\x01", column}, slicesOf("\x011", 600)...), okEnd)...)
	var r Reply
	r.Start(ComQuery, classicCaps|ClientDeprecateEOF)
	if err := followAll(t, r, []byte(in), "forward 3632, terminal 11"); err != nil {
		t.Error(err)
	}
	r.SetSeq(255)
	if err := followAll(t, r, []byte(pk(255, okMore)+pk(0, okPacket)), "terminal 11 more, terminal 11"); err != nil {
		t.Error(err)
	}
	odd := pk(9, "\x01") + pk(1, column) + pk(77, "\x011") + pk(77, "\x011") + pk(0, okEnd)
	r.SkipSeq()
	if err := followAll(t, r, []byte(odd), "forward 44, terminal 11"); err != nil {
		t.Error(err)
	}
	for _, caps := range []Caps{ClientCompress, ClientZstd} {
		r.Start(ComQuery, classicCaps|ClientDeprecateEOF|caps)
		if err := followAll(t, r, []byte(odd), "forward 44, terminal 11"); err != nil {
			t.Error(err)
		}
	}
}

// TestReplyEndless: the reply to a replica's commands is passed on as it is.
func TestReplyEndless(t *testing.T) {
	for _, cmd := range []Command{ComBinlogDump, ComBinlogDumpGTID, ComTableDump} {
		var r Reply
		r.Start(cmd, classicCaps)
		if err := followAll(t, r, []byte("anything\xff\x00"), "forward 10, incomplete"); err != nil {
			t.Error(err)
		}
	}
}

// TestReplyStatus: the flags of the last packet shown.
func TestReplyStatus(t *testing.T) {
	var r Reply
	r.Start(ComStmtExecute, classicCaps)
	in := []byte(frames("\x01", column, eofCursor))
	n, _, _ := r.Next(in)
	if _, step, err := r.Next(in[n:]); step != Terminal || err != nil || r.Status() != StatusCursorExists|StatusAutocommit || !r.Done() {
		t.Error(step, err, r.Status(), r.Done())
	}
}

// bigRows is a reply with rows of the given sizes, the first of which begins with first.
func bigRows(first string, sizes ...int) (in []byte, want int) {
	in = []byte(frames("\x01", column))
	seq := byte(3)
	for _, n := range sizes {
		row := append([]byte(first), make([]byte, n-len(first))...)
		in, seq = AppendPacket(in, seq, row)
		first = ""
	}
	want = len(in)
	in, _ = AppendPacket(in, seq, []byte(okEnd))
	return in, want
}

// TestReplyLargeRows: rows that take several frames, of which the last may be empty, and whose later frames look like
// the end.
func TestReplyLargeRows(t *testing.T) {
	for _, sizes := range [][]int{{MaxPayload - 1}, {MaxPayload}, {MaxPayload + 1, 5}, {9, 2 * MaxPayload}} {
		for _, first := range []string{"\xfb", "\xfe\x00\x00\x00\x01\x00\x00\x00\x00"} {
			if first[0] == headEOF && sizes[0] < MaxPayload {
				continue
			}
			in, want := bigRows(first, sizes...)
			in = bytes.Clone(in)
			if sizes[0] > MaxPayload {
				in[32+HeaderLen+MaxPayload+HeaderLen] = headEOF // first byte of the row's second frame
			}
			var r Reply
			r.Start(ComQuery, classicCaps|ClientDeprecateEOF)
			wantSteps := "forward " + strconv.Itoa(want) + ", terminal 11"
			for _, chunk := range []int{len(in), 1 << 16, MaxPayload + 3} {
				if got, err := follow(t, r, in, chunk); got != wantSteps || err != nil {
					t.Errorf("rows of %v, %d bytes at a time: %s (%v)", sizes, chunk, got, err)
				}
			}
		}
	}
}

// TestReplyHuge: a result of 1 GiB, of which only pieces are ever there.
func TestReplyHuge(t *testing.T) {
	var r Reply
	r.Start(ComQuery, classicCaps|ClientDeprecateEOF)
	if _, _, err := r.Next([]byte(frames("\x01", column))); err != nil {
		t.Fatal(err)
	}
	piece := make([]byte, 64<<10)
	seq, total := byte(3), 0
	for range 64 {
		head := AppendHeader(nil, MaxPayload, seq)
		seq++
		for b := append(head, 1); len(b) > 0; b = piece[:min(len(piece), MaxPayload+HeaderLen-total%(MaxPayload+HeaderLen))] {
			n, step, err := r.Next(b)
			if n != len(b) || step != Forward || err != nil {
				t.Fatalf("at %d: %d of %d bytes, %s, %v", total, n, len(b), step, err)
			}
			if total += n; total%(MaxPayload+HeaderLen) == 0 {
				break
			}
		}
	}
	end := append(AppendHeader(nil, 0, seq), pk(seq+1, okEnd)...)
	if got, err := follow(t, r, end, 100); got != "forward 4, terminal 11" || err != nil {
		t.Error(got, err)
	}
	if total < 1<<30 {
		t.Errorf("only %d bytes", total)
	}
}

// TestReplyInfile: what a server may say while the client still sends its file.
func TestReplyInfile(t *testing.T) {
	var r Reply
	next := func(in string, want Step) {
		t.Helper()
		if n, step, err := r.Next([]byte(in)); n != len(in) || step != want || err != nil {
			t.Fatalf("%q: %d, %s, %v", in, n, step, err)
		}
	}
	start := func() {
		r.Start(ComQuery, classicCaps|ClientLocalFiles|MariaDBProgress)
		next(pk(1, "\xfbfile"), Infile)
	}
	start()
	next(pk(40, progress), Progress)
	next(pk(41, progress), Progress)
	r.InfileDone()
	next(pk(90, okMore), Terminal)
	next(pk(91, okPacket), Terminal)
	if !r.Done() {
		t.Error("not done behind the OK")
	}
	start()
	next(pk(7, errPacket), Terminal)
	if !r.Done() {
		t.Error("not done behind the ERR")
	}
	r.InfileDone()
	if !r.Done() {
		t.Error("InfileDone begins a reply anew")
	}
	start()
	if _, _, err := r.Next([]byte(pk(7, okPacket))); err == nil {
		t.Error("an OK before the file's end is accepted")
	}
}

// TestReplyLargeOK: changed variables may be longer than any other packet that must be whole.
func TestReplyLargeOK(t *testing.T) {
	ok := OK{Status: StatusAutocommit, Track: AppendTrack(nil, TrackSystemVariable, "v", strings.Repeat("x", 900<<10))}
	caps := classicCaps | ClientSessionTrack
	in := AppendOK(nil, 1, 0, &ok, caps)
	var r Reply
	r.Start(ComQuery, caps)
	if got, err := follow(t, r, in, 50_000); got != "terminal "+strconv.Itoa(len(in)) || err != nil {
		t.Error(got, err)
	}
}
