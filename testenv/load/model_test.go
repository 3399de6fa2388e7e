package load

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
)

func TestRegister(t *testing.T) {
	r := &register{}
	step := func(what string, got, want finding) {
		t.Helper()
		if got != want {
			t.Fatalf("%s: %s, want %s", what, findingNames[got], findingNames[want])
		}
	}
	step("nothing written, null", r.sawNothing(false), fine)
	step("nothing written, value", r.sawValue(1, false), wrong)
	r.acked(version{seq: r.write()}) // 1
	step("acknowledged", r.sawValue(1, false), fine)
	r.unsure(version{seq: r.write()}) // 2
	step("unknown, old value", r.sawValue(1, false), fine)
	step("unknown, new value", r.sawValue(2, false), fine)
	step("settled, then the older", r.sawValue(1, false), lost)
	r.acked(version{seq: r.write()})                 // 3
	r.unsure(version{seq: r.write(), deleted: true}) // 4
	step("unknown DEL, null", r.sawNothing(false), fine)
	step("settled DEL, then a value", r.sawValue(3, false), lost)
	r.unsure(version{seq: r.write()}) // 5
	r.acked(version{seq: r.write()})  // 6
	step("an older unknown write overtakes", r.sawValue(5, false), late)
	step("and stays", r.sawValue(5, false), fine)
	_ = r.write() // 7 is refused
	step("refused", r.sawValue(7, false), wrong)
	step("stale where allowed", r.sawValue(3, true), fine)
	step("null where stale is allowed", r.sawNothing(true), fine)
	step("null", r.sawNothing(false), lost)
}

func TestCounter(t *testing.T) {
	c := &counter{}
	for i, s := range []struct {
		n       int64
		unknown int64
		want    finding
	}{{1, 0, fine}, {2, 0, fine}, {4, 1, fine}, {5, 0, fine}, {6, 1, fine}, {8, 0, fine}, {10, 0, repeated}, {11, 0, fine}, {11, 0, lost}} {
		c.unknown += s.unknown
		if got := c.sawIncr(s.n); got != s.want {
			t.Fatalf("step %d: %s, want %s", i, findingNames[got], findingNames[s.want])
		}
	}
	if got := c.sawRead(11); got != fine {
		t.Errorf("read: %s", findingNames[got])
	}
}

func TestLogContent(t *testing.T) {
	l := &tokenLog{tokens: []tokenState{tokenAcked, tokenUnknown, tokenRefused, tokenAcked, tokenAcked}}
	content := func(numbers ...int) []byte {
		var b []byte
		for _, n := range numbers {
			b = appendToken(b, n)
		}
		return b
	}
	for _, c := range []struct {
		b     []byte
		stale bool
		want  finding
	}{
		{content(0, 3, 4), false, fine},
		{content(0, 1, 3, 4), false, fine},
		{content(0, 3, 4, 1), false, fine}, // an unknown one may come late
		{content(0, 3), false, lost},
		{content(0, 3), true, fine},
		{content(0, 3, 3, 4), false, repeated},
		{content(0, 1, 1, 3, 4), false, repeated},
		{content(0, 4, 3), false, reordered},
		{content(0, 2, 3, 4), false, wrong},
		{content(0, 3, 4, 5), false, wrong},
		{[]byte("0000"), false, wrong},
		{[]byte("0000x,"), false, wrong},
	} {
		if got := l.sawContent(c.b, c.stale); got != c.want {
			t.Errorf("%s: %s, want %s", c.b, findingNames[got], findingNames[c.want])
		}
	}
}

func TestValue(t *testing.T) {
	key := []byte("load:abc:1:2")
	for _, size := range []int{0, 64, 128, 5000} {
		v := AppendValue(nil, key, 7, 123456, size, padding)
		if size > 45 && len(v) != size {
			t.Errorf("value of %d bytes has %d", size, len(v))
		}
		if seq, what := readValue(v, key, 7); seq != 123456 || what != valueOK {
			t.Errorf("size %d: sequence %d, verdict %d", size, seq, what)
		}
		if _, what := readValue(v, []byte("load:abc:1:3"), 7); what != valueForeign {
			t.Errorf("size %d: with another key verdict %d", size, what)
		}
		if _, what := readValue(v, key, 8); what != valueForeign {
			t.Errorf("size %d: with another client verdict %d", size, what)
		}
		for i := range v {
			v[i] ^= 1
			if _, what := readValue(v, key, 7); what != valueBroken {
				t.Fatalf("size %d: byte %d damaged, verdict %d", size, i, what)
			}
			v[i] ^= 1
		}
		for i := range v {
			if _, what := readValue(v[:i], key, 7); what != valueBroken {
				t.Fatalf("size %d: cut at %d, verdict %d", size, i, what)
			}
		}
	}
}

func FuzzReadValue(f *testing.F) {
	key := []byte("load:abc:1:2")
	f.Add(AppendValue(nil, key, 7, 1, 100, padding))
	f.Add([]byte("||||"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if seq, what := readValue(b, key, 7); what == valueOK && !bytes.HasPrefix(b, key) {
			t.Fatalf("%q is taken as sequence %d of %q", b, seq, key)
		}
	})
}

func TestHistogram(t *testing.T) {
	var h, half Histogram
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 100000 {
		d := time.Duration(rnd.Int64N(int64(time.Second)))
		if i%2 == 0 {
			h.Add(d)
		} else {
			half.Add(d)
		}
	}
	h.Merge(&half)
	var long Histogram
	if long.Add(20 * time.Hour); long.Quantile(1) != 20*time.Hour {
		t.Errorf("20 hours are counted as %v", long.Quantile(1))
	}
	for _, q := range []float64{.1, .5, .9, .99, .999} {
		got, want := h.Quantile(q).Seconds(), q
		if got < want*0.98 || got > want*1.05 {
			t.Errorf("quantile %g is %g s", q, got)
		}
	}
	if h.Quantile(1) != h.Max {
		t.Errorf("quantile 1 is %v, maximum %v", h.Quantile(1), h.Max)
	}
	for us := range 1000 {
		d := time.Duration(us*us) * time.Microsecond
		var one Histogram
		if one.Add(d); one.Max != d {
			t.Fatalf("the largest of %v is %v", d, one.Max)
		}
		one.Max = time.Hour
		if got := one.Quantile(0); got < d || got > d*104/100+time.Microsecond {
			t.Fatalf("%v is counted as %v", d, got)
		}
	}
	for i := 1; i < 400; i++ {
		if lo := upperBound(i-1) + 1; bucketOf(lo) != i || bucketOf(upperBound(i)) != i {
			t.Fatalf("bucket %d is %d to %d, which are put into %d and %d", i, lo, upperBound(i), bucketOf(lo), bucketOf(upperBound(i)))
		}
	}
	if b := bucketOf(1<<63 - 1); b >= len(h.counts) {
		t.Errorf("the longest duration has bucket %d of %d", b, len(h.counts))
	}
}
