// Package motan1 finds, checks and writes the frames of Motan's first protocol: bytes in, bytes out. It has no sockets, no
// clocks and no state. Scanning allocates nothing; nothing is decompressed or deserialised.
//
//	bytes ──> Scan: a frame's end, id, version, kind ──> SetID ──> the same bytes, another id
//	              ├──> Request.Parse: names, arguments, attachments where they lie
//	              └──> Response.Parse: time, class, value
//	AppendHeartbeatReply, AppendException, AppendValue, AppendVoid ──> frame
//
// # Frames
//
// Two headers of 16 bytes, all numbers big endian. The transport's: f1f1, 00, type (0 a request, 1 a response), id of eight
// bytes, length of four, which counts the second header. The codec's: f0f0, [Version], [Kind], id, length of the body. The
// version of Motan2 stands in the upper five bits of the fourth byte, where the type is here: that tells the two protocols
// apart, since they begin alike.
//
// # Bodies
//
// A body is what Java's ObjectOutputStream makes of a few writes. It begins with aced 0005. Numbers and strings go into
// blocks of data, 77 and a length of one byte or 7a and one of four; all but the last of a run have 1024 bytes, so that a
// string may be cut by a block's header. Strings have a length of two bytes and are in Java's modified UTF-8, see
// [AppendUTF8]. Arguments and values are byte arrays that another serialization wrote, Hessian unless configured otherwise:
// 70 for null, else 75, the class of byte[], which is described in full (72...) the first time and referred to later
// (71 007e0000), a length of four bytes, and the bytes.
//
//	request:   data (interface, method, descriptor of parameters), an array for each argument, data (count of
//	           attachments, 4 bytes, key and value of each); without arguments all is one run of data
//	response:  data (milliseconds, 8 bytes; class of the value), the value
//	void:      data (milliseconds)
//	exception: as a response
//
// # Compressed frames
//
// In version 2 the names of a request may be replaced by the string "1" and a signature, a hash of them that both sides
// know: they are not on the wire, and nobody without the table can tell them. Attachments too may be replaced by a
// signature, which attachments negotiate. Counts of attachments have two bytes, a response with a value (kind 07) has
// attachments at its end, and the whole body may be gzip, which is then all that Parse says about it. Java sends no such
// frames unless told to, but a server of its default configuration takes them and answers each caller in its own version.
//
// # What is refused
//
// Types, versions, kinds and tokens that are not in this description, ids and lengths that differ between the headers,
// strings, arrays and counts that go beyond what they are in, references to anything but the class of byte[], and bytes
// behind the end. A frame that Parse refuses is whole, and its id is known: it can be answered with AppendException.
//
// # Invariants
//
//   - Split at any byte gives the same result: Scan of a part says that there is more to come, or what it says of the
//     whole.
//   - What Parse returns are parts of the frame, or, for what blocks cut, of a buffer of its own that the next Parse
//     overwrites.
//   - What the Append functions write Scan and Parse read; they leave dst as it was if they fail.
//
// A Request or Response belongs to one goroutine.
//
// Sources: DefaultRpcCodec, CompressRpcCodec and NettyDecoder of Motan 1.2.6; the protocol of Java's object serialization
// (docs.oracle.com/javase/8/docs/platform/serialization/spec/protocol.html); Hessian 2 (hessian.caucho.com/doc) for
// exceptions. The frames in testdata are from Motan 1.2.6.
package motan1
