package etcd

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/sluice-mesh/sluice/governance/store"
)

// Deadlines.
const (
	openTimeout   = 15 * time.Second // of Open, unless its context ends before
	writeTimeout  = 6 * time.Second  // of a change: an election of etcd's takes 1 to 2 s
	readTimeout   = 3 * time.Second  // of one attempt to read
	readAttempts  = 4
	revokeTimeout = 2 * time.Second // of giving up a lease: it ends by itself after store.LeaseTime
)

// DefaultPrefix is what all keys begin with in etcd.
const DefaultPrefix = "sluice/"

// pageKeys is how many keys List asks for at once.
const pageKeys = 500

// Config says where etcd is. TLS and user are optional.
type Config struct {
	Endpoints          []string // "https://10.0.0.1:2379", or host:port, of some or all members
	Prefix             string   // of all keys, without or with a slash at its end; default DefaultPrefix
	Username, Password string
	TLS                *tls.Config // for endpoints that begin with https
}

// Store is a store.Store in an etcd cluster.
type Store struct {
	client    *clientv3.Client
	prefix    string
	endpoints string // for errors
	cluster   string
	log       *slog.Logger
	lease     time.Duration

	life context.Context // ends with Close
	kill context.CancelFunc

	mu   sync.Mutex // between start and Close
	work sync.WaitGroup

	closeOnce sync.Once
	closeErr  error
}

var _ store.Store = (*Store)(nil)

// Open connects to the cluster and makes the store's identity if it is new. It waits for etcd, 15 s at most. log may be nil.
func Open(ctx context.Context, c Config, log *slog.Logger) (*Store, error) {
	if len(c.Endpoints) == 0 {
		return nil, errors.New("no etcd endpoint is given: write at least one, such as https://10.0.0.1:2379")
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	s := &Store{
		prefix:    strings.TrimSuffix(c.Prefix, "/") + "/",
		endpoints: strings.Join(c.Endpoints, ", "),
		log:       log,
		lease:     store.LeaseTime,
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            c.Endpoints,
		Username:             c.Username,
		Password:             c.Password,
		TLS:                  c.TLS,
		DialTimeout:          5 * time.Second,
		DialKeepAliveTime:    10 * time.Second, // the least that grpc takes
		DialKeepAliveTimeout: 3 * time.Second,
		Logger:               zap.NewNop(), // what it would say comes back as errors
	})
	if err != nil {
		return nil, fmt.Errorf("etcd at %s: %w", s.endpoints, s.explain(err))
	}
	s.client = client
	s.life, s.kill = context.WithCancel(context.Background())
	if s.cluster, err = s.identity(ctx); err != nil {
		s.kill()
		_ = client.Close() // the other error says more
		return nil, fmt.Errorf("etcd at %s: %w", s.endpoints, s.explain(err))
	}
	return s, nil
}

// identity returns the store's identity, and makes one if there is none: the first centre's holds.
func (s *Store) identity(ctx context.Context) (string, error) {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	key := s.prefix + "meta/cluster"
	for {
		attempt, cancel := context.WithTimeout(ctx, readTimeout)
		r, err := s.client.Txn(attempt).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
			Then(clientv3.OpPut(key, hex.EncodeToString(id))).Else(clientv3.OpGet(key)).Commit()
		cancel()
		switch {
		case err == nil && r.Succeeded:
			return hex.EncodeToString(id), nil
		case err == nil:
			return string(r.Responses[0].GetResponseRange().Kvs[0].Value), nil
		case ctx.Err() != nil || !passing(err): // trying again is safe: whoever was first is found
			return "", err
		}
		if !s.pause(ctx, 100*time.Millisecond) {
			return "", err
		}
	}
}

// Cluster returns the identity that all centres on this prefix of this cluster share.
func (s *Store) Cluster() string { return s.cluster }

// Close ends watches and leaderships and closes the connections. A Commit that has no answer yet ends with an error that
// leaves open whether it was made.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.kill() // nobody adds to work from here on
		s.mu.Unlock()
		s.work.Wait()
		if err := s.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
			s.closeErr = fmt.Errorf("close the connections to etcd: %w", err)
		}
	})
	return s.closeErr
}

