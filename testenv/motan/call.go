package motan

import (
	"fmt"
	"time"
)

// Names of what the servers serve, unless told otherwise.
const (
	Service = "sluice.testenv.PeerService"      // see the constructors of calls below
	Plain   = "sluice.testenv.PeerServicePlain" // of motan-go alone: Hello, Sum, Shout, Ping, Panic
	Group   = "testenv"
	Version = "1.0"
)

// Call is one request. Args, and values in Result, are of these Go types: nil, string, bool, byte, int16, int32, int64,
// float32, float64, []byte, []string, map[string]string, []any, map[any]any, Proto.
type Call struct {
	Method      string
	Args        []any
	Attachments map[string]string
	Timeout     time.Duration // of the client, whole milliseconds; default 3 s; PHP's is 2 s when this is 0
	Service     string        // default Service
	Group       string        // default Group; "-" for none
	Version     string        // default Version; PHP sends none
	// Returns names the type of the result for serializations that do not have it on the wire, which is protobuf: "string",
	// "int64", "bytes". Empty is right for the others.
	Returns string
}

// Result is what became of a Call: a value, or an exception.
type Result struct {
	Value       any
	Attachments map[string]string // of the response, where the client library shows them
	Exception   *Exception
	Stray       bool // of PHP alone: the response belongs to another request, which PHP does not notice
}

// Exception is a call's failure, as the server or an agent reported it or as the client itself found it.
type Exception struct {
	Code    int    `json:"code"`    // errcode
	Type    int    `json:"type"`    // errtype: 0 framework, 1 service, 2 business; -1: the client has no code for it
	Message string `json:"message"` // errmsg
}

func (e *Exception) Error() string {
	return fmt.Sprintf("exception %d of type %d: %s", e.Code, e.Type, e.Message)
}

// Types of exceptions.
const (
	FrameworkException = 0
	ServiceException   = 1
	BusinessException  = 2
	ClientException    = -1
)

// Name asks a server for its name.
func Name() Call { return Call{Method: "name", Returns: "string"} }

// Echo sends any value and gets it back.
func Echo(v any) Call { return Call{Method: "echo", Args: []any{v}} }

// EchoText is Echo of a text, also in serializations whose receiver must know the type.
func EchoText(s string) Call {
	return Call{Method: "echo", Args: []any{s}, Returns: "string", Attachments: map[string]string{"type": "string"}}
}

// Join has three arguments of different types; the result is the text "s n b".
func Join(s string, n int64, b bool) Call {
	return Call{Method: "join", Args: []any{s, n, b}, Returns: "string"}
}

// Attachments gets the attachments with which the request arrived at the server, as a map[string]string.
func Attachments() Call { return Call{Method: "attachments", Returns: "map"} }

// Bytes gets n bytes, of which number i is i%251; at most 16 MiB.
func Bytes(n int) Call { return Call{Method: "bytes", Args: []any{int64(n)}, Returns: "bytes"} }

// Sleep gets d in milliseconds as an int64, after that time.
func Sleep(d time.Duration) Call {
	return Call{Method: "sleep", Args: []any{d.Milliseconds()}, Returns: "int64"}
}

// Fail gets a business exception: code 30001, type 2, and a message that ends with the given one.
func Fail(message string) Call {
	return Call{Method: "fail", Args: []any{message}, Returns: "string"}
}

// Count is counted under id as soon as it arrives, and after d gets an int64, how many calls of this id the server had so
// far: what was sent twice is seen.
func Count(id string, d time.Duration) Call {
	return Call{Method: "count", Args: []any{id, d.Milliseconds()}, Returns: "int64"}
}

// Counted gets how many calls of Count with this id the server had, as an int64.
func Counted(id string) Call {
	return Call{Method: "counted", Args: []any{id}, Returns: "int64"}
}
