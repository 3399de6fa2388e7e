package etcd

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-mesh/sluice/governance/store"
)

// tickKey is put by every Commit that changes something. Its version, which etcd counts, grows by one with each, and so
// a watch knows whether it has seen all of them.
const tickKey = "meta/tick"

// mostOps is how many operations etcd takes in one transaction, by default. Those of a nested one are counted apart: it
// may have as many less as the outer one has.
const mostOps = 128

// Commit makes the changes of t in one revision. The request is sent once: an error that is not one of store's, nor of ctx
// before it was sent, leaves open whether the changes were made, unless it says that nothing was changed.
func (s *Store) Commit(ctx context.Context, t store.Txn) (int64, error) {
	if err := t.Check(); err != nil {
		return 0, fmt.Errorf("commit: %w", err)
	}
	if err := s.ready(ctx); err != nil {
		return 0, fmt.Errorf("commit: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	r, err := s.transaction(ctx, t).Commit()
	switch {
	case err == nil && r.Succeeded:
		return r.Header.Revision, nil
	case err == nil:
		return 0, fmt.Errorf("commit: %w", failed(t.If, r))
	case refused(err):
		return 0, fmt.Errorf("commit: nothing was changed: %w", s.explain(err))
	}
	return 0, fmt.Errorf("commit: it is not known whether it was made: %w", s.explain(err))
}

// transaction is t for etcd. When a condition does not hold it asks for the revisions of all keys in conditions, so that
// the answer can say which.
func (s *Store) transaction(ctx context.Context, t store.Txn) clientv3.Txn {
	ifs := make([]clientv3.Cmp, len(t.If))
	els := make([]clientv3.Op, len(t.If))
	for i, c := range t.If {
		// The revision of a key that does not exist is 0.
		ifs[i] = clientv3.Compare(clientv3.ModRevision(s.prefix+c.Key), "=", c.Revision)
		els[i] = clientv3.OpGet(s.prefix+c.Key, clientv3.WithKeysOnly())
	}
	return s.client.Txn(ctx).If(ifs...).Then(s.changes(t.Then)...).Else(els...)
}

// changes are ops for etcd, and the tick after them: events have the order of the operations, so the tick's says that
// its revision is whole. As many ops as store.Txn may have leave no room for the tick, and are then made in two nested
// transactions, which have the revision of the outer one.
func (s *Store) changes(ops []store.Op) []clientv3.Op {
	if len(ops) == 0 {
		return nil
	}
	then := make([]clientv3.Op, len(ops), len(ops)+1)
	for i, op := range ops {
		if op.Delete {
			then[i] = clientv3.OpDelete(s.prefix + op.Key)
		} else {
			then[i] = clientv3.OpPut(s.prefix+op.Key, string(op.Value))
		}
	}
	if n := len(then); n >= mostOps {
		then = []clientv3.Op{clientv3.OpTxn(nil, then[:n/2], nil), clientv3.OpTxn(nil, then[n/2:], nil)}
	}
	return append(then, clientv3.OpPut(s.prefix+tickKey, ""))
}

// failed returns the first condition that did not hold.
func failed(conds []store.Cond, r *clientv3.TxnResponse) error {
	for i, c := range conds {
		have := int64(0)
		if kvs := r.Responses[i].GetResponseRange().GetKvs(); len(kvs) > 0 {
			have = kvs[0].ModRevision
		}
		if err := c.Holds(have); err != nil {
			return err
		}
	}
	return errors.New("etcd refused conditions that hold") // it answers both questions at one revision
}

// Compact forgets what was before a revision, of all keys of the etcd cluster.
func (s *Store) Compact(ctx context.Context, before int64) error {
	if err := s.compact(ctx, before); err != nil {
		return fmt.Errorf("compact before revision %d: %w", before, err)
	}
	return nil
}

func (s *Store) compact(ctx context.Context, before int64) error {
	err := s.read(ctx, func(ctx context.Context) error { // doing it twice is as good as once
		if before < 2 {
			return nil
		}
		_, err := s.client.Compact(ctx, before-1)
		return err
	})
	if errors.Is(err, rpctypes.ErrCompacted) {
		return nil
	}
	return err
}
