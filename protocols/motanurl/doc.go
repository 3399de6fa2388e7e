// Package motanurl reads and writes the URLs by which the Motan world describes nodes in its registries:
//
//	motan2://10.0.0.1:8002/com.example.Feed?group=feed-yf&nodeType=service&version=1.0
//
// It is bytes in, bytes out: no sockets, no clocks, no locks. The discovery sources of the agent use it for what lies under a
// node of ZooKeeper or in a tag of Consul.
//
// # Two dialects
//
// Java's Motan percent-encodes each name and value as HTML forms do (a space is +) and ends the text with &. motan-go writes
// names and values as they are, and when it reads it cuts at every / ? & and =, without decoding anything.
//
//	Java       motan2://h:1/p?group=g&filter=a%2Cb&
//	motan-go   motan2://h:1/p?group=g&filter=a,b
//
// [Parse] reads both, and decides by that last & whether a + was a space: nothing else tells the two apart. Percent signs are
// decoded where two hexadecimal digits follow, and stay otherwise.
//
// [URL.Append] writes what both read alike: the order is fixed, group first, and only bytes are encoded that would end the
// value too soon or that Java's decoder changes: % + & = ? #, spaces and control bytes. Java reads every value back as it was;
// motan-go reads a value that has one of those bytes in its encoded form. There is no way to write such a value for it.
//
// # Java strings
//
// Of Java's two ZooKeeper registries the older one writes text as a serialised java.lang.String. [Text] reads both forms.
//
// # What neither peer reads
//
// IPv6 addresses, which Append writes in brackets: both peers cut the host at its first colon. Paths with a slash: motan-go
// keeps what is before it.
package motanurl
