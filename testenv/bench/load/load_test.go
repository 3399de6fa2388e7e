package load

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Redis of two commands that can be told to lie.
type fake struct {
	addr string
	// lie changes the reply to the n-th GET of the process, counted from 1.
	lie func(n int, reply string) string

	mu   sync.Mutex
	gets int
	data map[string]string
}

func startFake(t *testing.T, lie func(n int, reply string) string) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{addr: l.Addr().String(), lie: lie, data: make(map[string]string)}
	var open sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		open.Wait()
	})
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { f.serve(c) })
		}
	})
	return f
}

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	in, out := bufio.NewReader(c), bufio.NewWriter(c)
	for {
		args, err := readCommand(in)
		if err != nil {
			return
		}
		if _, err := out.WriteString(f.reply(args)); err != nil {
			return
		}
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}

func (f *fake) reply(args []string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if args[0] == "SET" {
		f.data[args[1]] = args[2]
		return "+OK\r\n"
	}
	f.gets++
	v := f.data[args[1]]
	reply := fmt.Sprintf("$%d\r\n%s\r\n", len(v), v)
	if f.lie != nil {
		reply = f.lie(f.gets, reply)
	}
	return reply
}

func readCommand(in *bufio.Reader) ([]string, error) {
	number := func() (int, error) {
		line, err := in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := number()
	if err != nil {
		return nil, err
	}
	var args []string
	for range n {
		size, err := number()
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(in, b); err != nil {
			return nil, err
		}
		args = append(args, string(b[:size]))
	}
	return args, nil
}

// exchange runs a generator with a spec and orders, and returns what it answered.
func exchange(t *testing.T, spec Spec, orders ...Order) []Result {
	t.Helper()
	var in, out strings.Builder
	enc := json.NewEncoder(&in)
	for _, v := range append([]any{spec}, anys(orders)...) {
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	if err := Serve(strings.NewReader(in.String()), &out); err != nil {
		t.Fatalf("Serve: %v", err)
	}
	var results []Result
	for dec := json.NewDecoder(strings.NewReader(out.String())); dec.More(); {
		var r Result
		if err := dec.Decode(&r); err != nil {
			t.Fatal(err)
		}
		results = append(results, r)
	}
	if len(results) != len(orders)+1 || !results[0].Ready {
		t.Fatalf("%d answers to %d orders: %+v", len(results), len(orders), results)
	}
	return results[1:]
}

func anys(orders []Order) (all []any) {
	for _, o := range orders {
		all = append(all, o)
	}
	return all
}

func TestRepliesAreCounted(t *testing.T) {
	f := startFake(t, nil)
	for _, op := range []string{"mixed", "get", "set"} {
		spec := Spec{Addr: f.addr, Clients: 5, Pipeline: 7, Op: op, Size: 64, Prefix: op}
		for i, r := range exchange(t, spec, Order{Do: "run", Ms: 50}, Order{Do: "rate", Ms: 50, Rate: 2000}) {
			if r.Failed != "" || r.Errors != nil || r.OK == 0 || r.OK%7 != 0 || r.P50 <= 0 || r.P99 < r.P50 {
				t.Errorf("%s, order %d: %+v", op, i, r)
			}
		}
	}
}

func TestOpenLoopKeepsItsRate(t *testing.T) {
	f := startFake(t, nil)
	spec := Spec{Addr: f.addr, Clients: 3, Pipeline: 1, Op: "get", Size: 64, Prefix: "k"}
	r := exchange(t, spec, Order{Do: "rate", Ms: 200, Rate: 1000})[0]
	if r.OK != 200 {
		t.Errorf("%d requests in 200 ms at 1000/s", r.OK)
	}
}

// Each lie must be found.
func TestWrongRepliesAreFound(t *testing.T) {
	var last string
	for name, c := range map[string]struct {
		lie  func(n int, reply string) string
		want string
	}{
		"another reply": {func(n int, reply string) string {
			defer func() { last = reply }()
			if n == 50 {
				return last
			}
			return reply
		}, "wrong reply"},
		"one byte": {func(n int, reply string) string {
			if n == 50 {
				return strings.Replace(reply, "n=0", "n=9", 1)
			}
			return reply
		}, "wrong reply"},
		"a null": {func(n int, reply string) string {
			if n == 50 {
				return "$-1\r\n"
			}
			return reply
		}, "wrong reply"},
		"one too many": {func(n int, reply string) string {
			if n == 50 {
				return reply + reply
			}
			return reply
		}, ""},
	} {
		f := startFake(t, c.lie)
		r := exchange(t, Spec{Addr: f.addr, Clients: 2, Pipeline: 4, Op: "mixed", Size: 64, Prefix: "k"}, Order{Do: "run", Ms: 300})[0]
		if r.Failed == "" || !strings.Contains(r.Failed, c.want) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestErrorRepliesAreNotVerified(t *testing.T) {
	f := startFake(t, func(n int, reply string) string {
		if n%2 == 0 {
			return "-UNAVAILABLE sluice: x: nothing reachable\r\n"
		}
		return reply
	})
	r := exchange(t, Spec{Addr: f.addr, Clients: 1, Pipeline: 2, Op: "get", Size: 64, Prefix: "k"}, Order{Do: "run", Ms: 30})[0]
	if r.Failed != "" || r.OK == 0 || int64(r.Errors["UNAVAILABLE"]) != r.OK {
		t.Errorf("%+v", r)
	}
}

func TestBadSpecIsAnswered(t *testing.T) {
	var out strings.Builder
	err := Serve(strings.NewReader(`{"addr":"127.0.0.1:1","clients":1,"pipeline":1,"op":"flush","size":64}`+"\n"), &out)
	if err == nil || !strings.Contains(out.String(), "unknown operation") {
		t.Errorf("error %v, answer %s", err, out.String())
	}
}

func TestHistogramAgainstSorting(t *testing.T) {
	var h histogram
	r := rand.New(rand.NewPCG(1, 2))
	var all []int64
	for range 20000 {
		v := int64(r.ExpFloat64() * float64(int64(1)<<r.IntN(34)))
		all = append(all, v)
		h.add(v)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999} {
		got, want := h.quantile(q), all[int(q*float64(len(all)))]
		if d := float64(got - want); d < 0 || d > 0.016*float64(want)+1 {
			t.Errorf("quantile %v: %d, want %d", q, got, want)
		}
	}
}

func TestClosedLoopAllocatesNothing(t *testing.T) {
	f := startFake(t, nil)
	g, err := open(Spec{Addr: f.addr, Clients: 2, Pipeline: 4, Op: "mixed", Size: 64, Prefix: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	c := g.clients[0]
	reply := []byte("+OK\r\n")
	g.op = opSet
	if n := testing.AllocsPerRun(100, func() {
		c.push(opSet, g.clock())
		c.out = c.out[:0]
		c.have = copy(c.in, reply)
		if err := c.verify(g.count); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a request", n)
	}
}
