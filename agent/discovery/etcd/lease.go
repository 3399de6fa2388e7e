package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Pauses after a failure of the lease; those between connections are grpc's.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 2 * time.Second
)

var errExpired = errors.New("the lease has expired, and the announcement with it")

// keep has a lease from the first moment on that etcd can be reached, until the source is closed.
func (s *Source) keep() {
	defer s.leave()
	pause := firstPause
	for s.life.Err() == nil {
		wait := s.opt.Lease / 3
		if err := s.renewal(); err != nil && s.life.Err() == nil {
			err = s.reason(err)
			s.health.Failed(s.servers(), err)
			if s.health.Down() {
				s.log.Warn("etcd is gone; the last nodes stay", "servers", s.servers(), "error", err)
			}
			wait = pause/2 + rand.N(pause/2)
			pause = min(2*pause, longestPause)
		} else {
			pause = firstPause
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-s.renew:
		case <-s.life.Done():
		}
		t.Stop()
	}
}

// reason says why a request found no connection. etcd's client says only that the time for it was over, though it knows more; so a
// TLS handshake is tried, which is what most often fails for a reason that a person must know.
func (s *Source) reason(err error) error {
	if s.opt.TLS == nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	ctx, cancel := context.WithTimeout(s.life, time.Second)
	defer cancel()
	d := tls.Dialer{Config: s.opt.TLS}
	for _, endpoint := range s.opt.Endpoints {
		conn, failed := d.DialContext(ctx, "tcp", strings.TrimPrefix(endpoint, "https://"))
		if failed == nil {
			// That our certificate is refused comes behind a handshake of TLS 1.3. Otherwise nothing comes: it is our turn.
			_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			_, failed = conn.Read(make([]byte, 1))
			conn.Close()
		}
		if failed != nil && !errors.Is(failed, os.ErrDeadlineExceeded) && ctx.Err() == nil {
			return fmt.Errorf("%w: %w", err, failed)
		}
	}
	return err
}

// renewal makes the client, the lease, or prolongs it and looks at its keys: the first of them that is due.
func (s *Source) renewal() error {
	select {
	case <-s.ready:
	default:
		if err := s.connect(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(s.life, max(s.opt.Lease/3, time.Second))
	defer cancel()
	id := s.leaseID()
	if id == 0 {
		return s.grant(ctx)
	}
	if _, err := s.client.KeepAliveOnce(ctx, id); errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return s.grant(ctx)
	} else if err != nil {
		return fmt.Errorf("prolong the lease: %w", err)
	}
	r, err := s.client.TimeToLive(ctx, id, clientv3.WithAttachedKeys())
	if err != nil {
		return fmt.Errorf("look at the lease: %w", err)
	}
	if r.TTL <= 0 {
		return s.grant(ctx)
	}
	s.up(false)
	attached := make(map[string]bool, len(r.Keys))
	for _, k := range r.Keys {
		attached[string(k)] = true
	}
	for _, a := range s.nodes.List() {
		if !attached[s.folder(a.Node.Service)+a.Node.Address] {
			s.nodes.CheckOne(a.Node)
		}
	}
	return nil
}

// grant begins a lease.
func (s *Source) grant(ctx context.Context) error {
	r, err := s.client.Grant(ctx, int64(s.opt.Lease/time.Second))
	if err != nil {
		return fmt.Errorf("ask for a lease: %w", err)
	}
	s.mu.Lock()
	before := s.lease
	s.lease = r.ID
	s.mu.Unlock()
	if before != 0 {
		s.nodes.Lost(errExpired)
	}
	s.up(true)
	s.nodes.Check()
	return nil
}

func (s *Source) up(fresh bool) {
	if s.health.Up(s.servers(), fresh) {
		s.log.Info("connected to etcd", "servers", s.servers(), "lease", fmt.Sprintf("%x", s.leaseID()), "new", fresh)
		if !fresh {
			s.nodes.Check() // those that could not be made meanwhile
		}
	}
}

func (s *Source) leaseID() clientv3.LeaseID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lease
}

// suspect has the keeper look at the lease now.
func (s *Source) suspect() {
	select {
	case s.renew <- struct{}{}:
	default: // it will look anyway
	}
}

// leave gives up the lease and closes the client.
func (s *Source) leave() {
	if s.client == nil {
		return
	}
	if id := s.leaseID(); id != 0 && s.health.Status().Connected {
		ctx, cancel := context.WithTimeout(context.Background(), revokeTimeout)
		defer cancel()
		if _, err := s.client.Revoke(ctx, id); err != nil {
			s.log.Info("the lease in etcd could not be given up and ends by itself", "error", err)
		}
	}
	_ = s.client.Close() // it says that its context was cancelled
}
