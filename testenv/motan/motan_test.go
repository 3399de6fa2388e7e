package motan

import (
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// Every client against every server.
func TestDirect(t *testing.T) {
	for _, s := range []*ServerProcess{Serve(t, Server{Peer: Go}), Serve(t, Server{Peer: Java})} {
		for _, peer := range []Peer{Go, Java, PHP} {
			t.Run(string(peer)+" to "+s.Name, func(t *testing.T) {
				c := Dial(t, Client{Peer: peer, Registry: Direct(s.Addr)})
				all(t, c, s.Name, BusinessException)
				timeouts(t, c)
			})
		}
	}
}

// all makes each call. Business exceptions have a type that agents may change.
func all(t *testing.T, c *ClientProcess, name string, business int) {
	t.Helper()
	is(t, c, Name(), name)
	for _, v := range []any{
		nil, "", "text: Grüße", true, byte(200), int16(-2), int32(-1), int64(math.MinInt64), int64(300), float32(1.5), 0.1,
		[]byte{0, 1, 127}, []string{"a", ""}, map[string]string{"k": "v", "": "empty"},
		[]any{"a", int64(1), true, []any{2.5}}, map[any]any{"a": int64(1), int64(2): "b"},
	} {
		is(t, c, Echo(v), asSeenBy(c.Peer, v))
	}
	is(t, c, Join("a", -7, true), "a -7 true")
	pattern(t, c, 0)
	pattern(t, c, 300_000)
	is(t, c, Sleep(time.Millisecond), int64(1))
	attached := Attachments()
	attached.Attachments = map[string]string{"Traced-By": "a b=c;d"}
	if got, ok := c.Must(attached).(map[string]string); !ok || got["Traced-By"] != "a b=c;d" || got["M_g"] != Group && got["group"] != Group {
		t.Errorf("the request arrived with %v", got)
	}
	id := t.Name()
	is(t, c, Counted(id), int64(0))
	is(t, c, Count(id, 0), int64(1))
	is(t, c, Count(id, 0), int64(2))
	is(t, c, Counted(id), int64(2))
	if r := c.Do(Fail("as asked")); r.Exception == nil || r.Exception.Type != business || !strings.HasSuffix(r.Exception.Message, "as asked") {
		t.Errorf("fail: value %v, %v", r.Value, r.Exception)
	}
	if r := c.Do(Call{Method: "nope"}); r.Exception == nil || r.Exception.Type != ServiceException {
		t.Errorf("a method that is not there: value %v, %v", r.Value, r.Exception)
	}
	multi(t, c)
}

// timeouts are the client's own, and leave it in order but for PHP, which takes the late response for the next call's.
func timeouts(t *testing.T, c *ClientProcess) {
	t.Helper()
	late := Sleep(200 * time.Millisecond)
	late.Timeout = 100 * time.Millisecond
	if r := c.Do(late); r.Exception == nil {
		t.Errorf("a call that is too late got %v", r.Value)
	}
	next := c.Do(Sleep(400 * time.Millisecond)) // the late response arrives meanwhile
	switch {
	case c.Peer == PHP && (!next.Stray || next.Value != int64(200)):
		t.Errorf("PHP did not take the late response for the next one: %+v", next)
	case c.Peer != PHP && next.Value != int64(400):
		t.Errorf("after a timeout: %+v", next)
	}
}

func multi(t *testing.T, c *ClientProcess) {
	t.Helper()
	var calls []Call
	for n := range 20 {
		calls = append(calls, Join("multi", int64(n), n%2 == 0))
	}
	calls[7] = Fail("among others")
	for i, r := range c.Multi(calls...) {
		if i == 7 {
			if r.Exception == nil || !strings.HasSuffix(r.Exception.Message, "among others") {
				t.Errorf("call 7 of many: value %v, %v", r.Value, r.Exception)
			}
			continue
		}
		if want := fmt.Sprint("multi ", i, " ", i%2 == 0); r.Value != want {
			t.Errorf("call %d of many: %v, %v, not %q", i, r.Value, r.Exception, want)
		}
	}
}

func is(t *testing.T, c *ClientProcess, call Call, want any) {
	t.Helper()
	r := c.Do(call)
	if r.Exception != nil || r.Stray || !reflect.DeepEqual(r.Value, want) {
		t.Errorf("%s: %s(%v) is %T %v, %v, not %T %v", c.Peer, call.Method, call.Args, r.Value, r.Value, r.Exception, want, want)
	}
}

func pattern(t *testing.T, c *ClientProcess, n int) {
	t.Helper()
	b, ok := c.Must(Bytes(n)).([]byte)
	if !ok || len(b) != n {
		t.Errorf("%s: %d bytes are %d", c.Peer, n, len(b))
	}
	for i := range b {
		if b[i] != byte(i%251) {
			t.Fatalf("%s: byte %d of %d is %d", c.Peer, i, n, b[i])
		}
	}
}

// asSeenBy is what a peer sends for a value, and so gets back: PHP has one kind of integer, of number and of text. (To Java
// a text is UTF-8, so that bytes that PHP sends as a text come back damaged when they are not.)
func asSeenBy(p Peer, v any) any {
	if p != PHP {
		return v
	}
	switch x := v.(type) {
	case byte:
		return int64(x)
	case int16:
		return int64(x)
	case int32:
		return int64(x)
	case float32:
		return float64(x)
	case []byte:
		return string(x)
	}
	return v
}

func TestSerializations(t *testing.T) {
	goServer, javaServer := Serve(t, Server{Peer: Go}), Serve(t, Server{Peer: Java})
	for _, k := range []struct {
		client        Peer
		server        *ServerProcess
		serialization string
	}{
		{Go, goServer, Breeze}, {Go, goServer, Protobuf}, {Go, javaServer, Breeze},
		{Java, javaServer, Breeze}, {Java, javaServer, Hessian2}, {Java, goServer, Breeze},
	} {
		t.Run(string(k.client)+" to "+k.server.Name+" by "+k.serialization, func(t *testing.T) {
			c := Dial(t, Client{Peer: k.client, Registry: Direct(k.server.Addr), Serialization: k.serialization})
			is(t, c, Name(), k.server.Name)
			is(t, c, EchoText("text: Grüße"), "text: Grüße")
			is(t, c, Join("a", -7, true), "a -7 true")
			is(t, c, Sleep(time.Millisecond), int64(1))
			if r := c.Do(Fail("as asked")); r.Exception == nil || r.Exception.Type != BusinessException {
				t.Errorf("fail: value %v, %v", r.Value, r.Exception)
			}
			if k.serialization != Protobuf { // which has neither bytes nor maps in motan-go
				pattern(t, c, 1000)
				m := Echo(map[string]string{"k": "v"})
				m.Returns = "map" // motan-go's breeze makes it a map of any to any otherwise
				is(t, c, m, map[string]string{"k": "v"})
			}
		})
	}
}

// motan-go's own provider, which calls by reflection.
func TestPlain(t *testing.T) {
	s := Serve(t, Server{})
	c := Dial(t, Client{Registry: Direct(s.Addr)})
	is(t, c, Call{Service: Plain, Method: "hello", Args: []any{"you"}}, "hello you")
	is(t, c, Call{Service: Plain, Method: "sum", Args: []any{int64(2), int64(-3)}}, int64(-1))
	is(t, c, Call{Service: Plain, Method: "shout", Args: []any{map[string]string{"a": "b"}}}, map[string]string{"A": "B"})
	if r := c.Do(Call{Service: Plain, Method: "nope"}); r.Exception == nil || r.Exception.Code != 500 {
		t.Errorf("a method that is not there: %+v", r)
	}
	if r := c.Do(Call{Service: "nobody.Serves", Method: "hello"}); r.Exception == nil || r.Exception.Code != 404 {
		t.Errorf("a service that is not there: %+v", r)
	}
	is(t, c, Call{Service: Plain, Method: "ping"}, "pong")
	php := Dial(t, Client{Peer: PHP, Registry: Direct(s.Addr)})
	for _, r := range []Result{
		c.Do(Call{Service: Plain, Method: "panic"}),
		php.Do(Call{Service: Plain, Method: "ping"}), // PHP sends a null, which is one argument too many
	} {
		if r.Exception == nil || r.Exception.Message != "provider call panic" {
			t.Errorf("a method that panics: %+v", r)
		}
	}
}

// A server that is exported with Motan2 takes both protocols, but Motan1 in its own serialization alone; one with Motan1
// takes that alone.
func TestMotan1(t *testing.T) {
	one, two := Serve(t, Server{Peer: Java, Protocol: Motan1}), Serve(t, Server{Peer: Java, Serialization: Hessian2})
	for _, s := range []*ServerProcess{one, two} {
		c := Dial(t, Client{Peer: Java, Protocol: Motan1, Registry: Direct(s.Addr)})
		is(t, c, Name(), s.Name)
		is(t, c, Echo(map[any]any{"a": int64(1)}), map[any]any{"a": int64(1)})
		pattern(t, c, 100_000)
		if r := c.Do(Fail("as asked")); r.Exception == nil || r.Exception.Type != BusinessException {
			t.Errorf("fail: value %v, %v", r.Value, r.Exception)
		}
	}
	if r := Dial(t, Client{Registry: Direct(one.Addr)}).Do(Name()); r.Exception == nil {
		t.Errorf("a server of Motan1 answered Motan2 with %v", r.Value)
	}
	a := StartAgent(t, Agent{Refers: []Refer{{Registry: Direct(one.Addr), Protocol: Motan1}}})
	c := Dial(t, Client{Peer: Java, Protocol: Motan1, Registry: Direct(a.Forward)})
	is(t, c, Name(), one.Name)
}

// A server that comes back on its address is found again; its counts are gone.
func TestRestart(t *testing.T) {
	s := Serve(t, Server{})
	c := Dial(t, Client{Registry: Direct(s.Addr)})
	is(t, c, Count("a", 0), int64(1))
	s.Kill()
	if r := c.Do(Name()); r.Exception == nil {
		t.Errorf("a server that was killed answered %v", r.Value)
	}
	s.Restart()
	server.Wait(t, 10*time.Second, "the client to be back", func() error {
		if r := c.Do(Name()); r.Exception != nil {
			return r.Exception
		}
		return nil
	})
	is(t, c, Counted("a"), int64(0))
}

// A driver that ends fails the test of who waits for it, with the reason.
func TestDriverEnds(t *testing.T) {
	err := server.Run(io.Discard, "ends", func(tb server.TB) {
		c := Dial(tb, Client{Peer: PHP, Registry: Direct("127.0.0.1:1")})
		c.Kill()
		c.Do(Name())
	})
	if err == nil || !strings.Contains(err.Error(), "it has ended: signal: killed") && !strings.Contains(err.Error(), "write to the driver") {
		t.Errorf("the error is %v", err)
	}
}

func TestNoServer(t *testing.T) {
	gone := server.FreeAddr(t)
	for _, p := range []Peer{Go, Java, PHP} {
		if r := Dial(t, Client{Peer: p, Registry: Direct(gone)}).Do(Name()); r.Exception == nil {
			t.Errorf("%s: a server that is not there answered %v", p, r.Value)
		}
	}
}
