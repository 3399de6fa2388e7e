package grpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/sluice-mesh/sluice/protocols/http2"
	"github.com/sluice-mesh/sluice/resources"
)

// probe checks one server on a connection that it keeps, by the protocol for it (github.com/grpc/grpc/doc/health-checking.md).
// A server that has no such service says so, which shows as well that it answers.
type probe struct {
	r  *Resource
	ep *resources.Endpoint
	nc net.Conn

	// Of the connection.
	in     []byte
	frame  http2.Frame
	blocks *http2.Blocks
	next   uint32
	taken  int // bytes of DATA that came
}

// Probe implements resources.Resource.
func (r *Resource) Probe(ep *resources.Endpoint) resources.Probe { return &probe{r: r, ep: ep} }

// Close implements resources.Probe.
func (p *probe) Close() {
	if p.nc != nil {
		_ = p.nc.Close()
		p.nc = nil
	}
}

// Check implements resources.Probe.
func (p *probe) Check(ctx context.Context) (resources.Health, error) {
	kept := p.nc != nil
	h, err := p.try(ctx)
	if err != nil && kept && errors.Is(err, errLeft) { // between two checks it may close connections as it likes
		h, err = p.try(ctx)
	}
	return h, err
}

// errLeft says that the server had closed the connection, or is about to.
var errLeft = errors.New("the server closed the connection instead of answering a health check")

func (p *probe) try(ctx context.Context) (resources.Health, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(resources.DefaultHandshakeTimeout)
	}
	if p.nc == nil {
		nc, fault := p.r.rt.Dial(ctx, p.ep)
		if fault != nil {
			return resources.Health{}, fault
		}
		p.nc, p.in, p.next, p.taken, p.blocks = nc, p.in[:0], 1, 0, http2.NewBlocks(maxList)
		hello := http2.AppendSettings([]byte(http2.Preface), http2.Setting{ID: http2.SettingPush, Value: 0}, http2.Setting{ID: http2.SettingMaxHeaderList, Value: maxList})
		if _, err := nc.Write(hello); err != nil {
			p.Close()
			return resources.Health{}, err
		}
	}
	err := p.nc.SetDeadline(deadline)
	var a checked
	if err == nil {
		a, err = p.call()
	}
	if err != nil {
		p.Close()
		var late net.Error
		switch {
		case errors.As(err, &late) && late.Timeout():
			err = errors.New("no answer to a health check in time")
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
			err = errLeft
		}
		return resources.Health{}, err
	}
	return a.health()
}

// checked is the answer to a health check.
type checked struct {
	http, status, text string
	message            []byte
}

// What a server says of a service (grpc.health.v1.HealthCheckResponse.ServingStatus).
const serving = 1

var servingNames = map[uint64]string{0: "UNKNOWN", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}

// health says what an answer means.
func (a *checked) health() (resources.Health, error) {
	switch {
	case a.status == "0":
		s := servingStatus(a.message)
		if s == serving {
			return resources.Health{Ready: true}, nil
		}
		name := servingNames[s]
		if name == "" {
			name = strconv.FormatUint(s, 10)
		}
		return resources.Health{}, errors.New("the server says that it is " + name)
	case a.status == "5": // NOT_FOUND: the server knows of health, and not of this service
		return resources.Health{}, errors.New("the server has no health of the service in settings.health: " + a.text)
	case outcome(a.status, a.http).Failure():
		return resources.Health{}, fmt.Errorf("a health check was answered with status %s, HTTP status %s: %s", a.status, a.http, a.text)
	}
	return resources.Health{Ready: true}, nil
}

// servingStatus reads field 1 of a HealthCheckResponse behind the 5 bytes that every message has.
func servingStatus(b []byte) uint64 {
	if len(b) < 7 || b[0] != 0 || b[5] != 1<<3 {
		return 0
	}
	n, _ := binary.Uvarint(b[6:])
	return n
}

// call makes one check.
func (p *probe) call() (checked, error) {
	id := p.next
	p.next += 2
	service := p.r.set.Health
	message := make([]byte, 5)
	if service != "" {
		message = append(binary.AppendUvarint(append(message, 1<<3|2), uint64(len(service))), service...)
		binary.BigEndian.PutUint32(message[1:], uint32(len(message)-5))
	}
	var block []byte
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/grpc.health.v1.Health/Check"}, {":authority", p.authority()},
		{"content-type", "application/grpc"}, {"te", "trailers"}, {"user-agent", "sluice"}} {
		block = http2.AppendField(block, f[0], f[1])
	}
	out := http2.AppendHeaders(nil, id, false, block, http2.DefaultFrame)
	if _, err := p.nc.Write(http2.AppendData(out, id, true, message)); err != nil {
		return checked{}, errLeft
	}
	var a checked
	for {
		if err := p.read(); err != nil {
			return a, err
		}
		over, err := p.take(id, &a)
		if over || err != nil {
			return a, err
		}
	}
}

func (p *probe) authority() string {
	if len(p.ep.Address) > 0 && p.ep.Address[0] != '/' && !isUnix(p.ep.Address) {
		return p.ep.Address
	}
	return "localhost"
}

func isUnix(address string) bool { return len(address) > 5 && address[:5] == "unix:" }

// read reads the next frame.
func (p *probe) read() error {
	room := make([]byte, 1024)
	for {
		n, err := p.frame.Scan(p.in, http2.DefaultFrame)
		if err != nil {
			return err
		}
		if n > 0 {
			p.in = append([]byte(nil), p.in[n:]...) // the frame points into what was there before
			return nil
		}
		got, err := p.nc.Read(room)
		p.in = append(p.in, room[:got]...)
		if got == 0 && err != nil {
			return err
		}
	}
}

// take looks at the frame that was read, and reports whether the check is over.
func (p *probe) take(id uint32, a *checked) (bool, error) {
	f := &p.frame
	if p.blocks.Open() || f.Type == http2.TypeHeaders || f.Type == http2.TypeContinuation {
		var b http2.Block
		whole, err := p.blocks.Add(f, &b)
		if err != nil || !whole || b.Stream != id {
			return false, err
		}
		for _, h := range b.Fields {
			switch h.Name {
			case ":status":
				a.http = h.Value
			case "grpc-status":
				a.status = h.Value
			case "grpc-message":
				a.text = clip(h.Value)
			}
		}
		return b.End, nil
	}
	var reply []byte
	switch f.Type {
	case http2.TypeData:
		if f.Stream != id {
			return false, nil
		}
		if a.message = append(a.message, f.Payload...); len(a.message) > probeMost {
			return false, errors.New("the answer to a health check is too long")
		}
		if p.taken += f.Charged; p.taken > http2.DefaultWindow/2 {
			reply = http2.AppendWindow(nil, 0, uint32(p.taken))
			p.taken = 0
		}
		if f.Has(http2.FlagEndStream) {
			return true, nil
		}
	case http2.TypeSettings:
		if !f.Has(http2.FlagAck) {
			reply = http2.AppendSettingsAck(nil)
		}
	case http2.TypePing:
		if !f.Has(http2.FlagAck) {
			reply = http2.AppendPing(nil, [8]byte(f.Payload), true)
		}
	case http2.TypeGoAway:
		if last, _, _ := f.GoAway(); last < id {
			return false, errLeft
		}
	case http2.TypeRSTStream:
		if f.Stream == id {
			return false, fmt.Errorf("the server gave a health check up (%s)", http2.Code(f.Uint32()))
		}
	}
	if reply == nil {
		return false, nil
	}
	_, err := p.nc.Write(reply)
	return false, err
}

// probeMost is the longest answer to a health check, in bytes.
const probeMost = 4 << 10
