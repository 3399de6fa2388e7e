package gateway

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/protocols/http1"
	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
	"github.com/sluice-mesh/sluice/resources"
)

// prefix is what is before a message of gRPC: whether it is compressed, and its length.
const prefix = 5

// maxTimeout is the longest grpc-timeout in milliseconds: it has at most eight digits.
const maxTimeout = 99999999

// lag is how much later than at the resource, which keeps the time of a call itself, that is over here.
const lag = time.Second

// grpcCall makes a unary call of a service that speaks gRPC.
func grpcCall(ctx context.Context, via http.RoundTripper, q *motanCall) (any, motan2.Meta, *motan2.Exception) {
	r, exception := q.grpc(ctx)
	if exception != nil {
		return nil, nil, exception
	}
	trip, done := inTime(ctx, lag)
	defer done()
	r = r.WithContext(trip)
	a, err := via.RoundTrip(r)
	if err != nil {
		return nil, nil, q.lost(ctx, err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(io.LimitReader(a.Body, maxContent+prefix+1))
	if err != nil {
		return nil, nil, q.lost(ctx, err)
	}
	trailer := a.Trailer
	if trailer.Get("Grpc-Status") == "" { // an answer of a status alone
		trailer = a.Header
	}
	status, err := strconv.Atoi(trailer.Get("Grpc-Status"))
	switch {
	case err != nil:
		return nil, nil, q.lost(ctx, fmt.Errorf("it has no status of gRPC, but %s", a.Status))
	case status != 0:
		return nil, nil, q.refusal(status, trailer)
	case len(body) > maxContent+prefix:
		return nil, nil, q.fault(resources.TooLarge, fmt.Sprintf("the answer has more than %d bytes", maxContent))
	}
	message, err := unary(body)
	if err != nil {
		return nil, nil, q.unreadable(err)
	}
	var meta motan2.Meta
	for _, from := range []http.Header{a.Header, a.Trailer} {
		for name, values := range from {
			name = strings.ToLower(name)
			if !dropped[name] && name != "content-type" && !strings.HasPrefix(name, "grpc-") && values[0] != "" {
				meta = motan2.AppendPair(meta, name, values[0])
			}
		}
	}
	return message, meta, nil
}

// unary returns the only message of an answer.
func unary(b []byte) (serial.Proto, error) {
	switch {
	case len(b) < prefix || uint64(len(b)-prefix) < uint64(binary.BigEndian.Uint32(b[1:])):
		return nil, errors.New("the answer is no whole message")
	case b[0] != 0:
		return nil, errors.New("the answer is compressed, which was not asked for")
	case uint64(len(b)-prefix) > uint64(binary.BigEndian.Uint32(b[1:])):
		return nil, errors.New("the answer is a stream of messages, which Motan has no form for")
	}
	return serial.Proto(b[prefix:]), nil
}

// grpc makes a request of gRPC.
func (q *motanCall) grpc(ctx context.Context) (*http.Request, *motan2.Exception) {
	message, exception := q.message()
	if exception != nil {
		return nil, exception
	}
	service := q.opt.Service
	if service == "" {
		service = string(q.desc.Service)
	}
	if len(q.desc.Method) == 0 || bytes.ContainsAny(q.desc.Method, "/ ") {
		return nil, q.unreadable(fmt.Errorf("%.40q is no method of gRPC: write its name alone", q.desc.Method))
	}
	body := binary.BigEndian.AppendUint32(make([]byte, 1, prefix+len(message)), uint32(len(message)))
	target := &url.URL{Scheme: "http", Host: q.opt.Authority, Path: "/" + service + "/" + string(q.desc.Method)}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(append(body, message...)))
	if err != nil {
		return nil, q.unreadable(err)
	}
	q.attachments(func(name, value string) {
		if name = strings.ToLower(name); http1.IsToken(name) && isValue(value) && !strings.HasPrefix(name, "grpc-") && !strings.HasSuffix(name, "-bin") {
			r.Header.Set(name, value)
		}
	})
	r.Header.Set("User-Agent", "")
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("Te", "trailers")
	r.Header.Set("Grpc-Accept-Encoding", "identity")
	if end, ok := ctx.Deadline(); ok {
		r.Header.Set("Grpc-Timeout", strconv.FormatInt(min(max(1, time.Until(end).Milliseconds()), maxTimeout), 10)+"m")
	}
	return r, nil
}

// message returns the only argument, a message: itself in grpc-pb and protobuf, bytes in other serializations.
func (q *motanCall) message() ([]byte, *motan2.Exception) {
	if serial.ID(q.Serialization) == serial.IDProtobuf && len(q.desc.Desc) == 0 {
		q.desc.Desc = []byte(serial.KindProto.String()) // what it can only be
	}
	args, exception := q.args()
	if exception != nil {
		return nil, exception
	}
	if len(args) == 1 {
		switch m := args[0].(type) {
		case serial.Proto:
			return m, nil
		case []byte:
			return m, nil
		case string: // PHP has no other bytes
			return []byte(m), nil
		}
	}
	if len(args) == 0 || len(args) == 1 && args[0] == nil {
		return nil, nil // a message with all fields at their defaults
	}
	return nil, q.unreadable(errors.New("methods of gRPC have one argument, a message: use serialization grpc-pb or protobuf, or send its bytes"))
}

// What agents say in gRPC, by status: see resources/grpc. Only the text tells it from what services say.
var agentStatuses = map[int]resources.Code{4: resources.Timeout, 7: resources.Denied, 8: resources.Limited, 14: resources.Unavailable}

// refusal makes an exception of a status: what the agent itself says is its own fault, UNAVAILABLE and DEADLINE_EXCEEDED are
// failures of the service, and all others are the service's own word.
func (q *motanCall) refusal(status int, trailer http.Header) *motan2.Exception {
	text, err := url.PathUnescape(trailer.Get("Grpc-Message"))
	if err != nil {
		text = trailer.Get("Grpc-Message")
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	if text == "" {
		text = "the service answered with status " + strconv.Itoa(status) + " of gRPC"
	}
	e := &motan2.Exception{Code: status, Type: motan2.Biz, Text: text}
	code, ours := agentStatuses[status]
	switch {
	case strings.HasPrefix(text, own) && status == 12:
		e.Code, e.Type = motan2.CodeNotFound, motan2.Framework
	case strings.HasPrefix(text, own) && ours:
		if trailer.Get("Grpc-Retry-Pushback-Ms") == "-1" {
			code = resources.Unknown
		}
		e = q.fault(code, "")
		e.Text = text
		e.Unsent = false // degraded and the breaker look the same
	case status == 14:
		e.Code, e.Type = motan2.CodeService, motan2.Service
	case status == 4:
		e.Code, e.Type = motan2.CodeTimeout, motan2.Service
	}
	return e
}
