package motan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/resources"
)

// probe checks one server on a connection that it keeps: a server that is there answers heartbeats. On the same connection it
// asks for the weight that the server says of itself, now and then, where servers know that question.
type probe struct {
	r  *Resource
	ep *resources.Endpoint
	nc net.Conn
	id uint64

	weight int       // as last said; 0: none
	next   time.Time // not before then is it asked for
}

// How often a server is asked for its weight (motan-go and Java ask every 3 s), and one that does not know the question.
const (
	weightEvery = 3 * time.Second
	weightAgain = 5 * time.Minute
)

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
	if p.nc == nil {
		nc, fault := p.r.rt.Dial(ctx, p.ep)
		if fault != nil {
			return resources.Health{}, fault
		}
		p.nc = nc
	}
	if err := p.beat(ctx); err != nil {
		p.Close()
		var late net.Error
		switch {
		case errors.As(err, &late) && late.Timeout():
			err = errors.New("no answer to a heartbeat in time")
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			err = errors.New("the server closed the connection instead of answering a heartbeat")
		}
		return resources.Health{}, err
	}
	if *p.r.set.Weights && !time.Now().Before(p.next) {
		p.weigh(ctx)
	}
	return resources.Health{Ready: true, Weight: p.weight}, nil
}

// weigh asks for the weight. A server that does not answer that has answered a heartbeat, and is well: it is only asked again
// after a while, on another connection.
func (p *probe) weigh(ctx context.Context) {
	p.next = time.Now().Add(weightEvery)
	p.id++
	var f motan2.Frame
	if err := p.ask(ctx, appendMetaRequest(nil, p.id), metaMost, &f); err != nil {
		p.Close()
		p.next = time.Now().Add(weightAgain)
		return
	}
	weight, ok := weightIn(&f)
	if p.weight = weight; !ok {
		p.next = time.Now().Add(weightAgain)
	}
}

// beat sends a heartbeat and reads the answer.
func (p *probe) beat(ctx context.Context) error {
	p.id++
	var f motan2.Frame
	if err := p.ask(ctx, motan2.AppendHeartbeat(nil, p.id, false), probeMost, &f); err != nil {
		return err
	}
	if f.Status != motan2.StatusNormal {
		return fmt.Errorf("the server answered a heartbeat with an exception: %s", f.Meta.Get(motan2.KeyException))
	}
	return nil
}

// ask sends a request of the id p.id and reads the answer, whose metadata and body have at most so many bytes each.
func (p *probe) ask(ctx context.Context, request []byte, most int, f *motan2.Frame) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(resources.DefaultHandshakeTimeout)
	}
	if err := p.nc.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := p.nc.Write(request); err != nil {
		return err
	}
	b := make([]byte, 0, 64)
	for {
		if len(b) > 2*most {
			return errors.New("the answer to a check is too long")
		}
		if cap(b)-len(b) < 32 {
			b = append(make([]byte, 0, 2*cap(b)), b...)
		}
		n, err := p.nc.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err != nil {
			return err
		}
		switch ok, err := f.Scan(b, most); {
		case err != nil:
			return err
		case !ok:
		case f.ID != p.id || f.Type&motan2.TypeResponse == 0 || f.Size != len(b):
			return fmt.Errorf("check %d was answered with frame %d of type %#x", p.id, f.ID, f.Type)
		default:
			return nil
		}
	}
}

// The longest answers, in bytes: to a heartbeat, and of what a server tells.
const (
	probeMost = 4 << 10
	metaMost  = 64 << 10
)
