package zookeeper

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-zookeeper/zk"

	"github.com/sluice-mesh/sluice/agent/discovery"
)

// rounds is how often an announcement is read and written until it is found as it should be: more than twice only when others
// write the same entries at the same time.
const rounds = 6

// nodeBack writes nodes.
type nodeBack struct{ s *Source }

// Announce is the method of discovery.Back.
func (b nodeBack) Announce(ctx context.Context, n discovery.Node) error {
	text, err := n.URL()
	if err != nil {
		return err
	}
	at, other := b.s.entryOf(n, n.Available), b.s.entryOf(n, !n.Available)
	b.s.listenTo(b.s.entryOf(n, true), func() { b.s.nodes.CheckOne(n) }, at, other)
	return b.s.put(ctx, at, other, []byte(text))
}

// Withdraw is the method of discovery.Back.
func (b nodeBack) Withdraw(ctx context.Context, n discovery.Node) error {
	for _, path := range []string{b.s.entryOf(n, true), b.s.entryOf(n, false)} {
		if err := b.s.drop(ctx, path); err != nil {
			return err
		}
	}
	b.s.forget(b.s.entryOf(n, true), b.s.entryOf(n, false))
	return nil
}

// listenTo has check called after each event of the entries, once for each name until forget.
func (s *Source) listenTo(name string, check func(), entries ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listening[name] == nil {
		s.listening[name] = s.watches.listen(check, entries...)
	}
}

// forget undoes listenTo and stand.
func (s *Source) forget(name string, others ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stop := s.listening[name]; stop != nil {
		stop()
	}
	delete(s.listening, name)
	delete(s.stood, name)
	for _, o := range others {
		delete(s.stood, o)
	}
}

// put makes one ephemeral entry with the data, and removes the other, "" for none.
func (s *Source) put(ctx context.Context, path, other string, data []byte) error {
	for range rounds {
		mine, err := s.get(ctx, path)
		if err != nil {
			return away(err)
		}
		var theirs entry
		if other != "" {
			if theirs, err = s.get(ctx, other); err != nil {
				return away(err)
			}
		}
		session := s.conn.SessionID()
		if owned(mine, session) && string(mine.data) == string(data) && !theirs.exists {
			s.stand(path, other, session)
			return nil
		}
		if s.stoodIn(path, session) {
			for _, e := range []entry{mine, theirs} {
				if e.exists && !owned(e, session) {
					return fmt.Errorf("%w: session %#x has %s", discovery.ErrHeld, uint64(e.stat.EphemeralOwner), path)
				}
			}
		}
		var ops []any
		if theirs.exists {
			ops = append(ops, &zk.DeleteRequest{Path: other, Version: theirs.stat.Version})
		}
		if mine.exists {
			ops = append(ops, &zk.DeleteRequest{Path: path, Version: mine.stat.Version})
		}
		ops = append(ops, &zk.CreateRequest{Path: path, Data: data, Acl: zk.WorldACL(zk.PermAll), Flags: zk.FlagEphemeral})
		_, err = request(ctx, s, func(c *zk.Conn) (struct{}, error) {
			if err := mkdirs(c, above(path)); err != nil {
				return struct{}{}, err
			}
			_, err := c.Multi(ops...)
			return struct{}{}, err
		})
		if err = ignore(err, zk.ErrNoNode, zk.ErrNodeExists, zk.ErrBadVersion); err != nil {
			return away(err)
		}
	}
	return fmt.Errorf("%s changes all the time: somebody else writes it too", path)
}

// drop removes an entry that is ours.
func (s *Source) drop(ctx context.Context, path string) error {
	_, err := request(ctx, s, func(c *zk.Conn) (struct{}, error) {
		data, stat, err := c.Get(path)
		if err != nil || !owned(entry{exists: true, data: data, stat: stat}, c.SessionID()) {
			return struct{}{}, err
		}
		return struct{}{}, c.Delete(path, stat.Version)
	})
	return away(ignore(err, zk.ErrNoNode))
}

func owned(e entry, session int64) bool { return e.exists && e.stat.EphemeralOwner == session }

// stand notes that we have an entry, which holds for the node's other state as well.
func (s *Source) stand(path, other string, session int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stood[path] = session
	if other != "" {
		s.stood[other] = session
	}
}

func (s *Source) stoodIn(path string, session int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stood[path] == session
}

// away gives errors of the connection the name that all sources have for them.
func away(err error) error {
	if lost(err) {
		return fmt.Errorf("%w: %w", discovery.ErrAway, err)
	}
	return err
}

func above(path string) string { return path[:strings.LastIndexByte(path, '/')] }

// mkdirs makes a persistent path and all that is above it.
func mkdirs(c *zk.Conn, path string) error {
	if there, _, err := c.Exists(path); err != nil || there || path == "" {
		return err
	}
	if up := above(path); up != "" {
		if err := mkdirs(c, up); err != nil {
			return err
		}
	}
	_, err := c.Create(path, nil, zk.FlagPersistent, zk.WorldACL(zk.PermAll))
	return ignore(err, zk.ErrNodeExists)
}
