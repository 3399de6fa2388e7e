package main

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// counter is the service sluice.testenv.Counter, whose messages are google.protobuf.StringValue and Int64Value. Echo answers its text,
// Count how many calls with an id there were, this one among them, and Counted how many there were.
type counter struct {
	mu sync.Mutex
	by map[string]int64
}

func (c *counter) echo(text *wrapperspb.StringValue) any { return text }

func (c *counter) count(id *wrapperspb.StringValue) any   { return c.add(id.Value, 1) }
func (c *counter) counted(id *wrapperspb.StringValue) any { return c.add(id.Value, 0) }

func (c *counter) add(id string, n int64) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		c.by[id] += n
	}
	return wrapperspb.Int64(c.by[id])
}

// register adds the service to a server.
func (c *counter) register(s *grpc.Server) {
	method := func(name string, do func(*wrapperspb.StringValue) any) grpc.MethodDesc {
		return grpc.MethodDesc{MethodName: name, Handler: func(_ any, _ context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			in := new(wrapperspb.StringValue)
			if err := read(in); err != nil {
				return nil, err
			}
			return do(in), nil
		}}
	}
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "sluice.testenv.Counter", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{method("Echo", c.echo), method("Count", c.count), method("Counted", c.counted)}}, c)
}
