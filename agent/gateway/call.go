package gateway

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
	"github.com/sluice-mesh/sluice/resources"
)

// The fields of HTTP that stand for metadata of Motan. motan-go's agent has the same ones the other way round.
const (
	fieldDesc    = "Motan-Md"  // M_md, the parameters' types, which the arguments are made of
	fieldSource  = "Motan-S"   // M_s, the calling application
	fieldTimeout = "Motan-Tmo" // M_tmo, ms
	fieldVersion = "Motan-V"   // M_v
)

// request is a call that came as HTTP, as metadata and body of Motan.
type request struct {
	meta motan2.Meta
	body []byte
}

// read makes a request of Motan of one of HTTP, or says why not.
func (h *HTTP) read(w http.ResponseWriter, r *http.Request) (*request, *reply) {
	method := strings.Trim(r.URL.Path, "/")
	method = strings.TrimPrefix(method, h.opt.Service+"/")
	switch {
	case method == "" || strings.ContainsAny(method, "/\n\r\x00") || len(method) > 512:
		return nil, refused(404, "", "the path names no method: write /METHOD or /"+h.opt.Service+"/METHOD", h.opt.Resource)
	case r.Method != http.MethodPost && r.Method != http.MethodGet:
		w.Header().Set("Allow", "GET, POST")
		return nil, refused(405, "", "methods are called by POST, or by GET with a query", h.opt.Resource)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.opt.MaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, refused(413, resources.TooLarge.String(), fmt.Sprintf("the body of a request has at most %d bytes here", large.Limit), h.opt.Resource)
	case err != nil:
		return nil, refused(400, "", "the body did not come whole: "+err.Error(), h.opt.Resource)
	}
	desc := r.Header.Get(fieldDesc)
	args, err := arguments(r.Header.Get("Content-Type"), r.URL.RawQuery, body, serial.ParseKinds(desc))
	if err != nil {
		return nil, refused(400, "", err.Error(), h.opt.Resource)
	}
	if h.id == serial.IDGRPC && len(args) == 0 {
		args = []any{serial.Proto{}}
	}
	q := &request{}
	if q.body, err = h.codec.Append(nil, args...); err != nil {
		return nil, refused(400, "", err.Error(), h.opt.Resource)
	}
	q.meta = motan2.AppendPair(q.meta, motan2.KeyService, h.opt.Service)
	q.meta = motan2.AppendPair(q.meta, motan2.KeyMethod, method)
	version := h.opt.Version
	if version == "" {
		if version = r.Header.Get(fieldVersion); version == "" {
			version = "1.0" // Motan's own default
		}
	}
	for _, p := range []struct{ key, value string }{
		{motan2.KeyVersion, version}, {motan2.KeyMethodDesc, desc}, {motan2.KeySource, r.Header.Get(fieldSource)}, {motan2.KeyTimeout, r.Header.Get(fieldTimeout)},
		{motan2.KeyTrace, r.Header.Get(resources.TraceParent)}, {motan2.KeyHash, r.Header.Get(motan2.KeyHash)},
	} {
		if p.value != "" { // fields have no line feeds
			q.meta = motan2.AppendPair(q.meta, p.key, p.value)
		}
	}
	return q, nil
}

// link is a connection to the resource that one call at a time uses.
type link struct {
	nc   net.Conn
	in   *bufio.Reader
	last uint64 // request id
	out  []byte
}

// call makes a call. When ctx ends first the connection does as well, which cancels the call.
func (c *caller) call(ctx context.Context, q *request) (*motan2.Frame, error) {
	for {
		if c.link == nil {
			nc := c.h.dial(c.addr)
			c.link = &link{nc: nc, in: bufio.NewReaderSize(nc, 4<<10)}
		}
		l := c.link
		fresh := l.last == 0
		cut := context.AfterFunc(ctx, func() { l.nc.Close() })
		f, err := l.call(motan2.Head{Serialization: byte(c.h.id)}, q)
		if !cut() || err != nil {
			l.nc.Close()
			c.link = nil
		}
		if errors.Is(err, errUnsent) && !fresh && ctx.Err() == nil {
			continue // the door had closed it: it was silent for too long
		}
		return f, err
	}
}

