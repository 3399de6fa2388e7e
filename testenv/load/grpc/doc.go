// Package grpc makes the calls of package counted to services of gRPC, with grpc-go. The servers are those of testenv/grpc, which
// serve [Service].
//
// A client is a channel with one connection, which it makes again by itself, and no call is repeated but those that grpc-go itself
// repeats, because the server did not begin them. Errors are the words of package counted for what agents say, which begins
// with "sluice:", and the names of codes for what servers say ("Internal").
package grpc
