package bolt

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/sluice-mesh/sluice/governance/store"
)

type boltTx = bbolt.Tx

func changesOf(revision int64, rec []byte) (list []store.Change, err error) {
	err = decodeChanges(revision, rec, func(key []byte, deleted bool, created int64, value []byte) {
		c := store.Change{Entry: store.Entry{Key: string(key), Revision: revision, Created: created}, Deleted: deleted}
		if !deleted {
			c.Value = append([]byte{}, value...)
		}
		list = append(list, c)
	})
	return list, err
}

func TestRecords(t *testing.T) {
	want := []store.Change{
		{Entry: store.Entry{Key: "a", Value: []byte("value"), Revision: 7, Created: 3}},
		{Entry: store.Entry{Key: "b", Revision: 7}, Deleted: true},
		{Entry: store.Entry{Key: strings.Repeat("c", 300), Value: []byte{}, Revision: 7, Created: 7}},
	}
	rec := encodeChanges(7, want)
	got, err := changesOf(7, rec)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v, difference %s", err, diff)
	}
	if _, err := changesOf(8, rec); err == nil {
		t.Error("a record at another revision is taken")
	}
	for i := range rec {
		bad := bytes.Clone(rec)
		bad[i] ^= 1
		if _, err := changesOf(7, bad); err == nil {
			t.Errorf("byte %d may change", i)
		}
		if _, err := changesOf(7, rec[:i]); err == nil {
			t.Errorf("%d of %d bytes are taken", i, len(rec))
		}
	}
	e, err := decodeValue([]byte("k"), encodeValue([]byte("k"), 9, 4, []byte("v")))
	if err != nil || e.Revision != 9 || e.Created != 4 || string(e.Value) != "v" {
		t.Errorf("%+v, error %v", e, err)
	}
	if _, err := decodeValue([]byte("j"), encodeValue([]byte("k"), 9, 4, []byte("v"))); err == nil {
		t.Error("a record of another key is taken")
	}
}

// The checksum is made right first, so that the fuzzer gets to what is behind it.
func FuzzDecodeChanges(f *testing.F) {
	f.Add(encodeChanges(7, []store.Change{{Entry: store.Entry{Key: "a", Value: []byte("v"), Created: 3}}, {Entry: store.Entry{Key: "b"}, Deleted: true}}))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f"))
	f.Add([]byte("12345678\x02\x00"))
	f.Fuzz(func(t *testing.T, rec []byte) {
		_, _ = changesOf(7, rec)
		if len(rec) < sumLen {
			return
		}
		list, err := changesOf(7, seal(revisionKey(7), bytes.Clone(rec)))
		if err != nil {
			return
		}
		again, err := changesOf(7, encodeChanges(7, list))
		if diff := cmp.Diff(list, again); err != nil || diff != "" {
			t.Errorf("error %v, difference %s", err, diff)
		}
	})
}

func FuzzDecodeValue(f *testing.F) {
	f.Add([]byte("k"), encodeValue([]byte("k"), 9, 4, []byte("v")))
	f.Add([]byte(""), []byte("1234567812345678"))
	f.Fuzz(func(t *testing.T, key, rec []byte) {
		_, _ = decodeValue(key, rec)
		if len(rec) < sumLen {
			return
		}
		e, err := decodeValue(key, seal(key, rec))
		if err == nil && !bytes.Equal(encodeValue(key, e.Revision, e.Created, e.Value), rec) {
			t.Errorf("%q is read as %+v", rec, e)
		}
	})
}

func FuzzFileLength(f *testing.F) {
	meta := make([]byte, 3*4096)
	copy(meta[metaHeader:], "\xed\xda\x0c\xed\x02\x00\x00\x00\x00\x10\x00\x00")
	f.Add(meta)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := lengthOf(bytes.NewReader(b)); n < 0 || n > 1<<42 {
			t.Errorf("length %d", n)
		}
	})
}
