package mysql

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"
)

// fuzzCaps are sets of capabilities of which a fuzzer's byte picks one.
var fuzzCaps = [...]Caps{
	0,
	ClientTransactions,
	classicCaps,
	classicCaps | ClientDeprecateEOF,
	classicCaps | ClientDeprecateEOF | ClientSessionTrack | ClientLocalFiles,
	classicCaps | ClientLocalFiles | MariaDBCacheMetadata | MariaDBProgress,
	classicCaps | ClientDeprecateEOF | MariaDBCacheMetadata | MariaDBProgress | ClientLocalFiles,
	classicCaps | ClientDeprecateEOF | ClientOptionalResultsetMetadata | ClientQueryAttributes,
	classicCaps | ClientDeprecateEOF | ClientCompress | ClientQueryAttributes,
}

func pickCaps(pick byte) Caps { return fuzzCaps[int(pick)%len(fuzzCaps)] }

// FuzzReply: the steps do not depend on where the bytes are split.
func FuzzReply(f *testing.F) {
	for _, s := range []struct {
		cmd  Command
		pick byte
		in   string
	}{
		{ComQuery, 3, frames("\x01", column, "\x011", "\xfb", okEndMore, okPacket)},
		{ComQuery, 2, frames("\x01", column, eof, "\x011", eof)},
		{ComQuery, 4, pk(1, "\xfbf") + pk(4, okPacket)},
		{ComQuery, 6, frames(progress, "\x01\x01", column, okEnd)},
		{ComStmtExecute, 2, frames("\x01", column, eofCursor)},
		{ComStmtExecute, 5, frames("\x01\x00", eof, "\x00\x00\x01", eof)},
		{ComStmtPrepare, 2, frames(prepareOK, column, column, eof, column, eof)},
		{ComStmtPrepare, 7, frames(prepareOK+"\x00", column, column, column)},
		{ComChangeUser, 3, pk(1, "\xfep\x00s") + pk(3, "\x01\x03") + pk(4, okPacket)},
		{ComStmtFetch, 2, frames("\x00\x00\x01", eof)},
		{ComFieldList, 3, frames(column, okEnd)},
		{ComStatistics, 3, frames("Uptime")},
		{ComSetOption, 3, frames(eof)},
		{ComPing, 3, frames(errPacket)},
	} {
		f.Add(byte(s.cmd), s.pick, []byte(s.in), byte(3))
	}
	f.Fuzz(func(t *testing.T, cmd, pick byte, in []byte, chunk byte) {
		var r Reply
		r.Start(Command(cmd), pickCaps(pick))
		whole, _ := follow(t, r, in, len(in)+1)
		for _, n := range []int{1, int(chunk) + 1} {
			if split, _ := follow(t, r, in, n); split != whole {
				t.Fatalf("by %d bytes: %s\nas a whole: %s", n, split, whole)
			}
		}
	})
}

// FuzzOK: what is written again from an OK, ERR or EOF that was read is read as the same.
func FuzzOK(f *testing.F) {
	for _, s := range []string{okPacket, okEnd, eof, errPacket, "\x00\x01\x00\x02\x40\x00\x00\x02hi\x03\x02\x011", "\xff\xff\xff\x01\x01\x02\x10\x00\x00\x04copy"} {
		f.Add([]byte(s), byte(4))
	}
	f.Fuzz(func(t *testing.T, in []byte, pick byte) {
		caps := pickCaps(pick)
		if ok, err := ParseOK(in, caps); err == nil {
			again, err := ParseOK(AppendOK(nil, 0, in[0], &ok, caps)[HeaderLen:], caps)
			if len(ok.Track) == 0 {
				ok.Status &^= StatusSessionStateChanged // a bit without a block is not written
			}
			if len(ok.Info) == 0 {
				ok.Info, again.Info = nil, nil
			}
			ok.Track, again.Track = append([]byte{}, ok.Track...), append([]byte{}, again.Track...)
			if in[0] == headEOF && !caps.Has(ClientDeprecateEOF) {
				again.AffectedRows, again.InsertID, again.Info = ok.AffectedRows, ok.InsertID, ok.Info // an EOF has none
				if !caps.Has(ClientProtocol41) {
					again.Status, again.Warnings = ok.Status, ok.Warnings
				}
			}
			if !reflect.DeepEqual(ok, again) || err != nil {
				t.Fatalf("% x: %+v\nagain: %+v, %v", in, ok, again, err)
			}
		}
		if e, err := ParseERR(in, caps); err == nil && caps.Has(ClientProtocol41) {
			again, err := ParseERR(AppendERR(nil, 0, e.Code, string(e.State[:]), string(e.Message))[HeaderLen:], caps)
			if again.Error() != e.Error() || err != nil {
				t.Fatalf("% x: %v\nagain: %v, %v", in, &e, &again, err)
			}
		}
		if e, err := ParseEOF(in, caps); err == nil {
			if again, err := ParseEOF(AppendEOF(nil, 0, e, caps)[HeaderLen:], caps); again != e || err != nil {
				t.Fatalf("% x: %+v\nagain: %+v, %v", in, e, again, err)
			}
		}
	})
}

