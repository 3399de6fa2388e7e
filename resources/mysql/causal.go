package mysql

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
)

// Causal reads: a read on a replica sees what its session (causal: session), or anybody through this agent (resource), has
// written before. Every OK of a write brings the GTID of its transaction. A read that is routed to a replica is sent when
// the replica has executed them: that is known from the last check or from another read, or it is asked to wait. After
// settings.causal-wait the read goes to the primary.

// trackGTIDs makes MySQL report the GTIDs of its commits. MariaDB reports them among the variables.
const trackGTIDs = trackers + ",@@SESSION.session_track_gtids=OWN_GTID"

// trackers is what makes u's server report what the agent must know of a session.
func (u *upstream) trackers() string {
	if u.p.r.set.Causal == causalOff || strings.Contains(u.version, "MariaDB") {
		return trackers
	}
	return trackGTIDs
}

// seen is the highest position of a resource. It is replaced as a whole.
type seen struct{ at atomic.Pointer[gtids] }

// wrote notes the position behind a write: MariaDB's last_gtid, or the GTIDs that MySQL tracks.
func (s *session) wrote(u *upstream, text []byte) {
	if len(text) == 0 {
		return
	}
	switch s.r.set.Causal {
	case causalSession:
		s.seen.merge(text)
	case causalResource:
		at := &s.r.seen.at
		for {
			old := at.Load()
			now := old.clone()
			now.merge(text)
			if at.CompareAndSwap(old, now) {
				return
			}
		}
	}
}

// position returns what a read of the session must see; nil: nothing in particular.
func (s *session) position() *gtids {
	g := &s.seen
	if s.r.set.Causal == causalResource {
		g = s.r.seen.at.Load()
	}
	if g == nil || len(g.list) == 0 {
		return nil
	}
	return g
}

// withoutGTIDs reports whether commits are known to have none, so that every read must go to the primary.
func (r *Resource) withoutGTIDs() bool { return r.trackless.Load() }

// positions notes what a check learnt: how far a server is, and whether its commits have GTIDs.
func (p *probe) positions(h *resources.Health, v variables, known *facts) {
	if p.r.set.Causal == causalOff {
		return
	}
	text, has := v["gtid_slave_pos"]
	if !has {
		text, has = v["gtid_executed"]
	}
	if has && h.Role == resources.RoleReplica {
		g := &gtids{}
		g.merge([]byte(strings.ReplaceAll(text, "\n", "")))
		g.upTo()
		known.applied.Store(g)
	}
	if h.Role == resources.RoleReplica {
		return
	}
	mode, mysqld := v["gtid_mode"]
	none := !v.on("log_bin") || mysqld && !strings.EqualFold(mode, "ON")
	if none {
		h.Detail = "causal reads all go to the primary: its commits have no GTIDs (log_bin, gtid_mode)"
	}
	p.r.trackless.Store(none)
}

// errBehind is what becomes of a read whose replica is behind: nothing was sent.
var errBehind = errors.New("the replica is behind")

// giveUpFor is how long a session does not wait for replicas again after it did in vain: what it waits for may have been
// lost with a primary, and then no replica ever gets there.
const giveUpFor = int64(5 * time.Second)

// catchUp makes sure that u's server has executed what the read must see.
func (s *session) catchUp(u *upstream) error {
	c := &s.call
	if s.r.set.Causal == causalOff || c.Class != resources.ClassRead || c.Pinned || c.Primary || u.ep().Role() != resources.RoleReplica {
		return nil
	}
	want := s.position()
	if want == nil || u.p.known.applied.Load().covers(want) {
		return nil
	}
	now := clock.Now()
	if s.gaveUp != 0 && now-s.gaveUp < giveUpFor {
		return errBehind
	}
	wait := s.r.set.CausalWait.D()
	if d := c.Deadline; d != 0 {
		wait = min(wait, time.Duration(d-now))
	}
	if wait <= 0 {
		return errBehind
	}
	function := "WAIT_FOR_EXECUTED_GTID_SET"
	if want.maria() {
		function = "MASTER_GTID_WAIT"
	}
	u.of(s) // what its last statement left behind is overwritten
	u.deadline(time.Now().Add(wait + time.Second))
	v, err := u.ask(fmt.Sprintf("SELECT %s('%s',%.3f)", function, want, wait.Seconds()))
	var se *mysql.ServerError
	if err != nil && !errors.As(err, &se) {
		return err
	}
	u.deadline(time.Time{})
	if err != nil || string(v) != "0" {
		s.gaveUp = now
		return errBehind
	}
	s.gaveUp = 0
	u.p.known.reached(want)
	return nil
}

// reached notes that a replica has executed what it was asked to wait for, for reads that come next.
func (f *facts) reached(g *gtids) {
	old := f.applied.Load()
	if old == nil || f.state.Load() != fitAlive {
		return
	}
	now := old.clone()
	for _, x := range g.list {
		now.add(x)
	}
	f.applied.CompareAndSwap(old, now) // a check's word counts more
}

