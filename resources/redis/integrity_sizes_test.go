package redis

import (
	"bufio"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
)

// M7: sizes and places of cuts around multiples of buffers change nothing (twemproxy #19). Buffers are 16 KiB (a read of
// a connection that is not polled), 32 KiB (from where a string is passed on as it arrives) and 64 KiB (a polled read).

const bufferUnit = 16 << 10

// edges returns the sizes up to 4 x 64 KiB at which a body, or a body with its head and end, is near a multiple of n.
func edges(n int) []int {
	var out []int
	for m := 0; m <= 4*(64<<10); m += n {
		for d := -14; d <= 3; d++ {
			if m+d >= 0 {
				out = append(out, m+d)
			}
		}
	}
	return out
}

// cutsOf returns the places of a message of n bytes at which cutting it in two is of interest: near its ends, and near
// multiples of buffers.
func cutsOf(n int) []int {
	out := []int{1, 2, 3, 4, 5, 8, 9, 10, 11, n - 20, n - 3, n - 2, n - 1}
	for m := bufferUnit; m < n+2; m += bufferUnit {
		out = append(out, m-1, m, m+1)
	}
	return slices.DeleteFunc(out, func(at int) bool { return at <= 0 || at >= n })
}

// pattern returns n bytes that say where they are, so that a lost, doubled or moved byte shows.
func pattern(n int) string {
	var b []byte
	for len(b) < n {
		b = strconv.AppendInt(b, int64(len(b)), 36)
		b = append(b, "\r\n"[len(b)%2])
	}
	return string(b[:n])
}

// chopped is a connection that is not polled and whose reads end where the plan says.
type chopped struct {
	net.Conn
	r    *bufio.Reader
	plan *plan
}

// plan holds the sizes of the next reads.
type plan struct {
	mu    sync.Mutex
	sizes []int
}

func (p *plan) set(sizes []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sizes = sizes
}

// take returns how many of at most n bytes to read now; 0: as many as there are.
func (p *plan) take(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.sizes) == 0 {
		return 0
	}
	k := min(n, p.sizes[0])
	if p.sizes[0] -= k; p.sizes[0] == 0 {
		p.sizes = p.sizes[1:]
	}
	return k
}

func (p *plan) chop(nc net.Conn) net.Conn {
	return &chopped{Conn: nc, r: bufio.NewReaderSize(nc, 16), plan: p}
}

func (c *chopped) Read(b []byte) (int, error) {
	if _, err := c.r.Peek(1); err != nil { // what the plan speaks of has arrived
		return 0, err
	}
	if n := c.plan.take(len(b)); n > 0 {
		return io.ReadFull(c.r, b[:n])
	}
	return c.r.Read(b)
}

// choppedListener makes chopped connections.
type choppedListener struct {
	net.Listener
	plan *plan
}

func (l choppedListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.plan.chop(nc), nil
}

// sizes is a client, an agent and a script, with control over how bytes reach the agent.
type sizes struct {
	t        testing.TB
	up       *script
	c        *wire
	client   *plan // nil: polled, cut by writes alone
	upstream *plan
	values   string // every value is a beginning of it
	echo     int
}

func newSizes(t testing.TB, polled bool) *sizes {
	t.Helper()
	z := &sizes{t: t, up: startScript(t), values: pattern(4*(64<<10) + 16)}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := newFake(t, z.up.addr)
	f.policy.Timeout = resources.Duration(patience)
	if !polled {
		z.client, z.upstream = &plan{}, &plan{}
		ln = choppedListener{ln, z.client}
		f.dialed = z.upstream.chop
	}
	a := startAgentOn(t, f, nil, ln)
	a.res.learnt.Store(true)
	z.c = dial(t, a.addr)
	return z
}

// sizesOf turns places of cuts into sizes of pieces.
func sizesOf(n int, cuts []int) []int {
	var out []int
	for _, part := range pieces(make([]byte, n), slices.Clone(cuts)) {
		out = append(out, len(part))
	}
	return out
}