// FuzzTrack: the iteration ends, and what it found is found again in what AppendTrack makes of it.
func FuzzTrack(f *testing.F) {
	f.Add([]byte("\x00\x0f\x0aautocommit\x03OFF\x01\x05\x04test\x02\x011"))
	f.Add([]byte("\x03\x05\x00\x03u:1\x05\x09\x08T_R_W_S_\x04\x03\x02x;\x07\x02ab"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var again []byte
		n := 0
		tr := Track(in)
		for tr.Next() {
			if n++; n > len(in) {
				t.Fatal("no end")
			}
			if tr.Kind == TrackState && len(tr.Value) != 1 {
				return // read for the documents' sake, never written
			}
			again = AppendTrack(again, tr.Kind, tr.Name, tr.Value)
		}
		if tr.Err() == nil && records(again) != records(in) {
			t.Fatalf("% x: %s\nagain: %s", in, records(in), records(again))
		}
	})
}

// FuzzExecute: offsets are in order and inside the payload, and types taken out can be put in again.
func FuzzExecute(f *testing.F) {
	f.Add([]byte(executeTypes), uint16(2), byte(2))
	f.Add([]byte(executeBare), uint16(2), byte(2))
	f.Add([]byte(executeNamed), uint16(2), byte(7))
	f.Add([]byte("\xfa\x07\x00\x00\x00\x80\x00\xfe\x00\x03\x80\x00\x01a"), uint16(2), byte(2))
	f.Fuzz(func(t *testing.T, in []byte, nparams uint16, pick byte) {
		n, caps := int(nparams), pickCaps(pick)
		if b, err := ParseBulkExecute(in, n); err == nil && b.Flags&BulkSendTypes != 0 {
			bare := append(bytes.Clone(in[:b.Types]), in[b.TypesEnd:]...)
			bare[5] &^= BulkSendTypes
			if got := AppendBulkWithTypes(nil, bare, in[b.Types:b.TypesEnd]); !bytes.Equal(got, in) {
				t.Fatalf("% x\nbecame % x", in, got)
			}
		}
		e, err := ParseExecute(in, n, caps)
		if err != nil {
			return
		}
		if e.Params < n || e.Nulls > e.NullsEnd || e.NullsEnd > e.Types || e.Types > e.TypesEnd || e.TypesEnd != e.Values || e.Values > len(in) {
			t.Fatalf("% x: %+v", in, e)
		}
		if id, ok := StmtID(in); !ok || id != e.ID {
			t.Fatalf("% x: id %d, %+v", in, id, e)
		}
		if !e.NewTypes {
			return
		}
		bare := append(bytes.Clone(in[:e.Types]), in[e.TypesEnd:]...)
		bare[e.NullsEnd] = 0
		b, err := ParseExecute(bare, n, caps)
		if err != nil || b.Types != e.Types {
			t.Fatalf("% x without types: %+v, %v", in, b, err)
		}
		if got := AppendExecuteWithTypes(nil, bare, b.Types, in[e.Types:e.TypesEnd]); !bytes.Equal(got, in) {
			t.Fatalf("% x\nbecame % x", in, got)
		}
	})
}

// FuzzQuery: attributes and statement make up the payload, and no prefix that ends in the attributes is accepted.
func FuzzQuery(f *testing.F) {
	f.Add([]byte("\x03"+queryAttributes+"SELECT 1"), byte(7))
	f.Add([]byte("\x03\x00\x01SELECT 1"), byte(7))
	f.Add([]byte("\x03SELECT 1"), byte(2))
	f.Fuzz(func(t *testing.T, in []byte, pick byte) {
		attrs, sql, err := ParseQuery(in, pickCaps(pick))
		if err != nil {
			return
		}
		if len(attrs)+len(sql)+1 != len(in) {
			t.Fatalf("% x: %d bytes of attributes, %d of SQL", in, len(attrs), len(sql))
		}
		for i := range len(attrs) {
			if _, _, err := ParseQuery(in[:1+i], pickCaps(pick)); err == nil {
				t.Fatalf("% x is accepted up to %d", in, 1+i)
			}
		}
	})
}

