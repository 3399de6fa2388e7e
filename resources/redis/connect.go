package redis

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
)

// errDone closes a connection that is no longer needed.
var errDone = errors.New("no longer needed")

// refused is an error reply during login: the server works, but not for these credentials or this database.
type refused struct{ text string }

func (e *refused) Error() string { return "the server refused the login: " + e.text }

// connect dials ep and logs in. On failure nc is nil; said is then what the server answered, "" when it did not. An
// unfinished login closes the connection: a late reply would answer somebody else's request.
func (r *Resource) connect(ep *resources.Endpoint, a attr, readonly bool) (nc net.Conn, fault *resources.Fault, said string) {
	if r.set.Topology == topologySentinel && ep.Role() == resources.RoleAny {
		// A sentinel of the configuration: it would answer calls itself, as unknown commands.
		return nil, resources.NewFault(resources.Unavailable, resources.FromAgent, r.rt.Name(), "no sentinel has told yet who the primary is"), ""
	}
	ctx, cancel := context.WithTimeout(r.ctx, resources.DefaultHandshakeTimeout)
	defer cancel()
	nc, fault = r.rt.Dial(ctx, ep)
	if fault != nil {
		return nil, fault, ""
	}
	err := handshake(ctx, nc, a, readonly)
	if err == nil || bug.keepsLateLogin(err) {
		r.learn(ep, a)
		return nc, nil, ""
	}
	_ = nc.Close()
	var no *refused
	if errors.As(err, &no) {
		said = no.text
	}
	what := "login at " + ep.Address + " failed: " + err.Error()
	return nil, resources.NewFault(resources.Unavailable, resources.FromUpstream, r.rt.Name(), what), said
}

// handshake brings a fresh connection to the wanted state.
func handshake(ctx context.Context, nc net.Conn, a attr, readonly bool) error {
	var cmds [][]string
	switch {
	case a.resp3 && a.password != "":
		user := a.user
		if user == "" {
			user = "default"
		}
		cmds = append(cmds, []string{"HELLO", "3", "AUTH", user, a.password})
	case a.resp3:
		cmds = append(cmds, []string{"HELLO", "3"})
	case a.password != "" && a.user != "":
		cmds = append(cmds, []string{"AUTH", a.user, a.password})
	case a.password != "":
		cmds = append(cmds, []string{"AUTH", a.password})
	}
	if a.db != 0 {
		cmds = append(cmds, []string{"SELECT", strconv.Itoa(a.db)})
	}
	if readonly {
		cmds = append(cmds, []string{"READONLY"})
	}
	cl := &client{nc: nc}
	for _, c := range cmds {
		v, err := cl.do(ctx, c...)
		if err != nil {
			return err
		}
		if v.Kind == '-' {
			return &refused{v.Str}
		}
	}
	if len(cl.buf) > 0 {
		return errors.New("the server sent more than it was asked for")
	}
	return nil
}

// client speaks to a server outside the data path: logins, probes and topologies.
type client struct {
	nc  net.Conn
	buf []byte // received and not decoded
}

// do sends one command and returns its reply; an error reply is a Value of kind '-'. Pushes are dropped.
func (c *client) do(ctx context.Context, args ...string) (resp.Value, error) {
	if d, ok := ctx.Deadline(); ok {
		_ = c.nc.SetDeadline(d)
		defer func() { _ = c.nc.SetDeadline(time.Time{}) }()
	}
	stop := context.AfterFunc(ctx, func() { _ = c.nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.nc.Write(resp.AppendCommand(nil, args...)); err != nil {
		return resp.Value{}, err
	}
	return c.read()
}

// maxControlReply bounds what is gathered for one control reply; CLUSTER SLOTS of a thousand nodes is 300 KB.
const maxControlReply = 16 << 20

func (c *client) read() (resp.Value, error) {
	chunk := make([]byte, 4<<10)
	for {
		v, n, err := resp.Decode(c.buf)
		if err != nil {
			return v, err
		}
		if n > 0 {
			c.buf = c.buf[n:]
			if v.Kind == '>' {
				continue
			}
			return v, nil
		}
		if len(c.buf) > maxControlReply {
			return v, errors.New("the reply is longer than 16 MiB")
		}
		m, err := c.nc.Read(chunk)
		if err != nil {
			return v, err
		}
		c.buf = append(c.buf, chunk[:m]...)
		if m == len(chunk) && len(chunk) < 64<<10 {
			chunk = make([]byte, 64<<10)
		}
	}
}

// askers is how often logins may be refused the server's commands before nobody asks any more.
const askers = 8

// learn asks the first server that can be reached for its commands, once, and adds those that are not known. A login that
// may not ask leaves it to the next other one: it can be that of a client with few rights.
func (r *Resource) learn(ep *resources.Endpoint, a attr) {
	who := login{a.user, a.password}
	if no := r.denied.Load(); no != nil && *no == who || !r.learnt.CompareAndSwap(false, true) {
		return
	}
	r.work.Add(1)
	go func() {
		defer r.work.Done()
		if err := r.learnFrom(ep, a); err != nil {
			r.rt.Log("info", "the server's commands are not known; those of Redis 7.0 are assumed", "endpoint", ep.Address, "error", err)
			var no *refused
			if errors.As(err, &no) {
				r.denied.Store(&who)
				if r.denials.Add(1) >= askers {
					return
				}
			}
			r.learnt.Store(false)
		}
	}()
}

func (r *Resource) learnFrom(ep *resources.Endpoint, a attr) error {
	ctx, cancel := context.WithTimeout(r.ctx, resources.DefaultHandshakeTimeout)
	defer cancel()
	nc, fault := r.rt.Dial(ctx, ep)
	if fault != nil {
		return fault
	}
	defer func() { _ = nc.Close() }()
	a.db = 0
	if err := handshake(ctx, nc, a, false); err != nil {
		return err
	}
	v, err := (&client{nc: nc}).do(ctx, "COMMAND")
	if err != nil {
		return err
	}
	if v.Kind == '-' {
		return &refused{v.Str}
	}
	known, err := parseKnown(knownCommands)
	if err != nil {
		return err
	}
	have := make(map[string]bool, len(known))
	for _, d := range known {
		have[d.name] = true
	}
	grown := false
	for _, d := range describe(v) {
		if !have[d.name] {
			known = append(known, d)
			grown = true
		}
	}
	if grown {
		r.table.Store(newTable(known, r.intern))
		r.rt.OpsChanged()
	}
	return nil
}
