package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
)

// probe checks one server on a connection that it keeps, beside those of the pool: a login that is broken off counts
// against the host that began it (max_connect_errors), and one for each check would cost more than the check.
type probe struct {
	r  *Resource
	ep *resources.Endpoint
	u  *upstream

	// Of the server that u is connected to.
	variables []string // those of probeVariables that it has
	query     string   // that reads them
	status    string   // how it is asked whom it follows; "": it cannot be asked
	long      bool     // what it has executed is too long to be read
	denied    int      // checks in a row that were not allowed to see that
}

// Probe implements resources.Resource.
func (r *Resource) Probe(ep *resources.Endpoint) resources.Probe { return &probe{r: r, ep: ep} }

// Close implements resources.Probe.
func (p *probe) Close() {
	if p.u != nil {
		p.u.end()
		p.u = nil
	}
}

// Check implements resources.Probe. What it finds is noted for the sessions too, who wait for a primary or a position.
func (p *probe) Check(ctx context.Context) (resources.Health, error) {
	known := &p.r.pool(p.ep).known
	h, err := p.check(ctx, known)
	if err != nil {
		p.Close()
		var se *mysql.ServerError
		if !errors.As(err, &se) {
			known.fell()
			return resources.Health{}, withContext(ctx, err)
		}
		h = resources.Health{Detail: se.Error()}
	}
	if !h.Ready {
		known.fell()
		return h, nil
	}
	known.rose(h.Role)
	if h.Role != resources.RoleReplica {
		p.r.regained(p.ep.GroupID)
	}
	return h, nil
}

func (p *probe) check(ctx context.Context, known *facts) (resources.Health, error) {
	if p.denied >= reconnectAfter {
		p.Close()
	}
	if p.u == nil {
		if err := p.connect(ctx); err != nil {
			return resources.Health{}, err
		}
	}
	stop := context.AfterFunc(ctx, func() { p.u.deadline(past) })
	defer stop()
	var err error
	if p.query == "" {
		err = p.learn(known)
	}
	var rows [][]field
	if err == nil {
		rows, err = p.u.rows(p.query)
	}
	if err == errTooLong && !p.long {
		p.long = true
		p.Close()
		return p.check(ctx, known)
	}
	if err != nil || len(rows) != 1 || len(rows[0]) < len(p.variables) {
		return resources.Health{}, orShort(err)
	}
	if len(p.variables) == 0 {
		return resources.Health{Ready: true, Version: p.u.version}, nil
	}
	v := variables{}
	for i, name := range p.variables {
		v[name] = rows[0][i].value
	}
	h := resources.Health{Ready: true, Version: p.u.version}
	if v.on("wsrep_on") {
		return h, p.galera(&h, v)
	}
	return h, p.role(&h, v, known)
}

func orShort(err error) error {
	if err == nil {
		err = errors.New("a server's answer about itself makes no sense")
	}
	return err
}

// connect logs in. New clients are greeted with what this server and the others have in common.
func (p *probe) connect(ctx context.Context) error {
	pool := &pool{r: p.r, ep: p.ep}
	u, fault := pool.connect(ctx, p.r.class(class{login: p.r.probing, caps: mysql.ClientLongPassword | mysql.ClientLongFlag, charset: 45}), "")
	if fault != nil {
		return fault
	}
	p.u, p.query, p.denied = u, "", 0
	p.status = "SHOW REPLICA STATUS"
	if strings.Contains(u.version, "MariaDB") {
		p.status = "SHOW ALL SLAVES STATUS"
	}
	return nil
}

// probeVariables tell what a server is; none has all of them.
var probeVariables = [...]string{
	"read_only", "super_read_only", "innodb_read_only", "wsrep_on", "log_bin", "gtid_mode", "gtid_slave_pos", gtidExecuted,
}

const gtidExecuted = "gtid_executed" // may be long

// learn finds out which variables the server has, so that checks ask for all of them at once. One that it does not know is
// no error (1193); of a server that knows none nothing but that it answers can be told.
func (p *probe) learn(known *facts) error {
	p.variables = p.variables[:0]
	for _, name := range probeVariables {
		if name == gtidExecuted && (p.long || p.r.set.Causal == causalOff) {
			continue
		}
		_, err := p.u.rows("SELECT @@global." + name)
		var se *mysql.ServerError
		switch {
		case err == nil:
			p.variables = append(p.variables, name)
		case !errors.As(err, &se):
			return err
		}
	}
	p.query = "SELECT 1"
	if len(p.variables) > 0 {
		p.query = "SELECT @@global." + strings.Join(p.variables, ",@@global.")
	}
	known.about.Store(&about{version: p.u.version, caps: p.u.offers, charset: p.u.charset})
	p.r.introduce()
	return nil
}

// variables are values of global variables by name.
type variables map[string]string

func (v variables) on(name string) bool {
	switch strings.ToUpper(v[name]) {
	case "1", "ON":
		return true
	}
	return false
}