// canary returns a request whose answer is its own.
func (z *sizes) canary() (text string) {
	z.echo++
	return "canary " + strconv.Itoa(z.echo)
}

// reply sends a string of n bytes through as a reply, cut at the given places, with another reply right behind it.
func (z *sizes) reply(n int, cuts []int) {
	z.t.Helper()
	canary := z.canary()
	z.c.send(append(resp.AppendCommand(nil, "GET", "k"), resp.AppendCommand(nil, "ECHO", canary)...))
	at := z.up.want("GET k", "ECHO "+canary)
	value := bulkReply(z.values[:n])
	z.pass(z.upstream, value+bulkReply(canary), cuts, func(b string) { at.send(b) })
	if got := z.c.reply(); got != value {
		z.t.Fatalf("a reply of %d bytes, cut at %v, came with %d, different from byte %d", len(value), cuts, len(got), firstDiff(got, value))
	}
	if got := z.c.reply(); got != bulkReply(canary) {
		z.t.Fatalf("behind a reply of %d bytes, cut at %v, came %s", len(value), cuts, show(got))
	}
}

// request sends a string of n bytes through as an argument, cut at the given places, with another request right behind.
func (z *sizes) request(n int, cuts []int) {
	z.t.Helper()
	canary := z.canary()
	value := z.values[:n]
	all := append(resp.AppendCommand(nil, "SET", "k", value), resp.AppendCommand(nil, "ECHO", canary)...)
	z.pass(z.client, string(all), cuts, func(b string) { z.c.send([]byte(b)) })
	r := z.up.request()
	if want := "SET k " + value; r.text != want {
		z.t.Fatalf("a value of %d bytes, cut at %v, arrived in %d, different from byte %d", n, cuts, len(r.text)-6, firstDiff(r.text, want)-6)
	}
	r.at.send("+OK\r\n")
	z.up.want("ECHO " + canary).send(bulkReply(canary))
	z.c.expect("+OK\r\n")
	z.c.expect(bulkReply(canary))
}

// pass lets bytes reach the agent in pieces: exactly those, or, when the connection is polled, as they happen to arrive.
func (z *sizes) pass(p *plan, all string, cuts []int, send func(string)) {
	if p != nil {
		p.set(sizesOf(len(all), cuts))
		send(all)
		return
	}
	for _, part := range pieces([]byte(all), slices.Clone(cuts)) {
		send(string(part))
	}
}

func TestIntegrityM7SizesAroundBuffers(t *testing.T) {
	for _, polled := range []bool{false, true} {
		z := newSizes(t, polled)
		for _, n := range edges(bufferUnit) {
			z.reply(n, nil)
			z.request(n, nil)
		}
	}
}

func TestIntegrityM7CutsAroundBuffers(t *testing.T) {
	for _, polled := range []bool{false, true} {
		z := newSizes(t, polled)
		for _, n := range []int{0, 1, bufferUnit - 1, 2*bufferUnit - 10, 2 * bufferUnit, 2*bufferUnit + 1, 4*bufferUnit - 10, 4 * bufferUnit, 8*bufferUnit + 1, 16 * bufferUnit} {
			head := len(strconv.Itoa(n)) + 5
			for _, at := range cutsOf(n + head + 20) {
				z.reply(n, []int{at})
				z.request(n, []int{at})
			}
		}
	}
}

func TestIntegrityM7RandomSizesAndCuts(t *testing.T) {
	for _, polled := range []bool{false, true} {
		z := newSizes(t, polled)
		sizes := edges(bufferUnit)
		rapid.Check(t, func(r *rapid.T) {
			n := rapid.SampledFrom(sizes).Draw(r, "size")
			cuts := rapid.SliceOfN(rapid.SampledFrom(append(cutsOf(n+60), 1)), 0, 6).Draw(r, "cuts")
			z.reply(n, cuts)
			z.request(n, cuts)
		})
	}
}
