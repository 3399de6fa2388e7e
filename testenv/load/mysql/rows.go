package mysql

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-mesh/sluice/testenv/load"
)

// Statements of a load of rows.
const (
	selectRow  = "SELECT v FROM load_rows WHERE k = ?"
	writeRow   = "INSERT INTO load_rows (k, v) VALUES (?, ?) ON DUPLICATE KEY UPDATE v = VALUES(v)"
	selectRows = "SELECT k, v FROM load_rows WHERE k BETWEEN ? AND ? ORDER BY k"
	deleteRows = "DELETE FROM load_rows WHERE k BETWEEN ? AND ?"
	setOwner   = "SET @load_owner = ?"
	getOwner   = "SELECT @load_owner"
)

// Run runs a load of rows to its end.
func Run(ctx context.Context, c Config) (*load.Report, error) {
	r, err := Start(ctx, c)
	if err != nil {
		return nil, err
	}
	return r.Wait(), nil
}

// Runner is a load of rows that runs.
type Runner struct {
	*crew
	conf    Config
	clients []*client
	done    chan struct{}
	result  *load.Report // valid after done
}

// Start makes the table and starts a load. Canceling ctx ends it as Stop does.
func Start(ctx context.Context, c Config) (*Runner, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	p := pace{clients: c.Clients, rate: c.Rate, duration: c.Duration, requests: c.Requests, timeout: c.Timeout, seed: c.Seed}
	if err := p.check(); err != nil {
		return nil, err
	}
	if err := Setup(ctx, c.Verify); err != nil {
		return nil, err
	}
	r := &Runner{crew: newCrew(ctx, p), conf: c, done: make(chan struct{})}
	for i := range r.crew.clients {
		cl, err := newClient(r, i)
		if err != nil {
			r.stop()
			return nil, err
		}
		r.clients = append(r.clients, cl)
	}
	go r.run()
	return r, nil
}

// Counts returns the good results and errors so far.
func (r *Runner) Counts() load.Count { return r.counts() }

// Stop starts no further statements, awaits those in flight, and returns the report.
func (r *Runner) Stop() *load.Report {
	r.stop()
	return r.Wait()
}

// Wait waits for the end of the load and of the final check.
func (r *Runner) Wait() *load.Report {
	<-r.done
	return r.result
}

func (r *Runner) run() {
	defer close(r.done)
	defer r.stop()
	r.begin = time.Now()
	together(r.clients, func(c *client) { c.worker.run(c.one) })
	elapsed := time.Since(r.begin)
	var verified int64
	if r.conf.VerifyTimeout > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), r.conf.VerifyTimeout)
		defer cancel()
		together(r.clients, func(c *client) { c.verify(ctx) })
	}
	workers := make([]*worker, len(r.clients))
	for i, c := range r.clients {
		workers[i] = c.worker
		verified += c.verified
	}
	rep := r.report(workers, elapsed)
	rep.Verified = verified
	for _, w := range workers {
		rep.Unverified += w.unread
	}
	r.result = &rep
}

// client is one connection with the keys that it owns.
type client struct {
	*worker
	conf     *Config
	prefix   string // of its keys
	slots    []*slot
	retired  []*slot          // had a write of unknown outcome, wait for a last check
	known    map[string]*slot // all of them, also those that are gone
	wheel    []func() error
	owner    uint64 // sequence of the session's variable; 0: not known
	owned    uint64 // the newest sequence of them
	ownedOn  int64  // number of the connection that has it
	value    []byte
	verified int64
}

func newClient(r *Runner, number int) (*client, error) {
	l, err := newLink(r.conf.Server, r.conf.Prepared, r.timeout, r.conf.Init)
	if err != nil {
		return nil, err
	}
	c := &client{worker: newWorker(r.crew, number, l), conf: &r.conf, known: map[string]*slot{}}
	c.each = r.conf.Each
	c.prefix = r.id + ":" + strconv.Itoa(number) + ":"
	for range r.conf.Keys {
		c.slots = append(c.slots, c.newSlot())
	}
	m := r.conf.Mix
	for _, part := range []struct {
		weight int
		do     func() error
	}{{m.Select, c.selectOne}, {m.Write, c.write}, {m.Range, c.selectAll}, {m.Session, c.session}} {
		for range part.weight {
			c.wheel = append(c.wheel, part.do)
		}
	}
	return c, nil
}

func (c *client) newSlot() *slot {
	s := &slot{key: c.prefix + strconv.FormatInt(int64(len(c.known)), 36)}
	c.known[s.key] = s
	return s
}

// one does one statement.
func (c *client) one() bool {
	bad := c.wrong + c.lost
	do := c.wheel[c.rnd.IntN(len(c.wheel))]
	if len(c.retired) > maxRetired && !c.conf.StaleReads {
		do = c.tidy
	}
	if err := do(); err != nil {
		c.fail(err)
		return false
	}
	return c.wrong+c.lost == bad
}

func (c *client) pick() *slot { return c.slots[c.rnd.IntN(len(c.slots))] }

// found counts what breaks a rule.
func (c *client) found(f finding, format string, args ...any) {
	switch f {
	case fine:
		return
	case wrong:
		c.wrong++
	case lost:
		c.lost++
	}
	name := [...]string{wrong: "wrong", lost: "lost"}[f]
	c.crew.violation(name+": client "+strconv.Itoa(c.number)+": "+format, args...)
}

func (c *client) selectOne() error {
	s := c.pick()
	return c.read(c.link, s, c.conf.StaleReads)
}

