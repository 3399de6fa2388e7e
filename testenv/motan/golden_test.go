package motan

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// update writes the frames of this run to testdata: go test ./testenv/motan -run Golden -update.
var update = flag.Bool("update", false, "write testdata/frames.txt anew")

const goldenFile = "testdata/frames.txt"

const goldenHead = `# Messages of real peers, as a tap between client and server saw them. A line is
#   CLIENT SERVER SERIALIZATION CALL KIND BYTES
# with the peers' names as in the package, "agent" for motan-go's agent, which forwards what a Go client sent, a suffix 1
# for the protocol Motan1, and the whole message in hexadecimal.
# Made by: go test ./testenv/motan -run Golden -update
`

// golden is a line of the file without its bytes.
type golden struct {
	client, server, serialization, call, kind string
}

func (g golden) String() string {
	return strings.Join([]string{g.client, g.server, g.serialization, g.call, g.kind}, " ")
}

// goldenCalls are the calls whose messages are kept.
var goldenCalls = []struct {
	name string
	call Call
}{
	{"no-arguments", Name()},
	{"text", EchoText("Grüße")},
	{"null", Echo(nil)},
	{"long", Echo(int64(-300))},
	{"bytes", Echo([]byte{0, 1, 254})},
	{"texts", Echo([]string{"a", "b"})},
	{"map", Echo(map[string]string{"k": "v"})},
	{"list", Echo([]any{"a", int64(1), 1.5, true})},
	{"three-arguments", Join("a", 7, true)},
	{"exception", Fail("as asked")},
	{"no-method", Call{Method: "nope"}},
	{"gzip", EchoText(strings.Repeat("0123456789", 120))},
}

// What real peers send is what is kept, but for request ids, times and the order of meta data.
func TestGolden(t *testing.T) {
	got, order := map[golden]Frame{}, []golden{}
	keep := func(g golden, f Frame) {
		g.kind = f.Kind()
		if _, ok := got[g]; !ok {
			order = append(order, g)
		}
		got[g] = f
	}
	gzip := map[string]string{"mingzSize": "1000"}
	goServer := Serve(t, Server{Name: "golden", Parameters: gzip})
	javaServer := Serve(t, Server{Peer: Java, Name: "golden", Parameters: gzip})
	java1Server := Serve(t, Server{Peer: Java, Name: "golden", Protocol: Motan1})
	for _, p := range []struct {
		client golden
		server *ServerProcess
		Client
	}{
		{golden{"go", "go", Simple, "", ""}, goServer, Client{Peer: Go, Parameters: gzip}},
		{golden{"go", "go", Breeze, "", ""}, goServer, Client{Peer: Go, Serialization: Breeze}},
		{golden{"go", "go", Protobuf, "", ""}, goServer, Client{Peer: Go, Serialization: Protobuf}},
		{golden{"go", "java", Simple, "", ""}, javaServer, Client{Peer: Go, Parameters: gzip}},
		{golden{"java", "java", Simple, "", ""}, javaServer, Client{Peer: Java, Parameters: gzip}},
		{golden{"java", "java", Hessian2, "", ""}, javaServer, Client{Peer: Java, Serialization: Hessian2}},
		{golden{"java", "java", Breeze, "", ""}, javaServer, Client{Peer: Java, Serialization: Breeze}},
		{golden{"java", "go", Simple, "", ""}, goServer, Client{Peer: Java, Parameters: gzip}},
		{golden{"java1", "java1", Hessian2, "", ""}, java1Server, Client{Peer: Java, Protocol: Motan1}},
		{golden{"php", "go", Simple, "", ""}, goServer, Client{Peer: PHP}},
		{golden{"php", "java", Simple, "", ""}, javaServer, Client{Peer: PHP}},
	} {
		tap := StartTap(t, p.server.Addr)
		p.Registry = Direct(tap.Addr)
		c := Dial(t, p.Client)
		calls(t, p.client, c, tap, p.Parameters != nil, keep)
		if p.Peer != PHP && p.client.serialization == usual(or(p.Client.Protocol, Motan2)) {
			heartbeats(t, p.client, c, tap, keep)
		}
		c.Kill()
	}
	tap := StartTap(t, goServer.Addr)
	agent := StartAgent(t, Agent{Filters: "-", Refers: []Refer{{Registry: Direct(tap.Addr)}}})
	calls(t, golden{"agent", "go", Simple, "", ""}, Dial(t, Client{Registry: Direct(agent.Forward)}), tap, false, keep)
	if t.Failed() {
		return
	}
	if *update {
		writeGolden(t, got, order)
		return
	}
	compareGolden(t, got)
}