// role says what the server is: a replica when it refuses writes, the primary when it takes them and follows nobody. One
// that takes writes and follows another one does not say what it is: it is used as it is declared.
//
// There is no Epoch: sequence numbers of GTIDs grow on both sides when two servers take themselves for the primary, and
// tell which had more to do, not which is right.
func (p *probe) role(h *resources.Health, v variables, known *facts) error {
	h.Role = resources.RolePrimary
	if v.on("read_only") || v.on("super_read_only") || v.on("innodb_read_only") {
		h.Role = resources.RoleReplica
	}
	r, err := p.replication()
	if err != nil {
		return err
	}
	now := clock.Now()
	switch {
	case h.Role == resources.RolePrimary && (r.receives || r.applies):
		h.Role, h.Detail = resources.RoleAny, "it follows another server and takes writes all the same: set read_only=1, or its role in the configuration"
	case h.Role == resources.RolePrimary:
		known.current.Store(now)
	default:
		p.lag(h, r, known, now)
	}
	p.positions(h, v, known)
	if r.denied {
		h.Detail = "how far it is behind is not known: " + p.grant()
	}
	return nil
}

// lag says how far a replica is behind. While it does not say so itself, it is at most as far behind as the time since it
// last did, and what it was then.
func (p *probe) lag(h *resources.Health, r replication, known *facts, now int64) {
	limit := p.r.set.MaxLag.D()
	if r.denied {
		return
	}
	if r.behind >= 0 {
		h.Lag = r.behind
		known.current.Store(now - int64(r.behind))
		if h.Stale = limit > 0 && h.Lag > limit; h.Stale {
			h.Detail = fmt.Sprintf("it is %s behind its primary (settings.max-lag is %s)", h.Lag, limit)
		}
		return
	}
	h.Detail = r.trouble
	since := known.current.Load()
	if since != 0 {
		h.Lag = time.Duration(now - since).Round(time.Second)
	}
	// With no primary in sight it has what there is to read.
	late := limit > 0 && (since == 0 || now-since > int64(limit))
	h.Stale = late && (r.follows && !r.applies || p.r.writer(p.ep.GroupID) != nil)
}

// grant names the right that lets a login see whom a server follows.
func (p *probe) grant() string {
	name := p.r.probing.name
	if strings.Contains(p.u.version, "MariaDB") {
		return "GRANT SLAVE MONITOR ON *.* TO " + name + " (settings.probe)"
	}
	return "GRANT REPLICATION CLIENT ON *.* TO " + name + " (settings.probe)"
}

// reconnectAfter is how many checks a login without the right to see the state of replication is kept: rights that are
// granted meanwhile hold for new logins.
const reconnectAfter = 30

// ask executes a query of the agent's own that gives one value.
func (u *upstream) ask(query string) ([]byte, error) {
	u.out = appendCommand(u.out[:0], mysql.ComQuery, query)
	if err := u.write(u.out); err != nil {
		return nil, err
	}
	return u.scalar()
}

// capture returns the whole reply to a query of the agent's own.
func (u *upstream) capture(query string) ([]byte, error) {
	u.out = appendCommand(u.out[:0], mysql.ComQuery, query)
	if err := u.write(u.out); err != nil {
		return nil, err
	}
	var rep mysql.Reply
	var all []byte
	rep.Start(mysql.ComQuery, u.caps)
	for !rep.Done() {
		n, step, err := rep.Next(u.buffered())
		if err != nil {
			return nil, err
		}
		if step == mysql.NeedMore {
			if err := u.fill(maxWarnings); err != nil {
				return nil, err
			}
			continue
		}
		if len(all)+n > maxWarnings {
			return nil, errTooLong
		}
		all = append(all, u.buffered()[:n]...)
		u.use(n)
	}
	return all, nil
}

// scalar reads a result of one row with one column, and everything up to its end. A NULL is empty.
func (u *upstream) scalar() ([]byte, error) {
	var rep mysql.Reply
	var value []byte
	rep.Start(mysql.ComQuery, u.caps)
	row := 2 // packets before the row: the number of columns, its definition, and maybe an EOF
	if !u.caps.Has(mysql.ClientDeprecateEOF) {
		row++
	}
	for packets := 0; !rep.Done(); packets++ {
		if err := u.need(mysql.HeaderLen, maxWarnings); err != nil {
			return nil, err
		}
		n, _ := mysql.Header(u.buffered())
		if err := u.need(mysql.HeaderLen+n, maxWarnings); err != nil {
			return nil, err
		}
		b := u.buffered()[:mysql.HeaderLen+n]
		n, step, err := rep.Next(b)
		if err != nil {
			return nil, err
		}
		if step == mysql.Terminal && b[mysql.HeaderLen] == 0xff {
			se, err := mysql.ParseERR(b[mysql.HeaderLen:n], u.caps)
			if err != nil {
				return nil, err
			}
			err = se.Clone()
			u.use(n)
			return nil, err
		}
		if step == mysql.Forward && packets == row {
			if v, _ := mysql.LenencString(b[mysql.HeaderLen:]); v != nil {
				value = append([]byte(nil), v...)
			}
		}
		u.use(n)
	}
	return value, nil
}
