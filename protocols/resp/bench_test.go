package resp

import (
	"strings"
	"testing"
)

var (
	benchSet   = AppendCommand(nil, "SET", "key:000012345", strings.Repeat("v", 64))
	benchBulk  = AppendBulkString(nil, strings.Repeat("v", 64))
	benchArray = func() []byte {
		b := AppendArray(nil, 100)
		for range 100 {
			b = AppendBulkString(b, "member:0001")
		}
		return b
	}()
)

func BenchmarkScanSet(b *testing.B) {
	lim := Limits{MaxArgs: DefaultMaxArgs}
	b.SetBytes(int64(len(benchSet)))
	b.ReportAllocs()
	var r Request
	for b.Loop() {
		r.Reset()
		if st, _ := r.Scan(benchSet, &lim); st != Complete {
			b.Fatal(st)
		}
	}
}

func BenchmarkScanInlinePing(b *testing.B) {
	lim, ping := Limits{}, []byte("PING\r\n")
	b.ReportAllocs()
	var r Request
	for b.Loop() {
		r.Reset()
		if st, _ := r.Scan(ping, &lim); st != Complete {
			b.Fatal(st)
		}
	}
}

func BenchmarkScanSimpleBulk(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if ScanSimple(benchBulk) != len(benchBulk) {
			b.Fatal("not simple")
		}
	}
}

func BenchmarkScanSimpleOK(b *testing.B) {
	ok := []byte("+OK\r\n")
	for b.Loop() {
		if ScanSimple(ok) != len(ok) {
			b.Fatal("not simple")
		}
	}
}

func BenchmarkReplyScannerArray100(b *testing.B) {
	b.ReportAllocs()
	var s ReplyScanner
	for b.Loop() {
		if n, done, _ := s.Scan(benchArray); !done || n != len(benchArray) {
			b.Fatal(n, done)
		}
	}
}

func BenchmarkNamesLookup(b *testing.B) {
	var t Names[int]
	for i, n := range commandNames {
		t.Set(n, i)
	}
	b.ReportAllocs()
	names := [][]byte{[]byte("get"), []byte("SET"), []byte("zrangebyscore"), []byte("GEORADIUSBYMEMBER_RO")}
	for i := 0; b.Loop(); i++ {
		if _, ok := t.Lookup(names[i&3]); !ok {
			b.Fatal("unknown")
		}
	}
}

func BenchmarkSlot(b *testing.B) {
	key := []byte("key:000012345")
	for b.Loop() {
		_ = Slot(key)
	}
}
