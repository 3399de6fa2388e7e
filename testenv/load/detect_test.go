package load

import (
	"context"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/testenv/load/resp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// liar is a Redis of a few commands that can be made to break each rule.
type liar struct {
	addr string
	wg   sync.WaitGroup

	mu   sync.Mutex
	data map[string]string
	n    int // writes or reads so far, for bugs that strike now and then
	// bug may change the reply of a command, given how the honest server executes it.
	bug  func(l *liar, args []string, honest func() string) string
	swap bool // swap the replies of the first two commands of a batch now and then
}

func startLiar(t *testing.T, bug func(*liar, []string, func() string) string) *liar {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{addr: ln.Addr().String(), data: map[string]string{}, bug: bug}
	l.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			l.wg.Go(func() {
				defer c.Close()
				l.serve(c)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		l.wg.Wait()
	})
	return l
}

func (l *liar) serve(c net.Conn) {
	r := resp.NewReader(c)
	for {
		var replies []string
		for len(replies) == 0 || r.Buffered() > 0 {
			v, err := r.Next()
			if err != nil {
				return
			}
			args := make([]string, len(v.Elem))
			for i := range v.Elem {
				args[i] = string(v.Elem[i].Str)
			}
			replies = append(replies, l.answer(args))
		}
		l.mu.Lock()
		if l.n++; l.swap && len(replies) > 1 && l.n%50 == 0 {
			replies[0], replies[1] = replies[1], replies[0]
		}
		l.mu.Unlock()
		if slices.Contains(replies, "close") {
			return
		}
		if _, err := io.WriteString(c, strings.Join(replies, "")); err != nil {
			return
		}
	}
}

func (l *liar) answer(args []string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	honest := func() string { return l.execute(args) }
	if l.bug == nil {
		return honest()
	}
	return l.bug(l, args, honest)
}

func (l *liar) execute(args []string) string {
	bulk := func(s string) string { return "$" + strconv.Itoa(len(s)) + "\r\n" + s + "\r\n" }
	get := func(k string) string {
		if v, ok := l.data[k]; ok {
			return bulk(v)
		}
		return "$-1\r\n"
	}
	switch k := args[1]; args[0] {
	case "GET":
		return get(k)
	case "MGET":
		s := "*" + strconv.Itoa(len(args)-1) + "\r\n"
		for _, k := range args[1:] {
			s += get(k)
		}
		return s
	case "SET":
		l.data[k] = args[2]
		return "+OK\r\n"
	case "DEL":
		_, ok := l.data[k]
		delete(l.data, k)
		if ok {
			return ":1\r\n"
		}
		return ":0\r\n"
	case "INCR":
		n, _ := strconv.Atoi(l.data[k])
		l.data[k] = strconv.Itoa(n + 1)
		return ":" + l.data[k] + "\r\n"
	case "APPEND":
		l.data[k] += args[2]
		return ":" + strconv.Itoa(len(l.data[k])) + "\r\n"
	case "ECHO":
		return bulk(k)
	}
	return "-ERR unknown command\r\n"
}

// now reports every n-th call.
func (l *liar) now(n int) bool {
	l.n++
	return l.n%n == 0
}

var everything = Mix{Get: 5, Set: 3, Del: 1, Incr: 2, Append: 2, Echo: 1, MGet: 1}

func drive(t *testing.T, l *liar, mix Mix) *Report {
	t.Helper()
	r, err := Run(t.Context(), Config{Address: l.addr, Clients: 4, Pipeline: 8, Requests: 4000, Duration: 10 * time.Second, Mix: mix, Keys: 4,
		Timeout: 2 * time.Second, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestHonestServerPasses(t *testing.T) {
	r := drive(t, startLiar(t, nil), everything)
	r.Check(t, 1)
	if r.OK != 4000 || r.Late != 0 || r.Connections != 4 {
		t.Errorf("%d ok of 4000, %d late, %d connections", r.OK, r.Late, r.Connections)
	}
	if want := int64(4 * 6); r.Verified < want {
		t.Errorf("%d keys verified, want %d at least", r.Verified, want)
	}
}

// TestFindsEachLie breaks one rule at a time and wants exactly its counter to rise.
func TestFindsEachLie(t *testing.T) {
	for name, c := range map[string]struct {
		mix  Mix
		swap bool
		bug  func(*liar, []string, func() string) string
		find func(*Report) int64
	}{
		"another client's value": {Mix{Get: 1, Set: 1}, false, func(l *liar, args []string, honest func() string) string {
			if args[0] == "GET" && l.now(100) {
				for k, v := range l.data {
					if strings.Split(k, ":")[2] != strings.Split(args[1], ":")[2] {
						return "$" + strconv.Itoa(len(v)) + "\r\n" + v + "\r\n"
					}
				}
			}
			return honest()
		}, func(r *Report) int64 { return r.Wrong }},
		"damaged value": {Mix{Get: 1, Set: 1}, false, func(l *liar, args []string, honest func() string) string {
			s := honest()
			if args[0] == "GET" && len(s) > 50 && l.now(100) {
				s = s[:45] + string(s[45]^1) + s[46:]
			}
			return s
		}, func(r *Report) int64 { return r.Wrong }},
		"reply of another type": {everything, false, func(l *liar, _ []string, honest func() string) string {
			s := honest()
			if l.now(100) {
				return "_\r\n"
			}
			return s
		}, func(r *Report) int64 { return r.Wrong }},
		"refused write is executed": {Mix{Get: 1, Set: 1}, false, func(l *liar, args []string, honest func() string) string {
			s := honest()
			if args[0] == "SET" && l.now(50) {
				return "-UNAVAILABLE sluice: x: no endpoint\r\n"
			}
			return s
		}, func(r *Report) int64 { return r.Wrong }},
		"SET acknowledged and not done": {Mix{Get: 1, Set: 1}, false, func(l *liar, args []string, honest func() string) string {
			if args[0] == "SET" && l.now(50) {
				return "+OK\r\n"
			}
			return honest()
		}, func(r *Report) int64 { return r.Lost }},
		"DEL acknowledged and not done": {Mix{Get: 1, Set: 1, Del: 1}, false, func(l *liar, args []string, honest func() string) string {
			if _, ok := l.data[args[1]]; args[0] == "DEL" && ok && l.now(20) {
				return ":1\r\n"
			}
			return honest()
		}, func(r *Report) int64 { return r.Lost }},
		"SET lost at the end only": {Mix{Set: 1}, false, func(l *liar, args []string, honest func() string) string {
			if args[0] == "GET" {
				l.data = map[string]string{}
			}
			return honest()
		}, func(r *Report) int64 { return r.Lost }},
		"INCR acknowledged and not done": {Mix{Incr: 1}, false, func(l *liar, args []string, honest func() string) string {
			if n, _ := strconv.Atoi(l.data[args[1]]); args[0] == "INCR" && l.now(50) {
				return ":" + strconv.Itoa(n+1) + "\r\n"
			}
			return honest()
		}, func(r *Report) int64 { return r.Lost }},
		"APPEND acknowledged and not done": {Mix{Append: 1}, false, func(l *liar, args []string, honest func() string) string {
			if args[0] == "APPEND" && l.now(50) {
				return ":" + strconv.Itoa(len(l.data[args[1]])+len(args[2])) + "\r\n"
			}
			return honest()
		}, func(r *Report) int64 { return r.Lost }},
		"INCR twice": {Mix{Incr: 1}, false, func(l *liar, args []string, honest func() string) string {
			if args[0] == "INCR" && l.now(50) {
				honest()
			}
			return honest()
		}, func(r *Report) int64 { return r.Repeated }},
		"APPEND twice": {Mix{Append: 1}, false, func(l *liar, args []string, honest func() string) string {
			if args[0] == "APPEND" && l.now(50) {
				honest()
			}
			return honest()
		}, func(r *Report) int64 { return r.Repeated }},
		"APPEND twice when the outcome is unknown": {Mix{Append: 1}, false, func(l *liar, args []string, honest func() string) string {
			if args[0] == "APPEND" && l.now(200) {
				honest()
				honest()
				return "-UNKNOWN sluice: x: connection lost\r\n"
			}
			return honest()
		}, func(r *Report) int64 { return r.Repeated }},
		"APPENDs in another order": {Mix{Append: 1}, false, func(l *liar, args []string, honest func() string) string {
			s := honest()
			if v := l.data[args[1]]; args[0] == "APPEND" && len(v) >= 12 && l.now(50) {
				n := len(v)
				l.data[args[1]] = v[:n-12] + v[n-6:] + v[n-12:n-6]
			}
			return s
		}, func(r *Report) int64 { return r.Reordered }},
		"replies swapped": {Mix{Get: 1, Set: 1, Echo: 3}, true, nil, func(r *Report) int64 { return r.Reordered }},
	} {
		t.Run(name, func(t *testing.T) {
			l := startLiar(t, c.bug)
			l.swap = c.swap
			r := drive(t, l, c.mix)
			if c.find(r) == 0 {
				t.Errorf("not found: %v", r)
			}
			if len(r.Violations) == 0 {
				t.Error("nothing is said about it")
			}
			rec := &recorder{}
			if r.Check(rec, 1, "*"); rec.errors == 0 {
				t.Error("Check passes")
			}
		})
	}
}

type recorder struct{ errors int }

func (*recorder) Helper()                 {}
func (*recorder) Logf(string, ...any)     {}
func (r *recorder) Errorf(string, ...any) { r.errors++ }

// TestUnknownOutcomesAreNoLies answers some writes with UNKNOWN or a closed connection, having executed every other one
// of them: an honest server may.
func TestUnknownOutcomesAreNoLies(t *testing.T) {
	for _, answer := range []string{"-UNKNOWN sluice: x: connection lost\r\n", "-TIMEOUT sluice: x: 1 s\r\n", "close"} {
		l := startLiar(t, func(l *liar, args []string, honest func() string) string {
			if !slices.Contains([]string{"SET", "DEL", "INCR", "APPEND"}, args[0]) || !l.now(40) {
				return honest()
			}
			if l.n%80 == 0 {
				honest()
			}
			return answer
		})
		r := drive(t, l, everything)
		word, _, _ := strings.Cut(strings.TrimPrefix(answer, "-"), " ")
		if word == "close" {
			word = Closed
		}
		r.Check(t, 1, word)
		if r.Errors[word] == 0 {
			t.Errorf("no %s: %v", word, r)
		}
	}
}

// TestRefusedWritesAreNotExpected refuses some writes and does not execute them.
func TestRefusedWritesAreNotExpected(t *testing.T) {
	l := startLiar(t, func(l *liar, args []string, honest func() string) string {
		if args[0] != "GET" && l.now(10) {
			return "-LIMITED sluice: x: rule 1\r\n"
		}
		return honest()
	})
	r := drive(t, l, everything)
	r.Check(t, 1, "LIMITED")
	if r.Errors["LIMITED"] == 0 {
		t.Error("nothing was refused")
	}
	rec := &recorder{}
	if r.Check(rec, 1); rec.errors != 1 {
		t.Errorf("Check with no errors allowed fails %d times, want 1", rec.errors)
	}
	rec = &recorder{}
	if r.Check(rec, 1e9, "LIMITED"); rec.errors != 1 {
		t.Errorf("Check with a floor out of reach fails %d times, want 1", rec.errors)
	}
}

// TestLargeValuesDoNotJam asks for more in a batch than sockets hold, of a server that writes replies before it reads on.
func TestLargeValuesDoNotJam(t *testing.T) {
	l := startLiar(t, nil)
	r, err := Run(t.Context(), Config{Address: l.addr, Clients: 2, Pipeline: 1024, Requests: 400, Mix: Mix{Get: 1, Set: 1}, ValueSize: 200 << 10,
		Keys: 2, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if r.Check(t, 1); r.OK != 400 {
		t.Errorf("%d good replies of 400", r.OK)
	}
}

func TestNoServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	l, err := Start(t.Context(), Config{Address: addr, Clients: 2, Duration: time.Minute, VerifyTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for l.Counts().Errors == 0 {
		time.Sleep(time.Millisecond)
	}
	r := l.Stop()
	if r.OK != 0 || r.Errors[Connect] == 0 || r.Unverified != 2*18 || r.LongestGap() == 0 {
		t.Errorf("%v, %d keys unverified", r, r.Unverified)
	}
}

func TestStopEndsALoadThatGetsNoReply(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts: connections open and stay silent
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithCancel(t.Context())
	l, err := Start(ctx, Config{Address: ln.Addr().String(), Requests: 1e9, Timeout: 100 * time.Millisecond, VerifyTimeout: -1})
	if err != nil {
		t.Fatal(err)
	}
	for l.Counts().Errors == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if r := l.Wait(); r.Errors[NoReply] == 0 {
		t.Errorf("no %s: %v", NoReply, r)
	}
}

func TestConfigErrors(t *testing.T) {
	for want, c := range map[string]Config{
		"Address is not set":                     {Duration: 1},
		"neither Duration nor Requests is set":   {Address: "x"},
		"pipeline 2000, 16 keys: want 1 at leas": {Address: "x", Duration: 1, Pipeline: 2000},
	} {
		if _, err := Start(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", c, err, want)
		}
	}
}
