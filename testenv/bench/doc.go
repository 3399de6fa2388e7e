// Command bench measures what the agent costs, next to twemproxy and HAProxy in TCP mode, in front of the same real Redis,
// and next to HAProxy in front of the same real MariaDB, and of the same HTTP server.
//
//	make bench                           everything, some minutes
//	go run ./testenv/bench -quick        a first impression, under a minute
//	go run ./testenv/bench -only cpu,idle -rounds 12 -out bench.json
//	go run ./testenv/bench -only mysql   all parts of one kind: redis, mysql, motan, http or center
//
// # The figure
//
// The first figure is the proxy's CPU time (user and system, of the whole process) for each verified request. Unlike
// throughput it does not depend on how the kernel shares two cores among generator, proxy and Redis, and it is what a
// proxy beside every application costs its owner. Throughput in a closed loop comes second, latency in an open loop at a
// rate that all targets can carry third.
//
// All targets are up at the same time with their clients connected; one is driven at a time. A round visits them in
// order and then in reverse (A-B-B-A), so that a slow drift of the machine cancels out inside the round. The ratio to the
// peer is taken for each round; what is printed is the geometric mean of the rounds and its 95 % interval (Student's t
// on the logarithms). "direct" is the load generator on Redis without anything between: its CPU column is Redis' own.
//
// # Parts (flag -only)
//
//	cpu      CPU for a request, throughput and latency: GET and SET of 64 bytes, 50 clients, pipelines of 1, 16 and 64
//	filters  the agent with every filter on, next to itself with none
//	allocs   heap allocations of the agent for each call in the steady state
//	idle     memory for each of 10,000 connections that are open and silent
//	big      growth of memory while one value of 512 MB passes in both directions
//	mysql-cpu      CPU for a point select of sysbench and throughput, 8 threads: text and prepared; the peer is HAProxy
//	mysql-latency  what the agent adds to the median of a point select, one client, direct and through it in turn
//	mysql-allocs   heap allocations of the agent for each query in the steady state, text and prepared
//	mysql-idle     memory for each of 10,000 clients that are logged in and silent
//	mysql-big      growth of memory while a result of 1 GiB passes to a client that reads slowly
//	mysql-pool     connections to the server for 1,000 clients with a query a second each
//	http-cpu       CPU for a request that is answered with 1 KiB, 64 connections; the peer is HAProxy in HTTP mode
//	http-allocs    heap allocations of the agent for each request in the steady state
//	fleet          the centre's links with 1,000 simulated agents over TLS: commit to acknowledgement, memory, reconnecting
//	changes        p99 of calls in an open loop while the centre changes their resource ten times a second, to that while it changes another one
//	ui             the centre's pages in Chromium: first view on a slow laptop, and what an update of 500 rows costs
//	micro    the histogram, the limiter and the breaker alone, from their own benchmarks
//
// main.go reads as the table of contents; figures.go holds what must and what should be reached.
package main
