// Package load is the benchmark's load generator: one thread, one epoll set, no allocation per request, every reply
// compared byte for byte with the one that must come. It runs as a process of its own (the benchmark starts itself with
// the first argument "load") so that its CPU time is not mixed with anything else, and with GOMAXPROCS=1 so that on two
// cores it leaves room for the proxy and for Redis.
//
//	parent                                 generator
//	  {"addr":...,"clients":50,...}  --->  connects, writes each key once
//	                                 <---  {"ready":true}
//	  {"do":"run","ms":500}          --->  closed loop: each client sends a pipeline when the last one is answered
//	                                 <---  {"ok":51234,"seconds":0.5,"p99":...}
//	  {"do":"rate","ms":500,"rate":20000}  open loop: pipelines at a fixed rate, latency from when a request was due
//	  (end of input)                 --->  exits
//
// # How a reply is verified
//
// Every client owns its keys and numbers its writes. A value names its client, its key and its number, so that the exact
// bytes of each reply are known when the request is sent: an older value, another key's value, another client's value or
// a reply out of order all differ. Error replies are counted by their first word and are no verified requests. A reply
// that is neither right nor an error ends the run with both texts.
package load
