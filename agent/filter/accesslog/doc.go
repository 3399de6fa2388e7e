// Package accesslog writes calls as lines, in the chain first, so that it sees what every other filter did.
//
// A line is written for a sample of the calls and for all that were slow or did not end ok:
//
//	time=2026-03-01T10:00:00.125Z resource=feed-cache op=GET class=read text="GET user:17" caller=feed-web user=app
//	client=10.0.0.9:51122 group=yf endpoint=10.0.0.1:6379 outcome=ok latency=1.204ms tries=1 in=31 out=128
//
// (on one line), with fault="..." when the call ended with a fault. The JSON form has the same names and values,
// except that latency is latency_ns, a number. Fields that are empty are left out. The text is the driver's readable
// form of the request, which holds names and keys and no values.
//
// # Flow
//
//	OnCall   keeps the text of the request, which can be read only then
//	OnDone   decides; formats the line straight into the ring of the file's LineWriter
//	         LineWriter's goroutine writes what is in the ring, many lines at once
//
// A call never waits for the file. When the ring is full the line is dropped and counted in
// sluice_dropped_total{what="accesslog"}.
package accesslog
