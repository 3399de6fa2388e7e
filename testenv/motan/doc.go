// Package motan starts real peers of the Motan world, for tests of what speaks with them: motan-go 1.2.0 as client, server and
// agent, Motan for Java 1.2.6 as client and server, and a client in PHP that does on the wire what motan-php 1.1.10 does.
//
//	s := motan.Serve(t, motan.Server{Peer: motan.Java})
//	a := motan.StartAgent(t, motan.Agent{Refers: []motan.Refer{{Registry: motan.Direct(s.Addr)}}})
//	c := motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(a.Forward)})
//	v := c.Must(motan.Echo("x"))            // or c.Do, c.Multi, c.Try
//	z := server.Start(t, server.ZooKeeper{}) // for motan.ZooKeeper(z) as a Registry
//	o := motan.OpenConsole(t, z)             // o.Put(group, document): commands in the bytes of Motan's console
//
// All servers serve the same methods, see the constructors of Call, under the names Service, Group and Version. A client
// is a driver that reads lines of JSON with calls and answers with lines of results; [ClientProcess] hides that. A
// [Tap] shows the messages that go between two of them.
//
// # Where they come from
//
// peer/ is a Go module of its own, so that motan-go and all that it needs are no part of this one; it is built when a test
// first needs it. java/ is a Maven project, compiled once into the folder of all test processes; its libraries come from
// Maven's repository into ~/.m2. php/ needs no more than php. `make deps` installs JDK, Maven, PHP and ZooKeeper.
//
// All of them end with the test by SIGKILL, and listen on 127.0.0.1 alone, for which motan-go and Java need some help:
// peer/loopback.go, java/.../LoopbackEndpointFactory.java. A failed test shows their logs.
//
// # Kept messages
//
// testdata/frames.txt has messages of each peer in hexadecimal, for tests of codecs; it says itself how it is read.
// TestGolden compares it with what the peers send today.
//
// # motan-go, as seen here
//
//   - Its flags, extensions and clusters are global and it handles no signal, so it is a program, which is killed.
//   - It takes a request's own timeout (M_tmo, which only our driver sends) between half and double the configured one, so
//     the driver has a cluster for each timeout. A timeout is code 400 of type 1, with the text alone to tell it.
//   - Its clients set M_pp, M_s, M_v; its server adds M_pt, and "host" to what it hands to the service. Both leave out
//     pairs without a value, and their order is random.
//   - The simple serialization of a nil inside of a list or a map fails, with 400 of type 1 in a client and 500 in a server.
//     Breeze makes a map of texts a map of any to any unless the receiver names the type. Protobuf must be told each type.
//   - Its own provider can neither fail with a business exception nor take an argument of any type, and panics when a
//     method without arguments gets one, as PHP sends; a panic is answered with 500, "provider call panic". So the service
//     here has a provider of its own, and the one called by reflection is under the name Plain.
//   - It sends no heartbeat before an endpoint was fused (errorCountThreshold calls failed), and then f1f1 12 08 30.
//   - The agent sets the proxy bit on what it forwards, adds M_rid and host, and x-forwarded-for to responses (forward) or
//     requests (export). A server's response comes back without the bit. With circuitBreaker among its filters a business
//     exception arrives with code 400 and type 1, without it as it was.
//   - It asks servers for their weights (MetaService) in the serialization of the reference, and reads the answer in that; its own
//     servers answer in Breeze, which it cannot read unless the reference has that.
//   - The agent's access log is written before the response.
//   - A service that an agent does not refer to is code 400, one that it does not export 404.
//
// # Java, as seen here
//
//   - motan-core is 1.2.6, on its transport with netty 3: that with netty 4, and the extension with protobuf, are not to
//     be had in this version. Its ZooKeeper client finds no server on JDK 14 or later, so it has that of 3.5.10. Its admin
//     server is off.
//   - Its Consul registry is 1.2.4, of which the jar alone is to be had. It reads a group every half second here (30 s by default),
//     and sets its check within 2 s of being available.
//   - Its registry weibomesh is 1.2.4 as well, the jar alone. It registers in the background, tries three times, does so once, and not again
//     when the agent comes back; what it says it does is in the agent's hands from then on. While heartbeats to the agent fail, its
//     clients call the servers that the registry behind the agent has.
//   - It takes 127.0.0.1 for a mistake when it registers; getLocalHostAddress is overridden. Hessian2 runs on Java 17 with
//     --add-opens.
//   - A server exported with motan2 answers both versions, each in its own, but Motan1 in the server's serialization
//     alone; with motan it answers Motan2 with an exception in Motan1.
//   - It sends M_md (a client with an interface does always, "void" for none), application, module, clientGroup, group and
//     version beside M_p, M_m, M_g, and no M_tmo. Requests and responses have "Content-Length" among their attachments at the
//     receiver, though it is not on the wire.
//   - All that a service throws is code 30001 of type 2, "provider call process error, org err:" and the message. A client
//     that uses call and not asyncCall gets another exception for it, without the code; the driver uses asyncCall.
//   - Two connections to each server, at the first call. Heartbeats only after fusingThreshold failures, f1f1 10 08 08.
//   - A method that is not there is 10101, a service that is not there 404, a timeout 10003, all of type 1.
//   - The breeze serialization of a list of different types fails in the client, with 10001. The simple one leaves nulls
//     out of a list of texts.
//   - zkclient tries to connect once; a session lasts 4 s here at most, whatever a client asks for.
//
// # PHP, as seen here
//
//   - php/client.php says what it has of the original. What it reads with one fread comes from PHP's buffer and one packet
//     more: a header in two packets is misread, meta data in three (Exception "split: ..." here, nonsense in the original).
//     Bodies may come in parts.
//   - After a timeout it takes the late response for that of the next call: Result.Stray.
//   - A call without arguments has a null as body. It sends no M_v, no M_tmo and no M_md, and has no registry.
package motan
