package grpc

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/counted"
)

// Service is what is called, and Idempotent what settings.idempotent must name.
const (
	Service    = "sluice.testenv.Counter"
	Idempotent = "/" + Service + "/Echo"
)

type client struct {
	cc      *grpc.ClientConn
	timeout time.Duration
	wrong   func(format string, args ...any)
}

// Dial makes a client of an agent or a server, and connects it. It is a counted.Dial.
func Dial(ctx context.Context, addr string, timeout time.Duration, wrong func(string, ...any)) (counted.Caller, error) {
	cc, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(grpc.ConnectParams{
		Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond}, MinConnectTimeout: timeout}))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cc.Connect()
	for s := cc.GetState(); s != connectivity.Ready; s = cc.GetState() {
		if s == connectivity.TransientFailure || !cc.WaitForStateChange(ctx, s) {
			return nil, errors.Join(errors.New("no connection"), cc.Close())
		}
	}
	return &client{cc, timeout, wrong}, nil
}

// Over implements counted.Caller: a channel connects again by itself.
func (c *client) Over() bool { return false }

// Close implements counted.Caller.
func (c *client) Close() { _ = c.cc.Close() } // it has nothing more to say

// Echo implements counted.Caller.
func (c *client) Echo(text string) (string, error) {
	var out wrapperspb.StringValue
	err := c.call("Echo", text, &out)
	return out.Value, err
}

// Count implements counted.Caller.
func (c *client) Count(id string) (int64, error) { return c.number("Count", id) }

// Counted implements counted.Caller.
func (c *client) Counted(id string) (int64, error) { return c.number("Counted", id) }

func (c *client) number(method, id string) (int64, error) {
	var out wrapperspb.Int64Value
	err := c.call(method, id, &out)
	return out.Value, err
}

// call makes one call. The error is a counted.Failure, or counted.ErrWrong.
func (c *client) call(method, text string, out proto.Message) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	var trailer metadata.MD
	err := c.cc.Invoke(ctx, "/"+Service+"/"+method, wrapperspb.String(text), out, grpc.Trailer(&trailer))
	if err == nil {
		return nil
	}
	st := status.Convert(err)
	if strings.HasPrefix(st.Message(), "sluice: ") {
		return counted.Failure(agents(st.Code(), trailer))
	}
	switch {
	case st.Code() == codes.DeadlineExceeded:
		return counted.Failure(load.NoReply)
	case st.Code() == codes.Unavailable && strings.Contains(st.Message(), "error while dialing"),
		st.Code() == codes.Unavailable && strings.Contains(st.Message(), "Error while dialing"):
		return counted.Failure(load.Connect)
	case st.Code() == codes.Unavailable:
		return counted.Failure(load.Closed)
	case st.Code() == codes.Internal: // what grpc-go says of frames and messages that cannot be
		c.wrong("%s of %.100q: %v", method, text, st)
		return counted.ErrWrong
	}
	return counted.Failure(st.Code().String())
}

// agents is the word for an answer of an agent.
func agents(code codes.Code, trailer metadata.MD) string {
	switch code {
	case codes.Unavailable:
		if len(trailer.Get("grpc-retry-pushback-ms")) > 0 {
			return counted.Unknown
		}
		return counted.Unavailable
	case codes.DeadlineExceeded:
		return counted.Timeout
	case codes.ResourceExhausted:
		return counted.Limited
	}
	return code.String()
}
