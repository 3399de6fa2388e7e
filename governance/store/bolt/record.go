package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/sluice-mesh/sluice/governance/store"
)

// errDamaged is in every error about bytes on disk that are not what was written.
var errDamaged = errors.New("the data is damaged")

const sumLen = 8

// sum is the checksum of a record: it covers its key, so that a record at a wrong place is noticed too.
func sum(key, body []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.Write(key) // never fails
	_, _ = d.Write(body)
	return d.Sum64()
}

// seal writes the checksum of rec[sumLen:] into its first bytes.
func seal(key, rec []byte) []byte {
	binary.BigEndian.PutUint64(rec, sum(key, rec[sumLen:]))
	return rec
}

// unseal returns a record without its checksum, after comparing it.
func unseal(key, rec []byte) ([]byte, error) {
	if len(rec) < sumLen || binary.BigEndian.Uint64(rec) != sum(key, rec[sumLen:]) {
		return nil, fmt.Errorf("record %.80q: %w: its checksum is wrong", key, errDamaged)
	}
	return rec[sumLen:], nil
}

// encodeValue makes the record of a key: checksum, revision, created (8 bytes each, big endian), value.
func encodeValue(key []byte, revision, created int64, value []byte) []byte {
	rec := make([]byte, sumLen, sumLen+16+len(value))
	rec = binary.BigEndian.AppendUint64(rec, uint64(revision))
	rec = binary.BigEndian.AppendUint64(rec, uint64(created))
	return seal(key, append(rec, value...))
}

// decodeValue reads the record of a key. Value points into rec.
func decodeValue(key, rec []byte) (store.Entry, error) {
	body, err := unseal(key, rec)
	if err != nil {
		return store.Entry{}, err
	}
	if len(body) < 16 {
		return store.Entry{}, fmt.Errorf("record %.80q: %w: it has %d bytes", key, errDamaged, len(rec))
	}
	return store.Entry{
		Key:      string(key),
		Revision: int64(binary.BigEndian.Uint64(body)),
		Created:  int64(binary.BigEndian.Uint64(body[8:])),
		Value:    body[16:],
	}, nil
}

// revisionKey is a revision as a key of the log: 8 bytes, big endian, so that they sort.
func revisionKey(revision int64) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(revision))
}

// decodeRevision reads a number of 8 bytes: a key of the log, or a value of meta.
func decodeRevision(b []byte) (int64, error) {
	if len(b) != 8 || b[0] > 0x7f {
		return 0, fmt.Errorf("%w: %x is no revision", errDamaged, b)
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

// Kinds of changes in a record of the log.
const (
	changePut    = 1
	changeDelete = 2
)

// encodeChanges makes the record of a revision: checksum, then for each change its kind (1 byte), the key's length and
// the key, and for a put: created, the value's length, the value. Numbers are uvarints.
func encodeChanges(revision int64, changes []store.Change) []byte {
	size := sumLen
	for _, c := range changes {
		size += 1 + 3*binary.MaxVarintLen64 + len(c.Key) + len(c.Value)
	}
	rec := make([]byte, sumLen, size)
	for _, c := range changes {
		if c.Deleted {
			rec = append(rec, changeDelete)
		} else {
			rec = append(rec, changePut)
		}
		rec = append(binary.AppendUvarint(rec, uint64(len(c.Key))), c.Key...)
		if !c.Deleted {
			rec = binary.AppendUvarint(rec, uint64(c.Created))
			rec = append(binary.AppendUvarint(rec, uint64(len(c.Value))), c.Value...)
		}
	}
	return seal(revisionKey(revision), rec)
}

// decodeChanges calls each for every change of a record of the log. Key and value point into rec.
func decodeChanges(revision int64, rec []byte, each func(key []byte, deleted bool, created int64, value []byte)) error {
	body, err := unseal(revisionKey(revision), rec)
	if err != nil {
		return fmt.Errorf("revision %d of the log: %w", revision, err)
	}
	r := reader{b: body}
	for len(r.b) > 0 {
		kind := r.b[0]
		r.b = r.b[1:]
		key := r.bytes()
		var created int64
		var value []byte
		if kind == changePut {
			created = int64(r.uvarint())
			value = r.bytes()
		}
		if r.bad || len(key) == 0 || (kind != changePut && kind != changeDelete) {
			return fmt.Errorf("revision %d of the log: %w: a change is cut short or of unknown kind %d", revision, errDamaged, kind)
		}
		each(key, kind == changeDelete, created, value)
	}
	return nil
}

// reader takes numbers and byte strings from the front of b.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > 1<<63-1 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}
