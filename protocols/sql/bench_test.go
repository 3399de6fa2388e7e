package sql

import (
	"strings"
	"syscall"
	"testing"
)

var (
	benchPoint  = []byte("SELECT c FROM sbtest1 WHERE id=50042")
	benchInsert = func() []byte {
		var b strings.Builder
		b.WriteString("INSERT INTO `sbtest1` (id, k, c, pad) VALUES ")
		for b.Len() < 8750 {
			b.WriteString("(0, 5042, '68487932199-96439406143-93774651418', '22195207048-70116052123'), ")
		}
		b.WriteString("(1, 2, NOW(), 'x')")
		return []byte(b.String())
	}()
	benchJoin = []byte("SELECT o.id, o.total, u.name FROM shop.orders o JOIN users u ON u.id = o.user_id LEFT JOIN `items` i ON " +
		"i.order_id = o.id AND i.kind IN (1, 2, 3, 4) WHERE o.created_at > '2026-01-01 00:00:00' AND o.state = 'open' " +
		"AND u.region <> 'eu' GROUP BY o.id HAVING COUNT(*) > 3 ORDER BY o.total DESC LIMIT 50 OFFSET 100")
)

// cpuTime returns the processor time of this process in nanoseconds: unlike the clock it does not count what other
// processes of a busy machine take.
func cpuTime() int64 {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return 0
	}
	return ru.Utime.Nano() + ru.Stime.Nano()
}

func benchScan(b *testing.B, text []byte) {
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var st Statement
	before := cpuTime()
	for b.Loop() {
		Scan(text, 0, &st)
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
	if st.Kind == Unknown || st.Digest == 0 {
		b.Fatal(st)
	}
}

func BenchmarkScanPoint(b *testing.B)  { benchScan(b, benchPoint) }
func BenchmarkScanJoin(b *testing.B)   { benchScan(b, benchJoin) }
func BenchmarkScanInsert(b *testing.B) { benchScan(b, benchInsert) }

func BenchmarkAppendDigestPoint(b *testing.B) {
	b.SetBytes(int64(len(benchPoint)))
	b.ReportAllocs()
	dst := make([]byte, 0, MaxDigestText)
	for b.Loop() {
		dst = AppendDigest(dst[:0], benchPoint, 0)
	}
}
