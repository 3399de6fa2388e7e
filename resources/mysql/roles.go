package mysql

import (
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
)

// facts are what is known of the server behind an endpoint. Checks and sessions write them, sessions read them on their
// way to a connection.
type facts struct {
	state   atomic.Uint32         // fitUnknown, fitAlive or fitDead
	role    atomic.Uint32         // resources.Role, as the server last said itself
	current atomic.Int64          // it has everything that was committed on its primary until then; 0: not known
	applied atomic.Pointer[gtids] // what it has executed, at least; nil: not known
	about   atomic.Pointer[about]
}

const (
	fitUnknown uint32 = iota // not checked yet
	fitAlive
	fitDead // a check failed, or connecting did: nothing but a check says that it is back
)

// about is how a server introduces itself.
type about struct {
	version string
	caps    mysql.Caps
	charset byte // its default, which clients take that name none
}

// rose notes that the server was checked and may be used.
func (f *facts) rose(role resources.Role) {
	f.role.Store(uint32(role))
	f.state.Store(fitAlive)
}

// fell notes that the server cannot be reached or used. It may be another one, with other data, when it is back.
func (f *facts) fell() {
	f.state.Store(fitDead)
	f.applied.Store(nil)
}

// doubt notes that the server could not be reached, and has it checked. What needs the primary waits for the outcome.
func (p *pool) doubt() {
	known := &p.r.pool(p.ep).known // p may be a check's own
	if known.state.Swap(fitDead) != fitDead && p.r.ctx.Err() == nil {
		p.r.recheck(p.ep.GroupID)
	}
}

// fit reports whether a statement that needs the primary may be sent there as far as the server's own word goes.
func (p *pool) fit() bool {
	return p.known.state.Load() != fitDead && resources.Role(p.known.role.Load()) != resources.RoleReplica
}

// replication is whom a server follows and how well.
type replication struct {
	follows  bool          // somebody
	receives bool          // it is connected to whom it follows
	applies  bool          // what it has received
	behind   time.Duration // its primary; negative: it does not know
	trouble  string        // why it does not
	denied   bool          // the login may not ask
}

// replication asks the server whom it follows. Of several sources the one counts that it is furthest behind.
func (p *probe) replication() (replication, error) {
	r := replication{behind: -1, trouble: "it follows no primary"}
	if p.status == "" {
		return r, nil
	}
	rows, err := p.u.rows(p.status)
	var se *mysql.ServerError
	switch {
	case err == nil:
		p.denied = 0
	case !errors.As(err, &se):
		return r, err
	case se.Code == 1227 || se.Code == 1142 || se.Code == 1044:
		r.denied = true
		p.denied++
		return r, nil
	case p.status == "SHOW REPLICA STATUS": // before MySQL 8.0.22
		p.status = "SHOW SLAVE STATUS"
		return p.replication()
	default:
		p.status = ""
		return r, nil
	}
	for i, row := range rows {
		x := sourceOf(row)
		if i == 0 || r.behind >= 0 && (x.behind < 0 || x.behind > r.behind) {
			r = x
		}
	}
	return r, nil
}

// sourceOf reads one row of the state of replication, in the words of old and of new servers.
func sourceOf(row []field) replication {
	r := replication{follows: true, behind: -1}
	io, why := "", ""
	for _, f := range row {
		switch f.name {
		case "Slave_IO_Running", "Replica_IO_Running":
			io = f.value
			r.receives = strings.EqualFold(io, "Yes")
		case "Slave_SQL_Running", "Replica_SQL_Running":
			r.applies = strings.EqualFold(f.value, "Yes")
		case "Seconds_Behind_Master", "Seconds_Behind_Source":
			if n, err := strconv.ParseUint(f.value, 10, 31); err == nil {
				r.behind = time.Duration(n) * time.Second
			}
		case "Last_SQL_Error", "Last_IO_Error":
			if f.value != "" && why == "" {
				why = ": " + f.value
			}
		}
	}
	switch {
	case !r.applies:
		r.behind, r.trouble = -1, "replication is stopped: it does not apply what it receives"+why
	case !r.receives:
		r.behind, r.trouble = -1, "replication is interrupted: it gets nothing from its primary ("+strings.ToLower(io)+")"+why
	case r.behind < 0:
		r.trouble = "it does not say how far it is behind its primary"
	}
	return r
}

