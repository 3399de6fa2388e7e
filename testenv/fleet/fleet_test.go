package fleet

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/protocols/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// centre is the least that an agent needs: it sends what it is given and returns the first answer to it.
func centre(t *testing.T, conn net.Conn, frames ...[]byte) (hello control.Hello, result control.Result, err error) {
	r := control.NewReader(conn, control.MaxToCenter)
	next := func(into any) {
		if err != nil {
			return
		}
		var payload []byte
		if _, payload, err = r.Next(); err == nil {
			err = json.Unmarshal(payload, into)
		}
	}
	next(&hello)
	for _, f := range frames {
		if _, writeErr := conn.Write(f); writeErr != nil {
			t.Error(writeErr)
		}
	}
	next(&result)
	return hello, result, err
}

func frame(t *testing.T, kind control.Type, message any) []byte {
	f, err := control.AppendMessage(nil, kind, message, control.MaxToAgent)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAnAgentAnswersForEachPart(t *testing.T) {
	near, far := net.Pipe()
	a := &Agent{Hello: control.Hello{Name: "a", Wants: []string{"good", "bad", "torn"}}, Dial: func(context.Context) (net.Conn, error) { return near, nil }}
	a.Refuse = func(r *control.Resource) (path, why string) {
		if r.Name == "bad" {
			return "kind", "unknown"
		}
		return "", ""
	}
	spec := json.RawMessage(`{"x":1}`)
	ended := make(chan error, 1)
	go func() { ended <- a.Run(t.Context()) }()
	hello, result, err := centre(t, far,
		frame(t, control.TypeWelcome, control.Welcome{Cluster: "k", Heartbeat: int64(time.Minute), Report: int64(time.Minute)}),
		frame(t, control.TypeUpdate, control.Update{Revision: 7, Full: true, Commands: []json.RawMessage{[]byte(`{"id":"g-1","resource":"good"}`)}, Resources: []control.Resource{
			{Name: "good", Hash: control.Hash(spec), Spec: spec}, {Name: "bad", Hash: control.Hash(spec), Spec: spec}, {Name: "torn", Hash: "other", Spec: spec},
		}}))
	if err != nil || hello.Name != "a" || hello.Protocol != control.Version || hello.Boot == "" {
		t.Errorf("%+v, %v", hello, err)
	}
	if len(result.Lines) != 4 || result.Lines[0].Error != "" || result.Lines[1].Path != "kind" || result.Lines[2].Path != "hash" || result.Lines[3].Command != "g-1" {
		t.Errorf("%+v", result)
	}
	if got := a.Resources(); len(got) != 1 || got["good"] != control.Hash(spec) || a.Revision() != 7 || len(a.Commands()) != 1 {
		t.Errorf("it runs %v and %v at %d", got, a.Commands(), a.Revision())
	}
	if _, err := far.Write(frame(t, control.TypeBye, control.Bye{Why: "enough", Fatal: true})); err != nil {
		t.Error(err)
	}
	var bye *ByeError
	if err := <-ended; !errors.As(err, &bye) || !bye.Fatal || bye.Why != "enough" {
		t.Errorf("it ended with %v", err)
	}
}

func TestTheGateWantsACertificateOfItsAuthority(t *testing.T) {
	made, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	text, err := made.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	ca := new(Authority) // as in another process
	if err := ca.UnmarshalText(text); err != nil {
		t.Fatal(err)
	}
	if err := ca.UnmarshalText(text[:len(text)-40]); err == nil {
		t.Error("half an authority was read")
	}
	names := make(chan string, 1)
	gate, err := made.Open(func(_ context.Context, conn net.Conn, name string) error {
		names <- name
		_, err := conn.Write([]byte("x"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	dial, err := ca.Dialer(gate.Addr, "a")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 1)); n != 1 || <-names != "a" {
		t.Errorf("%d bytes, %v", n, err)
	}

	other, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.Agent("a")
	if err != nil {
		t.Fatal(err)
	}
	foreign.RootCAs = made.pool
	for name, config := range map[string]*tls.Config{
		"of another CA": foreign,
		"none":          {RootCAs: made.pool, ServerName: "center.sluice"},
	} {
		if conn, err := DialTLS(gate.Addr, config)(t.Context()); err == nil {
			conn.Close()
			t.Errorf("certificate %s: the link stands", name)
		}
	}
}
