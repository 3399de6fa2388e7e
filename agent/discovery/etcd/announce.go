package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-mesh/sluice/agent/discovery"
)

// rounds is how often an announcement is read and written while others write the same key.
const rounds = 6

// back writes nodes.
type back struct{ s *Source }

// Announce is the method of discovery.Back.
func (b back) Announce(ctx context.Context, n discovery.Node) error {
	s := b.s
	data, err := writeNode(n)
	if err != nil {
		return err
	}
	lease := s.leaseID()
	if lease == 0 {
		return discovery.ErrAway
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	key := s.folder(n.Service) + n.Address
	for range rounds {
		r, err := s.client.Get(ctx, key)
		if err != nil {
			return s.away(err)
		}
		revision := int64(0)
		if len(r.Kvs) > 0 {
			now := r.Kvs[0]
			revision = now.ModRevision
			ours := clientv3.LeaseID(now.Lease) == lease
			if ours && bytes.Equal(now.Value, data) {
				s.stand(key, lease)
				return nil
			}
			if !ours && s.stoodWith(key, lease) {
				return fmt.Errorf("%w: %s has the lease %x", discovery.ErrHeld, key, now.Lease)
			}
		}
		put := clientv3.OpPut(key, string(data), clientv3.WithLease(lease))
		t, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).Then(put).Commit()
		if err != nil {
			return s.away(err)
		}
		if t.Succeeded {
			s.stand(key, lease)
			return nil
		}
	}
	return fmt.Errorf("%s changes all the time: somebody else writes it too", key)
}

// Withdraw is the method of discovery.Back.
func (b back) Withdraw(ctx context.Context, n discovery.Node) error {
	s := b.s
	lease := s.leaseID()
	if lease == 0 {
		return discovery.ErrAway
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	key := s.folder(n.Service) + n.Address
	// Of those with another lease none is ours: an earlier lease of ours that still holds the key has not expired yet, which only
	// happens to processes that were started again.
	_, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.LeaseValue(key), "=", lease)).Then(clientv3.OpDelete(key)).Commit()
	if err != nil {
		return s.away(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.stood, key)
	return nil
}

func (s *Source) stand(key string, lease clientv3.LeaseID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stood[key] = lease
}

func (s *Source) stoodWith(key string, lease clientv3.LeaseID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stood[key] == lease
}

// away names errors of the connection as all sources do, and has the lease looked at when etcd does not know it.
func (s *Source) away(err error) error {
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		s.suspect()
	}
	if unreachable(err) {
		return fmt.Errorf("%w: %w", discovery.ErrAway, err)
	}
	return err
}
