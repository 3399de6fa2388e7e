package mesh

import (
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
	"github.com/sluice-mesh/sluice/testenv/motan"
)

// raw is a connection on which a test writes frames by itself.
type raw struct {
	t  *testing.T
	nc net.Conn
	b  []byte // read and not looked at
	n  int    // of b that the last frame was
}

func dialRaw(t *testing.T, network, addr string) *raw {
	t.Helper()
	nc, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &raw{t: t, nc: nc}
}

// send writes a request with arguments in Simple; bits are further ones of its type.
func (r *raw) send(id uint64, bits byte, method string, args ...any) {
	r.t.Helper()
	body, err := serial.Simple{}.Append(nil, args...)
	if err != nil {
		r.t.Fatal(err)
	}
	m := motan2.Meta(strings.Join([]string{motan2.KeyService, motan.Service, motan2.KeyMethod, method, motan2.KeyGroup, motan.Group, motan2.KeyVersion, motan.Version}, "\n"))
	if _, err := r.nc.Write(motan2.Append(nil, motan2.Head{ID: id, Type: bits, Serialization: byte(serial.IDSimple)}, m, body)); err != nil {
		r.t.Fatal(err)
	}
}

// want reads the next frame, which is the answer to a request with a value.
func (r *raw) want(id uint64, value any) {
	r.t.Helper()
	if got := r.answer(id); !reflect.DeepEqual(got, value) {
		r.t.Fatalf("the answer to %d is %v, not %v", id, got, value)
	}
}

// answer reads the next frame, which is the answer to a request, and returns its value.
func (r *raw) answer(id uint64) any {
	r.t.Helper()
	r.b = r.b[r.n:]
	var f motan2.Frame
	for {
		whole, err := f.Scan(r.b, motan2.DefaultMax)
		if err != nil {
			r.t.Fatal(err)
		}
		if whole {
			break
		}
		b := make([]byte, 64<<10)
		n, err := r.nc.Read(b)
		if err != nil {
			r.t.Fatalf("no answer to %d: %v", id, err)
		}
		r.b = append(r.b, b[:n]...)
	}
	r.n = f.Size
	v, err := serial.DecodeOne(serial.Simple{}, f.Body, serial.KindAny)
	if err != nil || f.ID != id || f.Status != motan2.StatusNormal {
		r.t.Fatalf("the answer to %d: %+v: %v", id, f, err)
	}
	return v
}
