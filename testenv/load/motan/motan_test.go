package motan

import (
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/counted"
	peers "github.com/sluice-mesh/sluice/testenv/motan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A real server does nothing wrong, and one that was killed is seen.
func TestServer(t *testing.T) {
	s := peers.Serve(t, peers.Server{})
	counted.CheckDial(t.Context(), t, Dial, s, s.Addr)
	l := counted.Start(t.Context(), counted.Config{Dial: Dial, Address: s.Addr, Servers: []string{s.Addr}, Timeout: 10 * time.Second, Forgetful: true})
	l.Await(t, 50)
	l.Outlive(t, s)
	l.Stop().Check(t, 1, load.Closed, load.Connect)
}

// Whatever an agent could do wrong is found.
func TestDetects(t *testing.T) {
	for what, of := range map[string]struct {
		answer func(n int, f *motan2.Frame, value any) (id uint64, with any)
		found  func(*load.Report) int64
	}{
		"another call's answer":    {func(n int, f *motan2.Frame, v any) (uint64, any) { return f.ID ^ uint64(n%2), v }, wrong},
		"another value":            {func(_ int, f *motan2.Frame, v any) (uint64, any) { return f.ID, "x" }, wrong},
		"an answer that is no one": {func(_ int, f *motan2.Frame, v any) (uint64, any) { return f.ID + 1000, v }, wrong},
		"a second count":           {func(_ int, f *motan2.Frame, v any) (uint64, any) { return f.ID, plus(v) }, func(r *load.Report) int64 { return r.Repeated }},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			for {
				nc, err := l.Accept()
				if err != nil {
					return
				}
				bend(nc, of.answer)
			}
		}()
		run := counted.Start(t.Context(), counted.Config{Dial: Dial, Address: l.Addr().String(), Clients: 1, Timeout: 100 * time.Millisecond})
		run.Await(t, 6)
		r := run.Stop()
		_ = l.Close()
		<-served
		if of.found(r) == 0 {
			t.Errorf("%s: %v", what, r)
		}
	}
}

func wrong(r *load.Report) int64 { return r.Wrong }

func plus(v any) any {
	if n, ok := v.(int64); ok {
		return n + 1
	}
	return v
}

// bend serves a connection: every request is answered as a server would, but for what answer does to it.
func bend(nc net.Conn, answer func(int, *motan2.Frame, any) (uint64, any)) {
	defer nc.Close()
	buf := make([]byte, 0, 1<<16)
	var f motan2.Frame
	for n := 0; ; {
		ok, err := f.Scan(buf, 1<<16)
		if err != nil {
			return
		}
		if !ok {
			k, err := nc.Read(buf[len(buf):cap(buf)])
			if err != nil {
				return
			}
			buf = buf[:len(buf)+k]
			continue
		}
		args, _ := serial.Simple{}.Decode(f.Body)
		value := args[0]
		if string(f.Meta.Call().Method) == "count" {
			value = int64(1)
		}
		id, with := answer(n, &f, value)
		n++
		body, _ := serial.Simple{}.Append(nil, with)
		if _, err := nc.Write(motan2.Append(nil, motan2.Head{ID: id, Type: motan2.TypeResponse, Serialization: f.Serialization}, nil, body)); err != nil {
			return
		}
		buf = append(buf[:0], buf[f.Size:]...)
	}
}
