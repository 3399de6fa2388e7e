package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-mesh/sluice/governance/store"
)

// Lead waits until this process leads. Trouble with etcd is waited out, and shows in the log.
func (s *Store) Lead(ctx context.Context, name, me string) (store.Leadership, error) {
	l, err := s.lead(ctx, name, me)
	if err != nil {
		return nil, fmt.Errorf("lead %s: %w", name, err)
	}
	return l, nil
}

func (s *Store) lead(ctx context.Context, name, me string) (*leadership, error) {
	if err := store.CheckName("the name of the leadership", name); err != nil {
		return nil, err
	}
	if err := store.CheckName("the leader", me); err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.work.Done() // so that Close waits until the lease of who waited is given back
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		if err := s.ready(ctx); err != nil {
			return nil, err
		}
		l, err := s.candidate(ctx, name, me)
		if err == nil {
			err = l.campaign(ctx)
		}
		if err == nil {
			err = s.start(func() { l.hold(ctx) })
		}
		if err == nil {
			return l, nil
		}
		if l != nil {
			_ = l.end(context.WithoutCancel(ctx)) // its lease ends by itself
		}
		switch {
		case s.closed():
			return nil, store.ErrClosed
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !passing(err):
			return nil, s.explain(err)
		}
		s.log.Warn("a candidacy in etcd failed and begins again", "name", name, "in", pause, "error", err)
		s.pause(ctx, pause)
	}
}

// leadership is a candidate, and later a leader: a lease that is renewed and a key that ends with it.
type leadership struct {
	s    *Store
	dir  string // of the keys of all candidates, as etcd has them
	key  string // as the store has it
	rev  int64  // at which key was made; it does not change
	id   clientv3.LeaseID
	dead chan struct{} // closed when the lease is not renewed any more
	lost chan struct{} // closed at the end

	stop context.CancelFunc // of renewing
	once sync.Once
	err  error // of end
}

// candidate gets a lease and writes its key.
func (s *Store) candidate(ctx context.Context, name, me string) (*leadership, error) {
	request, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	grant, err := s.client.Grant(request, int64(s.lease/time.Second))
	if err != nil {
		return nil, err
	}
	dir := store.LeaderPrefix + name + "/"
	l := &leadership{s: s, dir: s.prefix + dir, key: dir + fmt.Sprintf("%016x", uint64(grant.ID)), id: grant.ID,
		dead: make(chan struct{}), lost: make(chan struct{})}
	var renewing context.Context
	renewing, l.stop = context.WithCancel(s.life)
	alive, err := s.client.KeepAlive(renewing, l.id)
	if err != nil {
		return l, err
	}
	if err := s.start(func() { l.renew(alive) }); err != nil {
		return l, err
	}
	key := s.prefix + l.key
	r, err := s.client.Txn(request).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, me, clientv3.WithLease(l.id))).Commit()
	if err != nil {
		return l, err
	}
	if !r.Succeeded {
		return l, fmt.Errorf("%s exists already", key)
	}
	l.rev = r.Header.Revision
	return l, nil
}

// renew is a goroutine that lasts as long as the lease is renewed, which the client does three times in a lease.
func (l *leadership) renew(alive <-chan *clientv3.LeaseKeepAliveResponse) {
	defer close(l.dead)
	for range alive { // what etcd answers is the lease's time, which is known
	}
}

// errExpired is passing: the next candidacy has a new lease.
var errExpired = errors.New("the lease ended")

// campaign waits until no candidate is left whose key is older.
func (l *leadership) campaign(ctx context.Context) error {
	for {
		older, at, err := l.older(ctx)
		if err != nil || older == "" {
			return err
		}
		if err := l.awaitEnd(ctx, older, at); err != nil {
			return err
		}
	}
}

