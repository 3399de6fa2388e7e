package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// BenchmarkCalls is the time of calls one after another through an agent, in a service's own protocol and converted, by a client that
// is the same for both.
func BenchmarkCalls(b *testing.B) {
	s := motan.Serve(b, motan.Server{})
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer page.Close()
	vars := map[string]string{
		"service": motan.Service, "version": motan.Version, "group": motan.Group, "server": s.Addr, "http": server.FreeAddr(b),
		"web": strings.TrimPrefix(page.URL, "http://"), "errors": "exception",
	}
	a := server.Start(b, server.Agent{Config: overMotan, Vars: vars})
	web := func(b *testing.B, addr, host, path string) {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		defer nc.Close()
		in := bufio.NewReader(nc)
		for b.Loop() {
			if _, err := io.WriteString(nc, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); err != nil {
				b.Fatal(err)
			}
			r, err := http.ReadResponse(in, nil)
			if err != nil || r.StatusCode != 200 {
				b.Fatal(r, err)
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				b.Fatal(err)
			}
		}
	}
	call := func(b *testing.B, meta string) {
		nc, err := net.Dial("tcp", a.Addr("peers"))
		if err != nil {
			b.Fatal(err)
		}
		defer nc.Close()
		in, buf := bufio.NewReaderSize(nc, 64<<10), []byte(nil)
		var f motan2.Frame
		for id := uint64(1); b.Loop(); id++ {
			buf = motan2.Append(buf[:0], motan2.Head{ID: id, Serialization: byte(serial.IDSimple)}, motan2.Meta(meta), nil)
			if _, err := nc.Write(buf); err != nil {
				b.Fatal(err)
			}
			for n := motan2.MinFrame; ; n = max(n+1, f.Size) {
				got, err := in.Peek(n)
				if err != nil {
					b.Fatal(err)
				}
				whole, err := f.Scan(got, motan2.DefaultMax)
				if err != nil {
					b.Fatal(err)
				}
				if whole {
					if f.ID != id || f.Status != motan2.StatusNormal {
						b.Fatalf("%+v", f)
					}
					_, _ = in.Discard(f.Size)
					break
				}
			}
		}
	}
	b.Run("http", func(b *testing.B) { web(b, a.Addr("web"), "web.local", "/x") })
	b.Run("http-by-motan", func(b *testing.B) { call(b, "M_p\ncom.weibo.Web\nM_g\nyf-web\nM_v\n1.0\nM_m\n/x") })
	b.Run("motan", func(b *testing.B) {
		call(b, "M_p\n"+motan.Service+"\nM_g\n"+motan.Group+"\nM_v\n"+motan.Version+"\nM_m\nname")
	})
	b.Run("motan-by-http", func(b *testing.B) { web(b, vars["http"], "x", "/name") })
}
