package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
	"github.com/sluice-mesh/sluice/resources"
)

// GuestOptions are what calls that come as Motan become.
type GuestOptions struct {
	As        resources.Declared // the service, as one of kind motan2 would be
	Resource  string             // its name, for errors
	Authority string             // by which it is called
	Service   string             // of gRPC, in the paths of its methods; "": M_p
	Errors    bool               // a status of 400 and more is an exception
	Calls     *sync.WaitGroup    // what is under way
}

// translate makes one call, whose time ctx bounds. It answers with a value, for the serialization of the caller, and attachments,
// or with an exception.
type translate func(ctx context.Context, via http.RoundTripper, q *motanCall) (any, motan2.Meta, *motan2.Exception)

// motanCall is a request of a Motan client. Nothing else changes it.
type motanCall struct {
	*motan2.Frame
	desc motan2.Call
	opt  *GuestOptions
}

// NewHTTPGuest returns a service that speaks HTTP, for Motan clients.
func NewHTTPGuest(o GuestOptions, dial Dialer) *resources.Guest {
	return newGuest(&o, webCall, dial, nil)
}

// NewGRPCGuest returns a service that speaks gRPC, for Motan clients.
func NewGRPCGuest(o GuestOptions, dial Dialer) *resources.Guest {
	h2 := new(http.Protocols)
	h2.SetUnencryptedHTTP2(true)
	return newGuest(&o, grpcCall, dial, h2)
}

func newGuest(o *GuestOptions, do translate, dial Dialer, speaks *http.Protocols) *resources.Guest {
	return &resources.Guest{Declared: o.As, Enter: func(client net.Addr) resources.Visit {
		v := &visit{opt: o, do: do}
		v.ctx, v.leave = context.WithCancel(context.Background())
		// In HTTP/1 there are as many connections as calls at once, and some stay for the next ones.
		v.via = &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) { return tie(v.ctx, dial(client)), nil },
			Protocols:   speaks, DisableCompression: true, MaxIdleConnsPerHost: 32, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: maxHead,
		}
		return v
	}}
}

// visit is one Motan client at a service. It implements resources.Visit.
type visit struct {
	opt   *GuestOptions
	do    translate
	via   *http.Transport
	ctx   context.Context
	leave func()
}

// Ask implements resources.Visit: each call has a goroutine, of which the door has at most a thousand for each client.
func (v *visit) Ask(request []byte, answer func([]byte)) (cancel func()) {
	q := &motanCall{Frame: &motan2.Frame{}, opt: v.opt}
	if ok, err := q.Scan(append([]byte(nil), request...), len(request)); !ok || err != nil {
		panic("gateway: a door handed over what is no request")
	}
	q.desc = q.Meta.Call()
	ctx, cancel := v.ctx, func() {}
	if q.desc.Timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(q.desc.Timeout)*time.Millisecond)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	v.opt.Calls.Go(func() {
		defer cancel()
		answer(v.answer(ctx, q))
	})
	return cancel
}

// Close implements resources.Visit.
func (v *visit) Close() {
	v.leave()
	v.via.CloseIdleConnections()
}

// answer makes a call and returns the frame that answers it.
func (v *visit) answer(ctx context.Context, q *motanCall) []byte {
	begin := time.Now()
	value, meta, exception := v.do(ctx, v.via, q)
	if exception == nil {
		var body []byte
		if body, exception = q.write(value); exception == nil {
			meta = motan2.AppendPair(meta, motan2.KeyProcessTime, strconv.FormatInt(time.Since(begin).Milliseconds(), 10))
			return motan2.Append(nil, motan2.Head{ID: q.ID, Type: motan2.TypeResponse, Serialization: q.Serialization}, meta, body)
		}
	}
	return motan2.AppendException(nil, q.Head, *exception)
}

