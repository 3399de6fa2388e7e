// Command demo shows the mesh at work on one machine with nothing installed: small servers in two groups, yf and tc,
// as if they were two data centres; a governance centre; two agents, each with a small application that calls through it; a
// live table of what the applications see; and five things to try in another terminal.
//
//	make run                  builds what it needs and starts it; Ctrl-C stops it
//	bin/demo kill yf          takes the servers of a group away while the demo runs; also: tc, center, web-1, batch-1
//	bin/demo revive yf        brings them back
//	bin/demo restart web-1    ends an agent in its own time and starts it again
//	bin/demo more             more to type, for each kind of resource
//
//	browser, sluice --> centre (bin/sluice center): what the resources are, who has it, commands
//	                       | links
//	                 +-----+-----+
//	feed-web   --> web-1         |      --> embedded servers of yf
//	feed-batch ---------------> batch-1 --> embedded servers of tc
//	     |
//	live table
//
// The services of Motan are those of a motan-go server (testenv/motan/peer), a process for each group, and the applications
// call them with motan-go as their client. They share an address of the agent, as services do.
//
// kinds.go holds the table of what is shown. Another kind of resource is one more entry: how to start its embedded
// server, how applications call it, and what is worth trying. Everything else here is the same for all of them.
// mesh.go has the agents' files, which say where they listen, and the documents that the centre is given.
//
// # Data
//
// The servers of the two groups hold the same data at the start and know nothing of each other: nothing is copied. Each has
// one value that tells which group it is, which the applications read: that is how the table knows who answered.
//
// # Ports and files
//
// The centre and the first agent get the ports of the documentation (9980; admin 8002, Redis 6380, MySQL 3307, Motan 9981), the second
// agent the next ones; where one is taken the next free one is used and said. What they store goes to ./data, so that the
// commands find the first agent's token without being told, or to a temporary folder if ./data belongs to somebody else or the
// admin port is not the usual one; the lines to type then name it. Either folder is removed at the end.
//
//	data             the first agent
//	data/batch-1     the second
//	data/governance  the centre
//
// # Orders and ends
//
// Orders come over a unix socket in the folder, one at a time (demo.ordering, taken before demo.mu). One that fails is answered
// with why, and the demo goes on; a program that ends without an order ends the demo.
//
// On Ctrl-C the applications stop first, then the agents drain, then the centre ends, then the servers close; a second Ctrl-C
// ends at once, and the kernel ends the programs with their parent.
package main