// read reads one row and judges it.
func (c *client) read(l *link, s *slot, stale bool) error {
	rows := 0
	err := l.query(func(row []driver.Value) {
		if rows++; len(row) != 1 {
			c.found(wrong, "%q with %s gives %d columns", selectRow, s.key, len(row))
			return
		}
		c.judge(s, row[0], stale)
	}, selectRow, s.key)
	switch {
	case err != nil:
		return err
	case rows > 1:
		c.found(wrong, "%d rows for the key %s", rows, s.key)
	case rows == 0:
		c.found(s.missing(stale), "no row for %v", s)
	}
	return nil
}

// judge judges the value in the row of a key.
func (c *client) judge(s *slot, v driver.Value, stale bool) {
	b := bytesOf(v)
	key, client, seq, sound := load.CutValue(b)
	if !sound || string(key) != s.key || client != c.number {
		c.found(wrong, "the row has %.200q; %v", b, s)
		return
	}
	c.found(s.saw(seq, stale), "the row has sequence %d; %v", seq, s)
}

// maxRetired is how many keys wait for the final check; older ones are checked and deleted during the load, so that Range
// does not grow without end. Not so when reads may be stale, which would make that check a weak one.
const maxRetired = 8

// tidy checks the row of a retired key, and deletes it the next time.
func (c *client) tidy() error {
	s := c.retired[0]
	if !s.checked {
		if err := c.read(c.link, s, false); err != nil {
			return err
		}
		s.checked = true
		return nil
	}
	// An error, of whatever outcome, means that it is done again.
	if _, err := c.exec(deleteRows, s.key, s.key); err != nil {
		return err
	}
	s.gone = true
	c.retired = append(c.retired[:0], c.retired[1:]...)
	return nil
}

func (c *client) selectAll() error {
	seen := 0
	err := c.query(func(row []driver.Value) {
		if len(row) != 2 {
			c.found(wrong, "%q gives %d columns", selectRows, len(row))
			return
		}
		key := string(bytesOf(row[0]))
		s := c.known[key]
		if s == nil {
			c.found(wrong, "a row has the key %.200q, which is none of the %d with %s", key, len(c.known), c.prefix)
			return
		}
		if s.gone || s.checked {
			return // its last write may come after its end
		}
		if s.acked != 0 {
			seen++
		}
		c.judge(s, row[1], c.conf.StaleReads)
	}, selectRows, c.prefix, c.prefix+"~")
	if err != nil || c.conf.StaleReads {
		return err
	}
	want := 0
	for _, all := range [][]*slot{c.slots, c.retired} {
		for _, s := range all {
			if s.acked != 0 && !s.checked {
				want++
			}
		}
	}
	if seen < want {
		c.found(lost, "%d of %d rows are there", seen, want)
	}
	return nil
}

func (c *client) write() error {
	s := c.pick()
	seq := s.write()
	c.value = load.AppendValue(c.value[:0], s.key, c.number, seq, c.conf.ValueSize, filling)
	affected, err := c.exec(writeRow, s.key, c.value)
	switch {
	case err == nil:
		c.found(s.wrote(seq, affected), "write %d changed %d rows; %v", seq, affected, s)
	case notSent(err) || c.refusal(err):
		s.refuse(seq)
	default:
		s.unknown = seq
		c.retired = append(c.retired, s)
		c.slots[slices.Index(c.slots, s)] = c.newSlot()
	}
	return err
}

func (c *client) refusal(err error) bool {
	n := numberOf(err)
	return refusals[n] || slices.Contains(c.conf.Refused, n)
}

// session sets a variable of the session, or checks that it is what the same session set.
func (c *client) session() error {
	if c.owner == 0 || c.ownedOn != c.dials || c.rnd.IntN(2) == 0 {
		c.owned++
		c.owner, c.ownedOn = 0, c.dials
		c.value = load.AppendValue(c.value[:0], "session", c.number, c.owned, 0, filling)
		_, err := c.exec(setOwner, string(c.value))
		if err == nil {
			c.owner = c.owned
		}
		return err
	}
	rows := 0
	err := c.query(func(row []driver.Value) {
		rows++
		b := bytesOf(row[0])
		if key, client, seq, sound := load.CutValue(b); !sound || string(key) != "session" || client != c.number || seq != c.owner {
			c.found(wrong, "the session's variable is %.200q, want sequence %d of this client", b, c.owner)
		}
	}, getOwner)
	if err == nil && rows != 1 {
		c.found(wrong, "%q gives %d rows", getOwner, rows)
	}
	return err
}

// verify reads all keys once more, without tolerance, and deletes them.
func (c *client) verify(ctx context.Context) {
	l, err := newLink(c.conf.Verify, false, c.crew.timeout, nil)
	if err != nil {
		c.crew.violation("final check: %v", err)
		c.unread += int64(len(c.known))
		return
	}
	defer l.close()
	all := append(slices.Clone(c.slots), c.retired...)
	for i := 0; i < len(all); {
		if all[i].checked { // its deletion may have been tried
			i++
			continue
		}
		if err = c.verifyOne(ctx, l, all[i]); err == nil {
			c.verified++
			i++
			continue
		}
		l.close()
		if !pauseFor(ctx, 20*time.Millisecond) {
			c.unread += int64(len(all) - i)
			return
		}
	}
	_, _ = l.exec(deleteRows, c.prefix, c.prefix+"~") // tidiness only: a replica refuses it
}

func (c *client) verifyOne(ctx context.Context, l *link, s *slot) error {
	if l.conn == nil {
		if err := l.connect(ctx); err != nil {
			return err
		}
	}
	return c.read(l, s, false)
}

func pauseFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// bytesOf returns a value of the driver as text. NULL is "".
func bytesOf(v driver.Value) []byte {
	switch v := v.(type) {
	case []byte:
		return v
	case string:
		return []byte(v)
	case nil:
		return nil
	}
	return fmt.Append(nil, v)
}
