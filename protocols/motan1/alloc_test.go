package motan1

import "testing"

// Scanning takes no memory, nor does looking at what was found; once its buffer has grown, also of what blocks cut.
func TestAllocs(t *testing.T) {
	frames := readFrames(t)
	var rq Request
	var rp Response
	for name, frame := range frames {
		h := mustScan(t, frame)
		n := testing.AllocsPerRun(100, func() {
			h, ok, err := Scan(frame, 0)
			if !ok || err != nil {
				t.Fatal(err)
			}
			SetID(frame, h.ID)
			if h.Kind != KindRequest {
				if err := rp.Parse(frame, h); err != nil {
					t.Fatal(err)
				}
				return
			}
			if err := rq.Parse(frame, h); err != nil {
				t.Fatal(err)
			}
			args, size := 0, 0
			rq.EachArg(func(_ int, arg []byte) bool { args++; return true })
			rq.Attachments.Each(func(k, v []byte) bool { size += len(k) + len(v); return true })
			if _, ok := rq.Attachments.Get("nothing"); ok || args != rq.Args {
				t.Fatal(args)
			}
			rq.IsHeartbeat()
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if h.Size < HeaderLen {
			t.Error(h)
		}
	}
	part := frames["plain args"][:20]
	if n := testing.AllocsPerRun(100, func() { _, _, _ = Scan(part, 0) }); n != 0 {
		t.Errorf("a part of a frame: %v allocations", n)
	}
}

func BenchmarkParse(b *testing.B) {
	frame := readFrames(b)["plain args"]
	var r Request
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		h, _, err := Scan(frame, 0)
		if err == nil {
			err = r.Parse(frame, h)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
