package registry

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// BenchmarkExport is one agent of many whose service goes down or up, until the new spec is served.
func BenchmarkExport(b *testing.B) {
	for _, endpoints := range []int{20, 1000} {
		b.Run(fmt.Sprint(endpoints, "_endpoints"), func(b *testing.B) {
			r := open(b, newStore(b))
			for n := range endpoints {
				s := svc("feed", "yf", 0)
				s.Address = fmt.Sprintf("10.0.%d.%d:80", n/250, n%250)
				export(b, r, fmt.Sprint("agent", n), "1", s)
			}
			s := svc("feed", "yf", 0)
			s.Address = "10.9.9.9:80"
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s.Weight = 1 + i%2
				export(b, r, "flapper", "1", s)
				r.mu.Lock()
				r.flush()
				r.mu.Unlock()
			}
		})
	}
}

// BenchmarkFleet is the start of 1,000 agents with 20 services each, over 500 resources.
func BenchmarkFleet(b *testing.B) {
	for b.Loop() {
		r := open(b, newStore(b))
		for a := range 1000 {
			var services []control.Service
			for i := range 20 {
				s := svc(fmt.Sprint("r", (a*20+i)%500), "yf", 0)
				s.Address = fmt.Sprintf("10.%d.%d.%d:80", i, a/250, a%250)
				services = append(services, s)
			}
			export(b, r, fmt.Sprint("agent", a), "1", services...)
		}
		for start := time.Now(); ; time.Sleep(time.Millisecond) {
			r.mu.Lock()
			left := len(r.dirty)
			r.mu.Unlock()
			if left == 0 {
				break
			}
			if time.Since(start) > time.Minute {
				b.Fatal("it does not settle")
			}
		}
	}
}
