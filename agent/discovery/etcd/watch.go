package etcd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/internal/clock"
)

const (
	settle = 100 * time.Millisecond // after an event, before the keys are listed: what changes in one go is one report
	relist = 5 * time.Minute        // at most, and half of it at least, between two lists, whatever the events say
	page   = 1000                   // keys in one answer
	lists  = 16                     // read at once by all watches: the lease must not wait for 500 of them
)

// Watch is the method of discovery.Source.
func (s *Source) Watch(ctx context.Context, service discovery.Service, report func(discovery.Report)) error {
	if err := discovery.Check(service); err != nil {
		return err
	}
	lister := discovery.Lister{Service: service}
	folder := s.folder(service)
	return s.follow(ctx, folder, clientv3.GetPrefixRangeEnd(folder), func(keys []*mvccpb.KeyValue) {
		var found []discovery.Node
		unread := 0
		for _, kv := range keys {
			if n, err := readNode(service, strings.TrimPrefix(string(kv.Key), folder), kv.Value); err == nil {
				found = append(found, n)
			} else {
				unread++
			}
		}
		if r, ok := lister.Report(found, unread, len(keys) > 0); ok {
			s.health.Reported()
			report(r)
		}
	})
}

// WatchCommands is the method of discovery.Commander.
func (s *Source) WatchCommands(ctx context.Context, scope discovery.Scope, report func(json []byte)) error {
	if err := scope.Check(); err != nil {
		return err
	}
	last, told := "", false
	return s.follow(ctx, s.commandKey(scope), "", func(keys []*mvccpb.KeyValue) {
		document := ""
		if len(keys) > 0 {
			document = strings.TrimSpace(string(keys[0].Value))
		}
		if told && document == last {
			return
		}
		told, last = true, document
		s.health.Reported()
		if document == "" {
			report(nil)
		} else {
			report([]byte(document))
		}
	})
}

// PutCommands is the method of discovery.Commander.
func (s *Source) PutCommands(ctx context.Context, scope discovery.Scope, json []byte) error {
	if err := scope.Check(); err != nil {
		return err
	}
	if json == nil {
		json = []byte(discovery.NoCommands)
	}
	key := s.commandKey(scope)
	err := s.await(ctx)
	if err == nil {
		_, err = s.client.Put(ctx, key, string(json))
	}
	if err != nil {
		return fmt.Errorf("write commands to %s: %w", key, err)
	}
	return nil
}

// follow calls take with the keys from one to another ("" for one key alone), first when etcd has told them and then after each
// change, until ctx ends.
func (s *Source) follow(caller context.Context, from, to string, take func([]*mvccpb.KeyValue)) error {
	defer s.health.Watching()()
	ctx, cancel := context.WithCancel(caller)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	pause := firstPause
	for {
		err := s.await(ctx)
		if err == nil {
			err = s.session(ctx, from, to, func(keys []*mvccpb.KeyValue) {
				pause = firstPause
				take(keys)
			})
		}
		switch {
		case caller.Err() != nil:
			return nil
		case s.life.Err() != nil:
			return discovery.ErrClosed
		}
		s.log.Debug("a watch on etcd begins again", "key", from, "error", err)
		clock.Sleep(ctx, pause/2+rand.N(pause/2))
		pause = min(2*pause, longestPause)
	}
}

// session lists and watches until either fails.
func (s *Source) session(ctx context.Context, from, to string, take func([]*mvccpb.KeyValue)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	keys, revision, err := s.list(ctx, from, to)
	if err != nil {
		return err
	}
	take(keys)
	// With the leader required, a member that is cut off from the others ends the watch instead of staying silent.
	events := s.client.Watch(clientv3.WithRequireLeader(ctx), from, within(to, clientv3.WithRev(revision+1))...)
	again := time.NewTimer(relist/2 + rand.N(relist/2))
	defer again.Stop()
	for {
		select {
		case r, ok := <-events:
			if err := r.Err(); err != nil {
				return err
			}
			if !ok {
				return errors.New("etcd's watch ended")
			}
			if len(r.Events) == 0 {
				continue
			}
			if err := s.drain(ctx, events); err != nil {
				return err
			}
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if keys, _, err = s.list(ctx, from, to); err != nil {
			return err
		}
		take(keys)
		again.Reset(relist/2 + rand.N(relist/2))
	}
}

// drain takes the events of a moment.
func (s *Source) drain(ctx context.Context, events clientv3.WatchChan) error {
	t := time.NewTimer(settle)
	defer t.Stop()
	for {
		select {
		case r, ok := <-events:
			if err := r.Err(); err != nil {
				return err
			}
			if !ok {
				return errors.New("etcd's watch ended")
			}
		case <-t.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// list reads the keys, all of the same revision.
func (s *Source) list(ctx context.Context, from, to string) (keys []*mvccpb.KeyValue, revision int64, err error) {
	select {
	case s.room <- struct{}{}:
		defer func() { <-s.room }()
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	for {
		attempt, cancel := context.WithTimeout(ctx, requestTimeout)
		r, err := s.client.Get(attempt, from, within(to, clientv3.WithRev(revision), clientv3.WithLimit(page))...)
		cancel()
		if err != nil {
			return nil, 0, err
		}
		if revision == 0 {
			revision = r.Header.Revision
		}
		keys = append(keys, r.Kvs...)
		if !r.More {
			return keys, revision, nil
		}
		from = string(keys[len(keys)-1].Key) + "\x00"
	}
}

func within(to string, more ...clientv3.OpOption) []clientv3.OpOption {
	if to != "" {
		more = append(more, clientv3.WithRange(to))
	}
	return more
}

// unreachable reports whether etcd gave no answer, or had no leader to give it.
func unreachable(err error) bool {
	var e rpctypes.EtcdError
	code := status.Code(err)
	switch {
	case errors.As(err, &e):
		code = e.Code()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return true
	}
	return code == codes.Unavailable || code == codes.DeadlineExceeded || code == codes.Canceled
}