// FuzzPrepareOK: a COM_STMT_PREPARE_OK that is read leads to as many definitions as it promises.
func FuzzPrepareOK(f *testing.F) {
	f.Add([]byte(prepareOK), byte(3))
	f.Add([]byte(prepareOK+"\x00"), byte(7))
	f.Fuzz(func(t *testing.T, in []byte, pick byte) {
		caps := pickCaps(pick) | ClientDeprecateEOF
		p, err := ParsePrepareOK(in, caps)
		if err != nil || len(in) > MaxReplyPacket || int(p.Columns)+int(p.Params) > 1000 {
			return
		}
		var r Reply
		r.Start(ComStmtPrepare, caps)
		r.SkipSeq()
		if _, step, err := r.Next([]byte(pk(1, string(in)))); step != Prepared || err != nil {
			t.Fatal(step, err)
		}
		n := 0
		for !r.Done() {
			if _, _, err := r.Next([]byte(pk(2, column))); err != nil {
				t.Fatal(err)
			}
			n++
		}
		if want := int(p.Columns) + int(p.Params); n != want && !p.Bare || p.Bare && n != 0 {
			t.Fatalf("%+v: %d definitions", p, n)
		}
	})
}

// FuzzRequest: how many bytes belong to a packet does not depend on splits.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(pk(0, "\x03SELECT 1")), byte(0), byte(3))
	f.Add([]byte(pk(4, "")+pk(5, "x")), byte(4), byte(1))
	f.Fuzz(func(t *testing.T, in []byte, seq, chunk byte) {
		a, n, errA := request(t, in, seq, len(in)+1)
		for _, by := range []int{1, int(chunk) + 1} {
			b, m, errB := request(t, in, seq, by)
			if n != m || a.Done() != b.Done() || a.Size() != b.Size() || (errA == nil) != (errB == nil) {
				t.Fatalf("% x: %d bytes, %+v, %v\nby %d: %d bytes, %+v, %v", in, n, a, errA, by, m, b, errB)
			}
		}
	})
}

// FuzzLenenc: integers and strings that are read have at most one longer form, and are written in the shortest.
func FuzzLenenc(f *testing.F) {
	f.Add([]byte("\xfc\xfb\x00"))
	f.Add([]byte("\x05hello"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if v, n := LenencInt(in); n > 0 {
			b := AppendLenencInt(nil, v)
			if w, m := LenencInt(b); w != v || m != len(b) || m > n {
				t.Fatalf("% x: %d, written % x", in, v, b)
			}
		}
		if s, n := LenencString(in); n > 0 && (n > len(in) || !bytes.Equal(s, in[n-len(s):n])) {
			t.Fatalf("% x: %q, %d", in, s, n)
		}
	})
}

// FuzzInflate: what comes out does not depend on splits, and never is more than was declared.
func FuzzInflate(f *testing.F) {
	codec := zlibCodec(f)
	good, err := NewDeflater(codec).Append(nil, bytes.Repeat([]byte("abc"), 100))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, byte(5))
	f.Add([]byte("\x05\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x0e"), byte(1))
	f.Fuzz(func(t *testing.T, in []byte, chunk byte) {
		declared := 0
		for b := in; len(b) >= CompressedHeaderLen; {
			n := int(binary.LittleEndian.Uint32(b) & MaxPayload)
			plain := int(binary.LittleEndian.Uint32(b[3:]) >> 8)
			if declared += plain; plain == 0 {
				declared += n
			}
			b = b[min(len(b), CompressedHeaderLen+n):]
		}
		whole, errA := feed(t, NewInflater(codec), in, len(in)+1)
		if len(whole) > declared {
			t.Fatalf("%d bytes out of %d declared", len(whole), declared)
		}
		for _, by := range []int{1, int(chunk) + 1} {
			split, errB := feed(t, NewInflater(codec), in, by)
			if !bytes.Equal(split, whole) || (errA == nil) != (errB == nil) {
				t.Fatalf("% x: %d bytes, %v\nby %d: %d bytes, %v", in, len(whole), errA, by, len(split), errB)
			}
		}
	})
}

// FuzzDeflate: there and back.
func FuzzDeflate(f *testing.F) {
	codec := zlibCodec(f)
	f.Add([]byte("SELECT 1"), uint16(1))
	f.Add([]byte("abcdefgh"), uint16(5000))
	f.Fuzz(func(t *testing.T, in []byte, times uint16) {
		if len(in) > 1000 {
			return
		}
		data := bytes.Repeat(in, int(times%2000))
		wire, err := NewDeflater(codec).Append(nil, data)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := feed(t, NewInflater(codec), wire, 1000); err != nil || !bytes.Equal(out, data) {
			t.Fatalf("%d bytes: %d came back, %v", len(data), len(out), err)
		}
	})
}
