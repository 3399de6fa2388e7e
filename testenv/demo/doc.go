// Command demo shows the agent at work on one machine with nothing installed: embedded servers in two groups, yf and tc,
// as if they were two data centres; an agent in front of them; a small application that calls through the agent; a live
// table of what the application sees; and a list of commands to type in another terminal.
//
//	make run                  builds what it needs and starts it; Ctrl-C stops it
//	bin/demo kill yf          takes the servers of a group away while the demo runs
//	bin/demo revive yf        brings them back
//
//	application --> agent (bin/sluice agent) --> embedded server of yf
//	     |              |                   \--> embedded server of tc
//	  live table     sluice switch, degrade, fault, ...
//
// kinds.go holds the table of what is shown. Another kind of resource is one more entry: how to start its embedded
// server, how an application calls it, and what is worth trying. Everything else here is the same for all of them.
//
// # Data
//
// The servers of the two groups hold the same data at the start and know nothing of each other: nothing is copied. Each has
// one value that tells which group it is, which the application reads: that is how the table knows who answered.
//
// # Ports and files
//
// The agent gets the ports of the documentation (admin 8002, Redis 6380, MySQL 3307); where one is taken the next free one is used
// and said. What the agent stores goes to ./data, so that the commands find its token without being told, or to a
// temporary folder if ./data belongs to somebody else or the admin port is not the usual one; the list of commands then
// starts with what must be exported. Either folder is removed at the end.
//
// # Ends
//
// On Ctrl-C the application stops first, then the agent drains, then the servers close; a second Ctrl-C ends at once.
package main
