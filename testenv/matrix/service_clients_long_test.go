//go:build long

package matrix

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/http2"
	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
	"github.com/sluice-mesh/sluice/testenv/load/grpc"
	motanpeers "github.com/sluice-mesh/sluice/testenv/motan"
)

// half is the id of counts whose requests never become whole.
const half = "half"

// halves are what clients of each kind send before they vanish, and slow what they send a byte at a time.
var halves = map[string]struct {
	sends []vanishing
	slow  string
}{
	"motan2": {[]vanishing{{send: motanHalf()[:20]}, {send: motanHalf()}}, motanHalf()},
	"http": {[]vanishing{
		{send: "POST /count HTTP/1.1\r\nHo"},
		{send: "POST /count HTTP/1.1\r\nHost: cache\r\nContent-Length: 9\r\n\r\n" + half},
		{send: "POST /count HTTP/1.1\r\nHost: cache\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n" + half + "\r\n"},
		{send: "POST /count HTTP/1.1\r\nHost: cache\r\nContent-Length: 3000000\r\n\r\n" + strings.Repeat(half, 75_000)},
		{send: "POST /echo HTTP/1.1\r\nHost: cache\r\nContent-Length: 400000\r\n\r\n" + strings.Repeat(half, 100_000), reads: 100},
	}, "POST /count HTTP/1.1\r\n"},
	"grpc": {[]vanishing{{send: http2.Preface[:10]}, {send: grpcHalf()[:60]}, {send: grpcHalf()}}, http2.Preface},
}

// motanHalf is a request without its last bytes.
func motanHalf() string {
	var meta []byte
	for _, p := range [...][2]string{{motan2.KeyService, motanpeers.Service}, {motan2.KeyMethod, "count"}, {motan2.KeyGroup, motanpeers.Group}} {
		meta = motan2.AppendPair(meta, p[0], p[1])
	}
	body, err := serial.Simple{}.Append(nil, half, int64(0))
	if err != nil {
		panic(err) // of values that are here
	}
	b := motan2.Append(nil, motan2.Head{ID: 1, Serialization: byte(serial.IDSimple)}, meta, body)
	return string(b[:len(b)-3])
}

// grpcHalf is a connection's beginning and a call whose message does not end.
func grpcHalf() string {
	enc := http2.NewEncoder()
	enc.Begin()
	for _, f := range [...][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/" + grpc.Service + "/Count"}, {":authority", "cache"},
		{"content-type", "application/grpc"}, {"te", "trailers"}} {
		enc.Field(http2.Field{Name: f[0], Value: f[1]})
	}
	b := enc.End(http2.AppendSettings([]byte(http2.Preface)), 1, false, http2.DefaultFrame)
	return string(http2.AppendData(b, 1, false, []byte("\x00\x00\x00\x00\x10\x0a\x04"+half)))
}

// Row 9: clients vanish in the middle of requests and answers. What was not whole is not executed, and the others do not notice.
func TestLongRow09ServiceClientVanishes(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		m := openService(t, p)
		m.steady()
		m.inject(func() {
			for range 10 {
				for _, v := range halves[p.of.kind].sends {
					m.vanish(v)
				}
			}
		})
		if p.of.kind == "http" { // whose clients have read a part of an answer; a reset may overtake what others sent
			m.visible("calls of clients that are gone", m.outcome("canceled"))
		}
		m.unharmed(time.Second)
		m.close()
		for _, s := range m.peers {
			c, err := p.of.dial(context.Background(), s.Addr, 5*time.Second, t.Errorf)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := c.Counted(half); n != 0 || err != nil {
				t.Errorf("%s executed %d calls that were not whole, %v", s.Addr, n, err)
			}
			c.Close()
		}
	})
}

// Row 10: clients send a byte a second. They are cut, and others are served meanwhile.
func TestLongRow10ServiceSlowloris(t *testing.T) {
	eachService(t, func(t *testing.T, p servicePlan) {
		const n = 500
		m := openService(t, p)
		m.steady()
		drip := halves[p.of.kind].slow
		var conns []net.Conn
		m.inject(func() { conns = m.arrive(n, time.Millisecond, send(drip[:1])) })
		files := func() float64 { return m.scrape().sum("process_open_fds") - m.before.sum("process_open_fds") }
		if have := files(); have < n-10 {
			t.Errorf("the agent has %.0f connections more, want %d", have, n)
		}
		start := time.Now()
		for at := 1; ; at++ {
			next := start.Add(time.Duration(at) * time.Second)
			for time.Now().Before(next) && files() > n/20 {
				m.unharmed(500 * time.Millisecond)
			}
			left := files()
			if left <= n/20 {
				break
			}
			if at == 20 {
				t.Errorf("%.0f of %d slow clients are still there after %v", left, n, time.Since(start))
				break
			}
			for _, c := range conns {
				_, _ = c.Write([]byte(drip[at : at+1])) // it may be cut off already
			}
		}
		t.Logf("all were cut off %v after they came", time.Since(start).Round(100*time.Millisecond))
		hangUp(conns)
		m.recovers()
		m.close()
	})
}
