package mysql

import (
	"strings"
	"testing"
)

// TestAllocs: nothing is allocated on the way of a command and its reply.
func TestAllocs(t *testing.T) {
	caps := classicCaps | ClientDeprecateEOF | ClientSessionTrack | ClientQueryAttributes
	rows := []byte(frames(append(append([]string{"\x01", column}, slicesOf("\x011", 50)...), okEnd)...))
	tracked := []byte("\x00\x01\x00\x02\x40\x00\x00\x02hi\x14\x00\x0f\x0aautocommit\x03OFF\x02\x011")
	failed := []byte(errPacket)
	query := []byte("\x03" + queryAttributes + "SELECT 1")
	packet := []byte(pk(0, "\x03SELECT 1"))
	executed, bare := []byte(executeTypes), []byte(executeBare)
	prepared := []byte(prepareOK)
	dst := make([]byte, 0, 256)
	var r Reply
	var q Request
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"reply", func() {
			r.Start(ComQuery, caps)
			for b := rows; !r.Done(); {
				n, _, err := r.Next(b)
				if err != nil {
					t.Fatal(err)
				}
				b = b[n:]
			}
		}},
		{"reply in pieces", func() {
			r.Start(ComQuery, caps)
			for pos, have := 0, 0; !r.Done(); {
				n, step, err := r.Next(rows[pos:have])
				if err != nil {
					t.Fatal(err)
				}
				if step == NeedMore {
					have = min(have+3, len(rows))
				} else {
					pos += n
				}
			}
		}},
		{"request", func() {
			q.Start(0)
			if n, err := q.Next(packet); n != len(packet) || err != nil {
				t.Fatal(n, err)
			}
		}},
		{"OK", func() {
			ok, err := ParseOK(tracked, caps)
			if err != nil {
				t.Fatal(err)
			}
			for tr := Track(ok.Track); tr.Next(); {
				dst = AppendTrack(dst[:0], tr.Kind, tr.Name, tr.Value)
			}
			dst = AppendOK(dst[:0], 1, 0, &ok, caps)
			dst = AppendOK(dst[:0], 1, 0xfe, &ok, classicCaps)
		}},
		{"ERR", func() {
			e, err := ParseERR(failed, caps)
			if err != nil || e.Code != 1064 {
				t.Fatal(e.Code, err)
			}
			dst = AppendERR(dst[:0], 1, 1040, "08004", "Too many connections")
		}},
		{"query", func() {
			if _, sql, err := ParseQuery(query, caps); err != nil || len(sql) != 8 {
				t.Fatal(err)
			}
		}},
		{"execute", func() {
			e, err := ParseExecute(executed, 2, caps)
			if err != nil {
				t.Fatal(err)
			}
			b, err := ParseExecute(bare, 2, caps)
			if err != nil {
				t.Fatal(err)
			}
			dst = AppendExecuteWithTypes(dst[:0], bare, b.Types, executed[e.Types:e.TypesEnd])
			PutStmtID(dst, 9)
		}},
		{"prepare", func() {
			if p, err := ParsePrepareOK(prepared, caps); err != nil || p.ID != 7 {
				t.Fatal(err)
			}
			dst, _ = AppendPacket(dst[:0], 1, prepared)
		}},
	} {
		if n := testing.AllocsPerRun(100, c.f); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

// BenchmarkReplyRows follows a result of 1,000 rows of 100 bytes.
func BenchmarkReplyRows(b *testing.B) {
	in := []byte(frames(append(append([]string{"\x01", column}, slicesOf("\x63"+strings.Repeat("x", 99), 1000)...), okEnd)...))
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		var r Reply
		r.Start(ComQuery, classicCaps|ClientDeprecateEOF)
		for rest := in; !r.Done(); {
			n, _, err := r.Next(rest)
			if err != nil {
				b.Fatal(err)
			}
			rest = rest[n:]
		}
	}
}

// BenchmarkReplyPoint follows the reply to a SELECT of one row.
func BenchmarkReplyPoint(b *testing.B) {
	in := []byte(frames("\x03", column, column, column, "\x0142\x05hello\x05world", okEnd))
	b.ReportAllocs()
	for b.Loop() {
		var r Reply
		r.Start(ComQuery, classicCaps|ClientDeprecateEOF)
		for rest := in; !r.Done(); {
			n, _, err := r.Next(rest)
			if err != nil {
				b.Fatal(err)
			}
			rest = rest[n:]
		}
	}
}

// BenchmarkReplyOK follows the reply to an INSERT.
func BenchmarkReplyOK(b *testing.B) {
	in := []byte(frames(okPacket))
	b.ReportAllocs()
	for b.Loop() {
		var r Reply
		r.Start(ComQuery, classicCaps|ClientDeprecateEOF)
		if _, step, err := r.Next(in); step != Terminal || err != nil {
			b.Fatal(step, err)
		}
	}
}

func BenchmarkDeflateInflate(b *testing.B) {
	codec := zlibCodec(b)
	data := []byte(strings.Repeat("0123456789 some text that repeats itself ", 400))
	d, f := NewDeflater(codec), NewInflater(codec)
	var wire, out []byte
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if wire, err = d.Append(wire[:0], data); err != nil {
			b.Fatal(err)
		}
		if out, _, err = f.Feed(out[:0], wire); err != nil || len(out) != len(data) {
			b.Fatal(err)
		}
	}
}
