package motan

import (
	"github.com/sluice-mesh/sluice/resources/servicetest"
	"io"
	"runtime"
	"testing"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/testenv/motan"
)

// A call that is forwarded allocates nothing, whatever is changed in its metadata.
func TestCallsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates: only the calls are checked")
	}
	w := newWorld(t)
	f := w.service(&Settings{Groups: map[string]string{"g": "there"}, Idempotent: []string{"get*"}}, func(f *servicetest.Runtime) { f.Quiet = true }, motan.Mirror(t))
	c := w.dial()
	for _, pairs := range []string{"M_m=hello M_s=app M_v=1.0", "M_m=getIt M_g=there M_tmo=500 M_rid=7", "M_m=hello consistentHashKey=x group=there"} {
		req := request(1, pairs, string(make([]byte, 1024)))
		size := 0
		round := func() {
			if _, err := c.nc.Write(req); err != nil {
				t.Fatal(err)
			}
			if size == 0 {
				r, err := c.reply(5e9)
				if err != nil || r.ID != 1 {
					t.Fatal(r, err)
				}
				size = r.Size
				return
			}
			if _, err := io.ReadFull(c.nc, c.b[:size]); err != nil {
				t.Fatal(err)
			}
		}
		round()
		c.b = make([]byte, size)
		for range 100 {
			round()
		}
		const calls = 2000
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range calls {
			round()
		}
		runtime.ReadMemStats(&after)
		if n := float64(after.Mallocs-before.Mallocs) / calls; n > 0.05 && !raceEnabled {
			t.Errorf("%s: %.3f allocations for a call", pairs, n)
		}
		c.b = nil
	}
	if f.Begun.Load() != 3*2101 {
		t.Errorf("%d calls", f.Begun.Load())
	}
}

func BenchmarkCall(b *testing.B) {
	w := newWorld(b)
	w.service(&Settings{}, func(f *servicetest.Runtime) { f.Quiet = true }, motan.Mirror(b))
	c := w.dial()
	const batch = 64
	var req []byte
	for id := range uint64(batch) {
		req = append(req, request(id, "M_m=hello M_s=app M_g=g M_v=1.0", string(make([]byte, 1024)))...)
	}
	c.send(request(1, "M_m=hello M_s=app M_g=g M_v=1.0", string(make([]byte, 1024))))
	r, err := c.reply(5e9)
	if err != nil {
		b.Fatal(err)
	}
	in := make([]byte, r.Size*batch+batch*4)
	b.ReportAllocs()
	for b.Loop() {
		c.send(req)
		var f motan2.Frame
		for got, n := 0, 0; got < batch; {
			m, err := c.nc.Read(in[n:])
			if err != nil {
				b.Fatal(err)
			}
			n += m
			off := 0
			for got < batch {
				if ok, _ := f.Scan(in[off:n], 1<<20); !ok {
					break
				}
				off += f.Size
				got++
			}
			n = copy(in, in[off:n])
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/call")
}
