// Package gateway has the tests of calls that come in one protocol and leave in another, with real programs on both sides: curl
// and Go's net/http, motan-go, PHP, a web server and a server of grpc-go.
package gateway