// older returns the youngest of the keys that are older than l's, "" if there is none, and the revision of that answer. It
// fails when l's own key is gone.
func (l *leadership) older(ctx context.Context) (key string, at int64, err error) {
	opts := append(clientv3.WithLastCreate(), clientv3.WithMaxCreateRev(l.rev-1), clientv3.WithKeysOnly())
	gone := false
	err = l.s.read(ctx, func(ctx context.Context) error {
		r, err := l.s.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(l.s.prefix+l.key), "=", l.rev)).
			Then(clientv3.OpGet(l.dir, opts...)).Commit()
		switch {
		case err != nil:
			return err
		case !r.Succeeded:
			gone = true
			return nil
		}
		at = r.Header.Revision
		if kvs := r.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
			key = string(kvs[0].Key)
		}
		return nil
	})
	if err == nil && gone {
		err = errExpired
	}
	return key, at, err
}

// awaitEnd returns when a key may be gone. It looks again once in a lease, whatever the watch says.
func (l *leadership) awaitEnd(ctx context.Context, key string, at int64) error {
	ctx, leave := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer leave()
	in := l.s.client.Watch(ctx, key, clientv3.WithRev(at+1))
	again := time.NewTimer(l.s.lease)
	defer again.Stop()
	for {
		select {
		case r, ok := <-in:
			if ended(r, ok) {
				return nil
			}
		case <-again.C:
			return nil
		case <-l.dead:
			return errExpired
		case <-l.s.life.Done():
			return store.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ended reports whether a watch has seen the end of its key, or has ended itself.
func ended(r clientv3.WatchResponse, ok bool) bool {
	if !ok || r.Err() != nil {
		return true
	}
	for _, ev := range r.Events {
		if ev.Type == clientv3.EventTypeDelete {
			return true
		}
	}
	return false
}

// hold is the goroutine of a leader: it ends the leadership when it is lost.
func (l *leadership) hold(ctx context.Context) {
	for {
		var err error
		older, at, err := l.older(ctx)
		if err == nil && older == "" {
			err = l.awaitEnd(ctx, l.s.prefix+l.key, at)
		}
		select {
		case <-l.lost: // Resign
			return
		default:
		}
		if err == nil {
			continue // look whether it is still there
		}
		if ctx.Err() == nil && !l.s.closed() && !errors.Is(err, errExpired) {
			// No answer: the lease decides.
			select {
			case <-l.dead:
			case <-l.lost:
				return
			case <-ctx.Done():
			case <-l.s.life.Done():
			case <-time.After(firstPause):
				continue
			}
		}
		_ = l.end(context.WithoutCancel(ctx)) // the lease ends by itself
		return
	}
}

// Lost is closed when the leadership has ended, for whatever reason. A leader that is cut off from etcd gets to know it up
// to half a second after its lease ended there.
func (l *leadership) Lost() <-chan struct{} { return l.lost }

// Guard holds while the lease does.
func (l *leadership) Guard() store.Cond { return store.Cond{Key: l.key, Revision: l.rev} }

// Resign ends the leadership. If etcd cannot be reached it ends with the lease.
func (l *leadership) Resign(ctx context.Context) error {
	if err := l.end(ctx); err != nil {
		return fmt.Errorf("resign %s: %w: it ends with its lease, in %v at most", l.key, err, l.s.lease)
	}
	return nil
}

// end stops renewing and gives the lease back, once.
func (l *leadership) end(ctx context.Context) error {
	l.once.Do(func() {
		close(l.lost)
		l.stop()
		ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
		defer cancel()
		if _, err := l.s.client.Revoke(ctx, l.id); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			l.err = l.s.explain(err)
		}
	})
	return l.err
}

// Leader returns who leads: the value of the oldest key.
func (s *Store) Leader(ctx context.Context, name string) (who string, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		r, err := s.client.Get(ctx, s.prefix+store.LeaderPrefix+name+"/", clientv3.WithFirstCreate()...)
		if err == nil && len(r.Kvs) > 0 {
			who = string(r.Kvs[0].Value)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("leader of %s: %w", name, err)
	}
	return who, nil
}
