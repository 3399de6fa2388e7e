package admintest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/resources"
)

// Kind is the driver's kind.
const Kind = "echo"

// Register adds the kind; call it once in a test program, from TestMain.
func Register() { resources.Register(driver{}) }

// Settings are the kind's settings: Greeting is sent to each client first, and Password shows how secrets are handled.
type Settings struct {
	Greeting string           `yaml:"greeting,omitempty" json:"greeting,omitempty" doc:"first line of each connection" reload:"drain"`
	Password resources.Secret `yaml:"password,omitempty" json:"password,omitempty" doc:"not used" reload:"drain"`
}

type driver struct{}

var ops = []resources.OpInfo{
	{Name: "GET", Class: resources.ClassRead, Retry: resources.RetryIdempotent},
	{Name: "SET", Class: resources.ClassWrite},
	{Name: "WAIT", Class: resources.ClassRead},
}

func (driver) Kind() string            { return Kind }
func (driver) Ops() []resources.OpInfo { return ops }
func (driver) Settings(raw func(any) error) (resources.Settings, error) {
	s := &Settings{}
	return s, raw(s)
}
func (driver) SettingsDoc() any { return &Settings{} }

func (driver) Open(s resources.Settings, rt resources.Runtime) (resources.Resource, error) {
	settings := s.(*Settings)
	if settings.Greeting == "refuse" {
		return nil, fmt.Errorf("settings.greeting: the word refuse is for tests of failing drivers")
	}
	return &echo{rt: rt, greeting: settings.Greeting}, nil
}

// echo is an open resource.
type echo struct {
	rt       resources.Runtime
	greeting string
	clients  resources.Clients
}

func (e *echo) Probe(ep *resources.Endpoint) resources.Probe { return probe(ep.Address) }
func (e *echo) Update()                                      {}
func (e *echo) AppendStop(dst []byte, c *resources.Call, s *resources.Stop) []byte {
	switch {
	case s.Fault != nil:
		return fmt.Appendf(dst, "error %s %s\n", strings.ToUpper(s.Fault.Code.String()), s.Fault.Text)
	case s.Empty:
		return append(dst, "empty\n"...)
	}
	return append(append(dst, s.Reply...), '\n')
}

type probe string

func (p probe) Check(context.Context) (resources.Health, error) {
	if strings.HasPrefix(string(p), "down.") {
		return resources.Health{}, fmt.Errorf("%s is down", string(p))
	}
	return resources.Health{Ready: true, Role: resources.RolePrimary, Version: "1"}, nil
}
func (probe) Close() {}

// Serve implements resources.Server: it answers lines until the client leaves or the resource drains.
func (e *echo) Serve(conn net.Conn, s *resources.Session) {
	e.clients.Serve(e.rt, conn, s, func(c *resources.Client) {
		if e.greeting != "" {
			fmt.Fprintln(c, e.greeting)
		}
		in := bufio.NewScanner(c)
		for c.Wait() && in.Scan() {
			c.Busy()
			if _, err := c.Write(e.answer(c.Context, s, in.Text())); err != nil {
				return
			}
			if e.rt.Boundary(s, nil) == resources.Drain {
				return
			}
		}
	})
}

// Shutdown implements resources.Resource.
func (e *echo) Shutdown(ctx context.Context) error { return e.clients.Shutdown(ctx) }

// answer runs a call; life is what one that waits does so for.
func (e *echo) answer(life context.Context, s *resources.Session, line string) []byte {
	name, arg, _ := strings.Cut(line, " ")
	op, _ := e.rt.Ops().Lookup(name)
	info := e.rt.Ops().Info(op)
	c := &resources.Call{Session: s, View: view(line), Op: op, Class: info.Class, Retry: info.Retry, Start: clock.Now(), ReqBytes: int64(len(line) + 1)}
	s.Calls.Add(1)
	s.LastOp.Store(uint32(op))
	if stop := e.rt.Begin(c); stop != nil {
		c.Outcome, c.Fault = stop.Outcome, stop.Fault
		return e.end(c, e.AppendStop(nil, c, stop))
	}
	if c.Delay > 0 {
		time.Sleep(time.Duration(c.Delay))
	}
	ep, fault := e.rt.Route(c)
	if fault != nil {
		c.Outcome, c.Fault = resources.OutcomeOf(fault), fault
		return e.end(c, e.AppendStop(nil, c, &resources.Stop{Fault: fault}))
	}
	if d, err := time.ParseDuration(arg); err == nil && name == "WAIT" {
		clock.Sleep(life, d)
	}
	return e.end(c, fmt.Appendf(nil, "ok %s %s\n", ep.Group, ep.Address))
}

func (e *echo) end(c *resources.Call, answer []byte) []byte {
	c.Now, c.RespBytes = clock.Now(), int64(len(answer))
	e.rt.End(c)
	return answer
}

// view is a request line.
type view string

func (v view) Key(i int) ([]byte, bool) {
	if _, key, ok := strings.Cut(string(v), " "); ok && i == 0 {
		return []byte(key), true
	}
	return nil, false
}
func (v view) AppendText(dst []byte) []byte { return append(dst, v...) }
func (v view) Digest() uint64               { return 0 }