// behind sends a read to the primary whose replica did not get there in time.
func (s *session) behind(u *upstream) *resources.Fault {
	c := &s.call
	c.Sent, c.Declined = resources.SentNothing, true
	if to := s.r.writer(u.ep().GroupID); to != nil {
		c.Redirect = to
	}
	return u.p.fault(resources.Unavailable, "has not executed yet what the read must see (settings.causal-wait), and there is no primary")
}

// gtids are positions in binary logs: of MariaDB the newest transaction of each domain, of MySQL transactions by the server
// that they began on. A nil *gtids is no position.
type gtids struct{ list []gtid }

// gtid is one transaction or several that follow each other.
type gtid struct {
	key    string // MariaDB's domain, or MySQL's uuid with its tag
	server string // MariaDB's server; "": this is of MySQL
	lo, hi uint64
}

func (g *gtids) maria() bool { return len(g.list) > 0 && g.list[0].server != "" }

func (g *gtids) clone() *gtids {
	if g == nil {
		return &gtids{}
	}
	return &gtids{list: append([]gtid(nil), g.list...)}
}

// upTo makes positions of MariaDB stand for all before them too, as they do where they say what a server has executed.
func (g *gtids) upTo() {
	for i := range g.list {
		if g.list[i].server != "" {
			g.list[i].lo = 0
		}
	}
}

// maxIntervals is how many separate transactions of one MySQL server are kept apart. More count as one stretch: then a read
// may wait for transactions in between that it does not need, which is safe.
const maxIntervals = 8

// merge adds positions as servers write them: "0-1-8,1-2-9", "uuid:5:7-9,uuid:tag:1". What it cannot read it leaves out.
func (g *gtids) merge(text []byte) {
	for len(text) > 0 {
		part := text
		text = nil
		for i, c := range part {
			if c == ',' {
				part, text = part[:i], part[i+1:]
				break
			}
		}
		g.mergeOne(strings.TrimSpace(string(part)))
	}
}

func (g *gtids) mergeOne(part string) {
	source, rest, ok := strings.Cut(part, ":")
	if !ok {
		domain, rest, _ := strings.Cut(part, "-")
		server, seq, _ := strings.Cut(rest, "-")
		if n, err := strconv.ParseUint(seq, 10, 64); err == nil && n > 0 && digits(domain) && digits(server) {
			g.add(gtid{key: domain, server: server, lo: n, hi: n})
		}
		return
	}
	if !hexOrDash(source) {
		return
	}
	key := source
	for item := range strings.SplitSeq(rest, ":") {
		lo, hi, ok := strings.Cut(item, "-")
		if !ok {
			hi = lo
		}
		a, err1 := strconv.ParseUint(lo, 10, 64)
		b, err2 := strconv.ParseUint(hi, 10, 64)
		switch {
		case err1 == nil && err2 == nil && 0 < a && a <= b:
			g.add(gtid{key: key, lo: a, hi: b})
		case tag(item):
			key = source + ":" + item
		default:
			return
		}
	}
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func hexOrDash(s string) bool { return s != "" && strings.Trim(s, "0123456789abcdefABCDEF-") == "" }

// tag reports whether s is a tag of MySQL 8.3 and later: a letter or _ first.
func tag(s string) bool {
	return s != "" && !digits(s[:1]) && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz_0123456789") == ""
}

// add adds one position.
func (g *gtids) add(x gtid) {
	count := 0
	for i := range g.list {
		y := &g.list[i]
		if y.key != x.key {
			continue
		}
		count++
		if x.server != "" {
			if x.hi >= y.hi {
				y.lo, y.hi, y.server = min(y.lo, x.lo), x.hi, x.server
				if y.lo != 0 {
					y.lo = y.hi
				}
			}
			return
		}
		if x.lo <= y.hi+1 && y.lo <= x.hi+1 {
			y.lo, y.hi = min(x.lo, y.lo), max(x.hi, y.hi)
			return
		}
	}
	if count < maxIntervals {
		g.list = append(g.list, x)
		return
	}
	kept := g.list[:0]
	for _, y := range g.list {
		if y.key == x.key {
			x.lo, x.hi = min(x.lo, y.lo), max(x.hi, y.hi)
			continue
		}
		kept = append(kept, y)
	}
	g.list = append(kept, x)
}

// covers reports whether everything of want is in g.
func (g *gtids) covers(want *gtids) bool {
	if g == nil {
		return false
	}
	for i := range want.list {
		w, found := &want.list[i], false
		for j := range g.list {
			h := &g.list[j]
			if h.key == w.key && h.lo <= w.lo && w.hi <= h.hi {
				found = true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// String writes the positions as servers read them.
func (g *gtids) String() string {
	var b strings.Builder
	for i, x := range g.list {
		if i > 0 {
			b.WriteByte(',')
		}
		switch {
		case x.server != "":
			fmt.Fprintf(&b, "%s-%s-%d", x.key, x.server, x.hi)
		case x.lo == x.hi:
			fmt.Fprintf(&b, "%s:%d", x.key, x.lo)
		default:
			fmt.Fprintf(&b, "%s:%d-%d", x.key, x.lo, x.hi)
		}
	}
	return b.String()
}