// calls makes all calls and keeps their messages. What a client cannot serialize leaves none.
func calls(t *testing.T, g golden, c *ClientProcess, tap *Tap, gzip bool, keep func(golden, Frame)) {
	t.Helper()
	for _, k := range goldenCalls {
		if g.serialization == Protobuf && k.call.Method == "echo" && k.call.Returns == "" {
			continue // it has no types on the wire
		}
		if k.name == "gzip" && !gzip {
			continue
		}
		tap.Take()
		r := c.Do(k.call)
		g.call = k.name
		frames := tap.Take()
		for _, f := range frames {
			if !f.Heartbeat() {
				keep(g, f)
			}
		}
		if len(frames) < 2 && r.Exception == nil {
			t.Errorf("%v: %d messages, result %v", g, len(frames), r.Value)
		}
	}
}

// heartbeats keeps a client waiting until it gives the server up, so that it asks whether the server is there.
func heartbeats(t *testing.T, g golden, c *ClientProcess, tap *Tap, keep func(golden, Frame)) {
	t.Helper()
	late := Sleep(200 * time.Millisecond)
	late.Timeout = 20 * time.Millisecond
	const enough = 10 // failures one after another, to both clients
	for _, r := range c.Multi(slices.Repeat([]Call{late}, enough)...) {
		if r.Exception == nil {
			t.Fatalf("%v: a call with too short a time got %v", g, r.Value)
		}
	}
	g.call = "heartbeat"
	server.Wait(t, 20*time.Second, "heartbeats", func() error {
		seen := map[string]bool{}
		for _, f := range tap.Frames() {
			if f.Heartbeat() {
				seen[f.Kind()] = true
				keep(g, f)
			}
		}
		if len(seen) < 2 {
			return fmt.Errorf("%v: only %v", g, seen)
		}
		return nil
	})
}

func writeGolden(t *testing.T, got map[golden]Frame, order []golden) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(goldenHead)
	for _, g := range order {
		fmt.Fprintf(&b, "%v %x\n", g, got[g].Bytes)
	}
	if err := os.WriteFile(goldenFile, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

func compareGolden(t *testing.T, got map[golden]Frame) {
	t.Helper()
	file, err := os.Open(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		w := strings.Fields(lines.Text())
		if len(w) != 6 {
			t.Fatalf("%s: %.100q has %d words", goldenFile, lines.Text(), len(w))
		}
		g := golden{w[0], w[1], w[2], w[3], w[4]}
		b, err := hex.DecodeString(w[5])
		if err != nil {
			t.Fatalf("%s: %v: %v", goldenFile, g, err)
		}
		f, ok := got[g]
		if !ok {
			t.Errorf("%v is kept and was not seen", g)
			continue
		}
		delete(got, g)
		if want := (Frame{FromServer: f.FromServer, Bytes: b}).shape(); f.shape() != want {
			t.Errorf("%v\ngot  %s\nkept %s", g, f.shape(), want)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	for g := range got {
		t.Errorf("%v was seen and is not kept: go test -update", g)
	}
}

// shape is f without what differs between two runs of the same programs on two machines: request ids, times, the order
// of meta data, how well gzip does, and the stack of a Java exception.
func (f Frame) shape() string {
	if f.Version() == 1 {
		switch f.Kind() {
		case "exception":
			return "motan1 exception"
		case "response", "heartbeat-response": // a process time stands in the midst of serialized Java objects
			return fmt.Sprintf("motan1 %s of %d bytes", f.Kind(), len(f.Bytes))
		}
		b := slices.Clone(f.Bytes)
		clear(b[4:12])                                       // the request id
		clear(b[min(len(b), head1+4):min(len(b), head1+12)]) // the same, in the inner head
		return fmt.Sprintf("motan1 %s %x", f.Kind(), b)
	}
	meta := f.Meta()
	for k := range meta {
		switch k {
		case "M_pt", "M_rid", "requestIdFromClient":
			meta[k] = "*"
		}
	}
	body := f.Body()
	if f.Bytes[2]&0x08 != 0 {
		body = inflated(body)
	}
	return fmt.Sprintf("motan2 head %x meta %v body %x", f.Bytes[:5], meta, body) // maps are printed in order
}

// inflated is what was packed by gzip, as far as it can be unpacked.
func inflated(b []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	out, _ := io.ReadAll(io.LimitReader(r, frameMost)) // what there is
	return out
}
