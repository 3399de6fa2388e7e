// Package server starts the real programs that tests, the demo and the bench talk to: Redis in all its arrangements,
// MariaDB with replicas, etcd, ZooKeeper, Consul, Graphite, the agent itself, and the proxies it is compared with.
//
//	r := server.Start(t, server.Redis{Replicas: 2})
//	m := server.Start(t, server.MariaDB{Replicas: 2})
//	a := server.Start(t, server.Agent{Config: conf, Vars: map[string]string{"redis": r.Primary.Addr}})
//
// A [Spec] (Redis, MariaDB, Etcd, ZooKeeper, Consul, Agent, Twemproxy, HAProxy, and Program for all else) says what is wanted;
// [Start] returns its handle when it is ready to serve. Everything ends with the test: [TB] is the part of testing.TB
// that is needed, and [Run] supplies one to programs that are no tests.
//
//	Spec.start -> lab (folder, ports, log) -> Process -> Launcher -> program
//	                                          Kill Stop Pause Continue Restart
//
// # Where programs come from
//
// TESTENV=native runs the programs of this machine, which `make deps` installs. TESTENV=docker is reserved for
// containers: [Launcher] is shaped so that `docker run --network host` with the folder mounted can serve it, but no
// kind has such a launcher yet and asking for it fails with that message. Unset, it is native. A missing program
// fails the test and names `make deps`; nothing is skipped.
//
// # Files and ports
//
// All folders are below $TMPDIR/sluice-testenv-UID: run-PID-STARTTIME/N-NAME for each thing started, ports/ with one
// locked file for each port in use, bin/ with what was built, maven/HASH with what Maven built, mariadb-HASH with the
// data that every MariaDB server starts from: making that takes a second, copying it hardly anything. Ports are taken
// from below the range that the kernel uses for outgoing connections, so that a port stays ours while its server is
// down. The log of every process is shown when its test fails.
//
// # Invariants
//
//   - No process outlives its test. The cleanup kills its process group; if the test process is killed, the kernel
//     kills the direct children (Pdeathsig); what still remains is killed by the next test process, which finds it
//     in the run folder of a dead owner.
//   - What a dead owner left is killed only if the start time on record is that of the process: a number may have been
//     given to another one since.
//   - Each child is started and awaited by one goroutine that keeps its OS thread: Pdeathsig is tied to that thread.
//   - Waiting is for a condition and has a deadline; on expiry the test fails with what was waited for and the log.
//
// # Locks
//
// Process.mu guards the running instance. It is never held while waiting for readiness. The only package state is
// the run folder and the results of builds, each made once per process.
package server