// galera says whether a node of a cluster in which all take writes may be used. It has no role: who of them is written to
// is a matter of the configuration.
func (p *probe) galera(h *resources.Health, v variables) error {
	rows, err := p.u.rows("SHOW GLOBAL STATUS LIKE 'wsrep_%'")
	if err != nil {
		return err
	}
	st := variables{}
	for _, row := range rows {
		if len(row) == 2 {
			st[row[0].value] = row[1].value
		}
	}
	donor := st["wsrep_local_state"] == "2" // or desynchronised: it serves, and lags
	switch {
	case !st.on("wsrep_ready"):
		h.Ready, h.Detail = false, "wsrep_ready is OFF"
	case !strings.EqualFold(st["wsrep_cluster_status"], "Primary"):
		h.Ready, h.Detail = false, "it is cut off from the cluster: wsrep_cluster_status is "+st["wsrep_cluster_status"]
	case st["wsrep_local_state"] != "4" && !donor:
		h.Ready, h.Detail = false, "it is not synchronised: wsrep_local_state is "+st["wsrep_local_state"]
	case donor:
		h.Role, h.Stale, h.Detail = resources.RoleReplica, true, "it is a donor or desynchronised: wsrep_local_state is 2"
	case v.on("read_only"):
		h.Role = resources.RoleReplica
	}
	return nil
}

// writer returns an endpoint of a group whose server says itself that it is the primary, and which the agent takes for one
// too; nil when there is none.
func (r *Resource) writer(group int) *resources.Endpoint {
	for _, ep := range r.rt.Endpoints() {
		if ep.GroupID != group || ep.Gone() || ep.Role() == resources.RoleReplica || ep.Weight() == 0 {
			continue
		}
		if p := r.pool(ep); p.known.state.Load() == fitAlive && p.fit() {
			return ep
		}
	}
	return nil
}

// alive reports whether a server of a group answers, or may.
func (r *Resource) alive(group int) bool {
	for _, ep := range r.rt.Endpoints() {
		if ep.GroupID == group && !ep.Gone() && r.pool(ep).known.state.Load() != fitDead {
			return true
		}
	}
	return false
}

// introduce makes new clients be greeted with what all servers have in common: the oldest version, and the capabilities
// that each of them has. What a server said stays valid while it is away.
func (r *Resource) introduce() {
	r.poolsMu.Lock()
	defer r.poolsMu.Unlock()
	var version string
	var charset byte
	caps := ^mysql.Caps(0)
	for _, p := range *r.pools.Load() {
		if p == nil || p.ep.Gone() {
			continue
		}
		if a := p.known.about.Load(); a != nil {
			caps &= a.caps
			if version == "" || older(a.version, version) {
				version, charset = a.version, a.charset
			}
		}
	}
	if version == "" {
		return
	}
	if now := newServerInfo(version, caps, charset); *now != *r.told.Load() {
		r.told.Store(now)
	}
}

// older compares versions such as 10.11.6-MariaDB; the 5.5.5- that MariaDB puts in front for old replicas is none.
func older(a, b string) bool {
	x, y := numbers(a), numbers(b)
	for i := range x {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return false
}

func numbers(version string) (n [3]int) {
	version = strings.TrimPrefix(version, "5.5.5-")
	version, _, _ = strings.Cut(version, "-")
	for i, part := range strings.SplitN(version, ".", 3) {
		n[i], _ = strconv.Atoi(part)
	}
	return n
}

// field is one column of a row; NULL is empty.
type field struct{ name, value string }

// rows reads the result of a query of the agent's own, which is small.
func (u *upstream) rows(query string) ([][]field, error) {
	all, err := u.capture(query)
	if err != nil {
		return nil, err
	}
	var names []string
	var rows [][]field
	packet := func() []byte {
		n, _ := mysql.Header(all)
		p := all[mysql.HeaderLen : mysql.HeaderLen+n]
		all = all[mysql.HeaderLen+n:]
		return p
	}
	first := packet()
	switch {
	case len(first) == 0 || first[0] == 0:
		return nil, nil
	case first[0] == 0xff:
		se, err := mysql.ParseERR(first, u.caps)
		if err != nil {
			return nil, err
		}
		return nil, se.Clone()
	}
	for range int(first[0]) { // never more than 250 columns
		names = append(names, columnName(packet()))
	}
	if !u.caps.Has(mysql.ClientDeprecateEOF) {
		packet()
	}
	for len(all) > 0 {
		p := packet()
		if len(p) == 0 || p[0] == 0xff || p[0] == 0xfe && len(p) < 9 || p[0] == 0xfe && u.caps.Has(mysql.ClientDeprecateEOF) {
			break
		}
		row := make([]field, 0, len(names))
		for _, name := range names {
			var v []byte
			if v, p = nextText(p); p == nil && len(row) < len(names)-1 {
				break
			}
			row = append(row, field{name, string(v)})
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// nextText takes a value off a row of text; NULL is empty.
func nextText(p []byte) (v, rest []byte) {
	if len(p) > 0 && p[0] == 0xfb {
		return nil, p[1:]
	}
	v, n := mysql.LenencString(p)
	if n <= 0 || n > len(p) {
		return nil, nil
	}
	return v, p[n:]
}

// columnName is the fifth of the texts with which the definition of a column begins.
func columnName(p []byte) string {
	var v []byte
	for range 5 {
		v, p = nextText(p)
	}
	return string(v)
}
