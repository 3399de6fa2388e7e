package bolt

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/sluice-mesh/sluice/governance/store"
)

// format is the version of the file's contents.
const format = 1

// The buckets, and the keys of meta.
var (
	bucketKeys = []byte("keys")
	bucketLog  = []byte("log")
	bucketMeta = []byte("meta")

	metaFormat    = []byte("format")
	metaCluster   = []byte("cluster")
	metaRevision  = []byte("revision")
	metaCompacted = []byte("compacted") // the last revision that is gone from the log
	metaLogBytes  = []byte("log-bytes") // of the records in the log
)

// initialize fills a new file.
func initialize(tx *bbolt.Tx) error {
	for _, name := range [][]byte{bucketKeys, bucketLog, bucketMeta} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	if err := tx.Bucket(bucketMeta).Put(metaCluster, []byte(hex.EncodeToString(id))); err != nil {
		return err
	}
	m := tx.Bucket(bucketMeta)
	if err := m.Put(metaFormat, revisionKey(format)); err != nil {
		return err
	}
	return writeMeta(tx, numbers{})
}

// numbers are the parts of meta that commits change.
type numbers struct {
	revision, compacted, logBytes int64
}

func readMeta(tx *bbolt.Tx) (n numbers, err error) {
	m := tx.Bucket(bucketMeta)
	for _, f := range []struct {
		key []byte
		to  *int64
	}{{metaRevision, &n.revision}, {metaCompacted, &n.compacted}, {metaLogBytes, &n.logBytes}} {
		if *f.to, err = decodeRevision(m.Get(f.key)); err != nil {
			return n, fmt.Errorf("meta/%s: %w", f.key, err)
		}
	}
	return n, nil
}

func writeMeta(tx *bbolt.Tx, n numbers) error {
	m := tx.Bucket(bucketMeta)
	if err := m.Put(metaRevision, revisionKey(n.revision)); err != nil {
		return err
	}
	if err := m.Put(metaCompacted, revisionKey(n.compacted)); err != nil {
		return err
	}
	return m.Put(metaLogBytes, revisionKey(n.logBytes))
}

// checkContents reads everything once: first each record, here, where a fault in the mapping is caught, then the pages
// among each other, as bbolt does it.
func checkContents(db *bbolt.DB) error {
	return guard(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			if err := checkRecords(tx); err != nil {
				return err
			}
			var first error
			for err := range tx.Check() { // to the end: its goroutine waits for that
				if first == nil {
					first = fmt.Errorf("%w: %v", errDamaged, err)
				}
			}
			return first
		})
	})
}

func checkRecords(tx *bbolt.Tx) error {
	for _, name := range [][]byte{bucketKeys, bucketLog, bucketMeta} {
		if tx.Bucket(name) == nil {
			return fmt.Errorf("%w: it has no bucket %s", errDamaged, name)
		}
	}
	m := tx.Bucket(bucketMeta)
	if v, err := decodeRevision(m.Get(metaFormat)); err != nil {
		return fmt.Errorf("meta/format: %w", err)
	} else if v != format {
		return fmt.Errorf("its format is %d and this version knows %d: use the version that wrote it, or a newer one", v, format)
	}
	if len(m.Get(metaCluster)) == 0 {
		return fmt.Errorf("%w: meta/cluster is missing", errDamaged)
	}
	n, err := readMeta(tx)
	if err != nil {
		return err
	}
	err = tx.Bucket(bucketKeys).ForEach(func(k, v []byte) error {
		e, err := decodeValue(k, v)
		if err == nil && (e.Created < 1 || e.Created > e.Revision || e.Revision > n.revision) {
			err = fmt.Errorf("record %.80q: %w: made at %d, changed at %d of %d", k, errDamaged, e.Created, e.Revision, n.revision)
		}
		return err
	})
	if err != nil {
		return err
	}
	next, bytes := n.compacted+1, int64(0)
	err = tx.Bucket(bucketLog).ForEach(func(k, v []byte) error {
		revision, err := decodeRevision(k)
		if err != nil {
			return fmt.Errorf("key of the log: %w", err)
		}
		if revision != next {
			return fmt.Errorf("%w: the log goes on with revision %d and not %d", errDamaged, revision, next)
		}
		next, bytes = next+1, bytes+int64(len(v))
		return decodeChanges(revision, v, func([]byte, bool, int64, []byte) {})
	})
	if err != nil {
		return err
	}
	if next != n.revision+1 || bytes != n.logBytes {
		return fmt.Errorf("%w: the log ends at revision %d with %d bytes and not at %d with %d", errDamaged, next-1, bytes, n.revision, n.logBytes)
	}
	return nil
}

// changeKey makes one change of a Txn in keys and returns it as the log has it; ok is false when there was nothing to
// delete.
func changeKey(tx *bbolt.Tx, revision int64, op store.Op) (c store.Change, ok bool, err error) {
	keys, key := tx.Bucket(bucketKeys), []byte(op.Key)
	old := keys.Get(key)
	if op.Delete {
		if old == nil {
			return c, false, nil
		}
		return store.Change{Entry: store.Entry{Key: op.Key, Revision: revision}, Deleted: true}, true, keys.Delete(key)
	}
	created := revision
	if old != nil {
		e, err := decodeValue(key, old)
		if err != nil {
			return c, false, err
		}
		created = e.Created
	}
	c.Entry = store.Entry{Key: op.Key, Value: op.Value, Revision: revision, Created: created}
	return c, true, keys.Put(key, encodeValue(key, revision, created, op.Value))
}