func (s *Store) closed() bool { return s.life.Err() != nil }

// start runs f in a goroutine that Close waits for.
func (s *Store) start(f func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed() {
		return store.ErrClosed
	}
	s.work.Go(f)
	return nil
}

// enter makes Close wait for work.Done.
func (s *Store) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed() {
		return store.ErrClosed
	}
	s.work.Add(1)
	return nil
}

// pause waits, and returns false if ctx or the store ended meanwhile.
func (s *Store) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-s.life.Done():
	}
	return false
}

// ready returns why a request cannot be sent.
func (s *Store) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed() {
		return store.ErrClosed
	}
	return nil
}

// read sends a request that changes nothing, again if it gets no answer.
func (s *Store) read(ctx context.Context, f func(context.Context) error) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	for i := 1; ; i++ {
		attempt, cancel := context.WithTimeout(ctx, readTimeout)
		err := f(attempt)
		cancel()
		switch {
		case err == nil:
			return nil
		case s.closed():
			return store.ErrClosed
		case ctx.Err() != nil:
			return ctx.Err()
		case i == readAttempts || !passing(err):
			return s.explain(err)
		}
	}
}

// Get returns one key.
func (s *Store) Get(ctx context.Context, key string) (store.Entry, error) {
	e, err := s.get(ctx, key)
	if err != nil {
		return e, fmt.Errorf("get %s: %w", key, err)
	}
	return e, nil
}

func (s *Store) get(ctx context.Context, key string) (e store.Entry, err error) {
	if err := store.CheckKey(key); err != nil {
		return e, err
	}
	err = s.read(ctx, func(ctx context.Context) error {
		r, err := s.client.Get(ctx, s.prefix+key)
		if err == nil && len(r.Kvs) > 0 && !store.Internal(key) {
			e = s.entry(r.Kvs[0])
		}
		return err
	})
	if err == nil && e.Key == "" {
		err = store.ErrNotFound
	}
	return e, err
}

// entry is a key of etcd as one of the store.
func (s *Store) entry(kv *mvccpb.KeyValue) store.Entry { return entry(s.prefix, kv) }

// entry is a key of etcd without the prefix that all keys of the store have.
func entry(prefix string, kv *mvccpb.KeyValue) store.Entry {
	e := store.Entry{Key: strings.TrimPrefix(string(kv.Key), prefix), Value: kv.Value, Revision: kv.ModRevision, Created: kv.CreateRevision}
	if e.Value == nil {
		e.Value = []byte{} // it is there
	}
	return e
}

// List returns the keys with a prefix, in pages that are all of one revision.
func (s *Store) List(ctx context.Context, prefix string) ([]store.Entry, int64, error) {
	if err := store.CheckPrefix(prefix); err != nil {
		return nil, 0, fmt.Errorf("list %s*: %w", prefix, err)
	}
	for i := 1; ; i++ {
		list, revision, err := s.list(ctx, prefix)
		if errors.Is(err, rpctypes.ErrCompacted) && i < readAttempts {
			continue // compacted between two pages
		}
		if err != nil {
			return nil, 0, fmt.Errorf("list %s*: %w", prefix, err)
		}
		return list, revision, nil
	}
}

func (s *Store) list(ctx context.Context, prefix string) (list []store.Entry, revision int64, err error) {
	from, to := s.prefix+prefix, clientv3.GetPrefixRangeEnd(s.prefix+prefix)
	for {
		var r *clientv3.GetResponse
		err := s.read(ctx, func(ctx context.Context) (err error) {
			r, err = s.client.Get(ctx, from, clientv3.WithRange(to), clientv3.WithLimit(pageKeys), clientv3.WithRev(revision))
			return err
		})
		if err != nil {
			return nil, 0, err
		}
		if revision == 0 {
			revision = r.Header.Revision
		}
		for _, kv := range r.Kvs {
			if e := s.entry(kv); !store.Internal(e.Key) {
				list = append(list, e)
			}
		}
		if !r.More || len(r.Kvs) == 0 {
			return list, revision, nil
		}
		from = string(r.Kvs[len(r.Kvs)-1].Key) + "\x00"
	}
}