// errUnsent says that no byte of a request was taken.
var errUnsent = errors.New("it was closed before the request")

// hangUp ends what the client has at the resource.
func (c *caller) hangUp() {
	if l := c.link; l != nil {
		l.nc.Close()
	}
}

func (l *link) call(h motan2.Head, q *request) (*motan2.Frame, error) {
	l.last++
	h.ID = l.last
	l.out = motan2.Append(l.out[:0], h, q.meta, q.body)
	n, err := l.nc.Write(l.out)
	if cap(l.out) > 64<<10 {
		l.out = nil
	}
	switch {
	case err != nil && n == 0:
		return nil, errUnsent
	case err != nil:
		return nil, fmt.Errorf("the connection to the service ended: %w", err)
	}
	f, err := readFrame(l.in)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the connection to the service ended: %w", err)
	case f.ID != h.ID || f.Type&motan2.TypeResponse == 0:
		return nil, errors.New("an answer came that is to no request")
	}
	return f, nil
}

// readFrame reads a frame of at most maxFrame bytes. It takes memory as bytes come and not as they are declared.
func readFrame(in *bufio.Reader) (*motan2.Frame, error) {
	buf := make([]byte, 0, 512)
	f := &motan2.Frame{}
	for {
		ok, err := f.Scan(buf, maxFrame)
		if ok {
			return f, nil
		}
		if err != nil {
			return nil, err
		}
		want := missing(buf, f.Size)
		for want > 0 {
			n := min(want, 64<<10)
			at := len(buf)
			buf = append(buf, make([]byte, n)...)
			if _, err := io.ReadFull(in, buf[at:]); err != nil {
				return nil, err
			}
			want -= n
		}
	}
}

// maxFrame is the longest metadata and body that the resource may pass on, which bounds both by its own settings.
const maxFrame = 256 << 20

// missing returns how many bytes must be read before more is known of a frame of which b is the beginning: size is how long it is,
// 0 when that is not known. It is at least 1.
func missing(b []byte, size int) int {
	const meta = motan2.MinFrame - 4 // where metadata begins
	switch {
	case size > 0:
		return size - len(b)
	case len(b) < meta:
		return meta - len(b)
	}
	return meta + int(binary.BigEndian.Uint32(b[meta-4:])) + 4 - len(b)
}

// answer makes an answer of HTTP of one of Motan.
func (h *HTTP) answer(f *motan2.Frame) *reply {
	out := &reply{status: 200, time: clean(f.Meta.Get(motan2.KeyProcessTime))}
	if f.Status != motan2.StatusNormal || f.Meta.Get(motan2.KeyException) != nil {
		e := exceptionOf(f.Meta)
		out.status, out.fault = e.status(f.Meta.Get(motan2.KeyUnsent) != nil)
		out.body = e.problem()
		return out
	}
	body, err := inflated(f)
	var v any
	if err == nil {
		var codec serial.Codec
		if codec, err = codecOf(serial.ID(f.Serialization)); err == nil {
			v, err = serial.DecodeOne(codec, body, serial.KindAny)
		}
	}
	if err == nil {
		out.body, err = serial.AppendPlainJSON(nil, v)
	}
	if err != nil {
		return refused(502, "", "the service answered what cannot be written as JSON: "+err.Error(), h.opt.Resource)
	}
	out.body = append(out.body, '\n')
	return out
}

// clean returns a number as it is; "" for what is none.
func clean(v []byte) string {
	if _, err := strconv.ParseUint(string(v), 10, 63); err != nil {
		return ""
	}
	return string(v)
}