// write returns a value as the body of an answer.
func (q *motanCall) write(v any) ([]byte, *motan2.Exception) {
	codec, err := codecOf(serial.ID(q.Serialization))
	if err != nil {
		return nil, q.unreadable(err)
	}
	switch b := v.(type) { // what serializations have for bytes
	case []byte:
		switch codec.ID() {
		case serial.IDProtobuf:
			v = string(b)
		case serial.IDGRPC:
			v = serial.Proto(b)
		}
	case serial.Proto:
		if id := codec.ID(); id != serial.IDProtobuf && id != serial.IDGRPC {
			v = []byte(b)
		}
	case string:
		if codec.ID() == serial.IDGRPC {
			v = serial.Proto(b)
		}
	}
	body, err := codec.Append(nil, v)
	if err != nil {
		return nil, q.unreadable(err)
	}
	return body, nil
}

// args returns the arguments.
func (q *motanCall) args() ([]any, *motan2.Exception) {
	args, err := decode(q.Frame, q.desc.Desc)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, q.fault(resources.TooLarge, err.Error())
	case err != nil:
		return nil, q.unreadable(err)
	}
	return args, nil
}

// fault is what the gateway itself has to say.
func (q *motanCall) fault(c resources.Code, what string) *motan2.Exception {
	w := wordOf(func(w *word) bool { return w.fault == c })
	return &motan2.Exception{Code: w.code, Type: motan2.Service, Text: own + q.opt.Resource + ": " + what, Unsent: c == resources.Unavailable || c == resources.Draining}
}

// unreadable says that a request cannot be converted, or its answer.
func (q *motanCall) unreadable(err error) *motan2.Exception {
	return &motan2.Exception{Code: motan2.CodeDecode, Type: motan2.Framework, Text: own + q.opt.Resource + ": " + err.Error()}
}

// lost says what became of a call whose answer did not come.
func (q *motanCall) lost(ctx context.Context, err error) *motan2.Exception {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return q.fault(resources.Timeout, "no answer within the time that the caller gave, "+strconv.FormatInt(q.desc.Timeout, 10)+"ms")
	}
	return q.fault(resources.Unknown, "the answer did not come, and the request may have been executed: "+err.Error())
}

// attachments calls f with what a request says besides what Motan itself needs, as fields of HTTP have it: names of Motan's own
// become MOTAN-…, as with motan-go, and others are as they are, without http_ before them.
func (q *motanCall) attachments(f func(name, value string)) {
	for at := 0; ; {
		k, v, next, ok := q.Meta.Next(at)
		if !ok {
			return
		}
		at = next
		name := string(k)
		switch {
		case motanFields[name] != "":
			name = motanFields[name]
		case strings.HasPrefix(name, "M_") || strings.HasPrefix(name, "HTTP_") || dropped[strings.ToLower(name)]:
			continue
		default:
			name = strings.TrimPrefix(name, "http_")
		}
		if len(v) > 0 && !dropped[strings.ToLower(name)] {
			f(name, string(v))
		}
	}
}

// motanFields are what Motan's own metadata is in fields of HTTP, as motan-go has it.
var motanFields = map[string]string{
	motan2.KeyService: "MOTAN-p", motan2.KeyMethod: "MOTAN-m", motan2.KeyMethodDesc: "MOTAN-md", motan2.KeyGroup: "MOTAN-g",
	motan2.KeyVersion: "MOTAN-v", motan2.KeySource: "MOTAN-s", motan2.KeyRequestID: "MOTAN-rid", motan2.KeyTimeout: "MOTAN-tmo",
}

// dropped are fields and metadata that are for one hop, or that say what is said otherwise.
var dropped = map[string]bool{
	"connection": true, "keep-alive": true, "proxy-connection": true, "te": true, "trailer": true, "transfer-encoding": true, "upgrade": true,
	"content-length": true, "expect": true, "host": true,
	"group": true, "version": true, "application": true, "module": true, "clientgroup": true, "remoteip": true, motan2.KeyUnsent: true,
}
