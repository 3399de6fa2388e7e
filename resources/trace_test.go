package resources

import "testing"

func TestTraceParent(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	c, ok := ParseTraceParent([]byte(good))
	if !ok || !c.Sampled || c.TraceID[0] != 0x0a || c.SpanID[7] != 0x31 || c.Parent != [8]byte{} {
		t.Fatalf("%+v %v", c, ok)
	}
	if got := string(AppendTraceParent(nil, &c)); got != good {
		t.Errorf("%s became %s", good, got)
	}
	for in, sampled := range map[string]bool{
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00":      false,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03":      true,
		"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more": true,
		"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01":      true,
	} {
		if c, ok := ParseTraceParent([]byte(in)); !ok || c.Sampled != sampled {
			t.Errorf("%s: %v %v", in, c.Sampled, ok)
		}
	}
	for _, bad := range []string{
		"", "00", good[:54], good + "-more", good + "0", "ff" + good[2:], "00-00000000000000000000000000000000-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01", "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	} {
		if c, ok := ParseTraceParent([]byte(bad)); ok || c != (TraceContext{}) {
			t.Errorf("%q is a context: %+v", bad, c)
		}
	}
	if n := testing.AllocsPerRun(100, func() { ParseTraceParent([]byte(good)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzTraceParent(f *testing.F) {
	f.Add([]byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, ok := ParseTraceParent(b); ok {
			if again, ok := ParseTraceParent(AppendTraceParent(nil, &c)); !ok || again != c {
				t.Errorf("%q: %+v became %+v", b, c, again)
			}
		}
	})
}
