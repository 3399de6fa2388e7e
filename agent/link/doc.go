// Package link is the agent's side of the link to the governance centre: it joins, keeps its certificate fresh, connects and
// reconnects, and carries the messages of protocols/control.
//
// The agent makes one [Link] when its config names centres, and runs it beside everything else. What the messages mean is
// not known here: the agent answers through [Local].
//
//	Run ─> identity: a certificate on disk, else join with the token; renewed at two thirds of its life
//	    ─> a centre, in random order ─> TLS 1.3, POST /v1/link, 101
//	    ─> session   reader   frames ─> updates ─> applier ─> Local.Apply ─> results ─┐
//	                          Ask    ─> a goroutine each ─> Local.Ask ─> answers ─────┤
//	                          Tune, Cancel, Bye                                       v
//	                 writer   Ping, State, Report and Export as they are when it is their time, and what waits
//	    ─> the link ended: again after a random part of 0.2 s, 0.4 s ... 4 s, or as Bye says
//
// # Trust
//
// A join token, `sluice-join.ID.SECRET.HASH`, holds the SHA-256 of the certificate of the mesh's authority. The agent sends
// the token to nobody whose chain does not lead to that very certificate. From then on the authority in center/ca.crt counts.
// A centre is known by the name center.sluice in its certificate and not by its address, so it may be reached by any; the
// agent is known by spiffe://sluice/agent/NAME in its own.
//
//	data/center/agent.key, agent.crt, ca.crt    mode 0600; a new key with each certificate
//	data/center/agent.key.next, ca.crt.next     written before agent.crt is replaced, which is the moment that counts; a start
//	                                            that finds the next key to be the certificate's finishes the renaming
//
// # Invariants
//
//   - Nothing here is on the path of a call, and nothing of the agent waits for a centre: State, Report and Export are made
//     when they are written, so that a centre that is slow gets fewer of them and never old ones. Updates wait for each
//     other in order; when the agent is slow in applying them, or the centre in taking results, the link stops reading.
//   - Each wait has an end: connecting, the handshake, each read (three heartbeats), each frame, each write.
//   - Every Update is answered by one Result, in order, unless the link ends first.
//   - The centre's clock counts, as Welcome and each Pong tell it, and goes on by the monotonic one: for commands, and for when
//     certificates are renewed and hold. Until it is told, it is the one of the last process, or this machine's.
//   - The secret of a token and private keys appear in no log and no error.
//
// # Goroutines and locks
//
// Run owns all goroutines and waits for them: the renewal's, and for each session the reader's, the applier's, the writer's
// and one for each question. Link.mu guards the status and is held for moments; identity.changing serialises joining and
// renewing, network included; identity.mu guards the certificate and is taken within it.
package link
