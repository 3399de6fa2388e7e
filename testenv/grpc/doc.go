// Package grpc starts real peers that speak gRPC, for tests of what stands between them: grpc-go as server and as client of the service
// by which gRPC's implementations test each other.
//
//	s := grpc.Serve(t, grpc.Server{})
//	passed := grpc.CallAll(t, s.Addr, "")
//
// peer/ is a Go module of its own, so that what the test cases need is no part of this one; it is built when a test first
// needs it. h2load, which some tests use, comes with nghttp2; `make deps` installs it.
package grpc
