package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// fileName is the file in the folder that Open is given.
const fileName = "center.db"

// newSuffix and a random number follow the name of a file that is being made.
const newSuffix = ".new"

// lockTimeout is how long Open waits for a process that is about to end to let go of the file.
const lockTimeout = time.Second

// openFile opens DIR/center.db, and makes it first if there is none.
func openFile(dir string) (*bbolt.DB, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the store: %w", err)
	}
	path := filepath.Join(dir, fileName)
	switch _, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		if err := makeFile(dir, path); err != nil {
			return nil, fmt.Errorf("make %s: %w", path, err)
		}
	case err != nil:
		return nil, fmt.Errorf("open the store: %w", err)
	}
	if err := checkLength(path); err != nil {
		return nil, damagedFile(path, err)
	}
	db, err := openBolt(path, lockTimeout)
	if err != nil {
		return nil, err
	}
	if err := checkContents(db); err != nil {
		return nil, errors.Join(damagedFile(path, err), db.Close())
	}
	return db, sweep(dir)
}

// sweep removes what processes left that were killed while they made the file. The store is locked, so whoever makes one now
// would not get it.
func sweep(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, fileName+newSuffix+"*"))
	for _, path := range left {
		if e := os.Remove(path); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("remove what a killed process left: %w", e))
		}
	}
	return err
}

// damagedFile says what to do about a file that cannot be used.
func damagedFile(path string, err error) error {
	return fmt.Errorf("%s cannot be used: %w; put a backup in its place, or move it away to begin with an empty store", path, err)
}

// makeFile fills a new file under another name and links it into place: if the process is killed meanwhile there is no
// file, and if another process does the same, the first one wins.
func makeFile(dir, path string) (err error) {
	f, err := os.CreateTemp(dir, fileName+newSuffix+"*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if e := os.Remove(f.Name()); err == nil && !errors.Is(e, fs.ErrNotExist) {
			err = e
		}
		if _, e := os.Stat(path); err != nil && e == nil {
			err = nil // another process was faster, and may have removed ours
		}
	}()
	if err := f.Close(); err != nil {
		return err
	}
	db, err := openBolt(f.Name(), lockTimeout)
	if err != nil {
		return err
	}
	if err := errors.Join(db.Update(initialize), db.Sync(), db.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openBolt opens a bbolt file. bbolt panics on some damages: then the file is closed here, which unlocks it.
func openBolt(path string, timeout time.Duration) (db *bbolt.DB, err error) {
	var file *os.File
	err = guard(func() (err error) {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:      timeout,
			FreelistType: bbolt.FreelistMapType,
			NoStatistics: true,
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				f, err := os.OpenFile(name, flag, mode)
				file = f
				return f, err
			},
		})
		return err
	})
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%s is in use by another process: end the other centre, or give this one a data folder of its own", path)
	case errors.Is(err, errDamaged):
		_ = file.Close() // what matters is the damage
		return nil, damagedFile(path, err)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, damagedFile(path, err)
	}
	return nil, fmt.Errorf("open %s: %w", path, err)
}

// guard turns the panics of bbolt, and faults in the file's mapping, into errors.
func guard(f func() error) (err error) {
	before := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(before)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	return f()
}

// The parts of a bbolt meta page that say how long the file must be. Numbers are in the byte order of the machine,
// which is little endian wherever Go runs that this store is tested on; on another one the check would find no valid page, and
// is left out.
const (
	metaHeader  = 16 // of the page, before meta
	metaMagic   = 0  // offsets in meta
	metaPage    = 8
	metaPages   = 40
	metaTx      = 48
	metaSum     = 56
	metaLen     = 64
	boltMagic   = 0xED0CDAED
	minPageSize = 512
	maxPageSize = 1 << 24
)

// checkLength returns an error when the file is shorter than its newest meta page says: bbolt maps it into memory, and
// reading what is not there is a fault that ends the process. A file without a valid meta page is left for bbolt to refuse.
func checkLength(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return fmt.Errorf("%w: it is empty", errDamaged)
	}
	if want := lengthOf(f); want > info.Size() {
		return fmt.Errorf("%w: it has %d bytes of at least %d", errDamaged, info.Size(), want)
	}
	return nil
}

// lengthOf returns the least length of a bbolt file in bytes, 0 when that is not known.
func lengthOf(f io.ReaderAt) int64 {
	var newest uint64
	var length int64
	try := func(at int64) (page int64) {
		var b [metaHeader + metaLen]byte
		if _, err := f.ReadAt(b[:], at); err != nil {
			return 0
		}
		page, pages, tx, ok := parseMeta(b[metaHeader:])
		if ok && tx >= newest {
			newest, length = tx, page*pages
		}
		return page
	}
	if page := try(0); page > 0 {
		try(page)
		return length
	}
	for page := int64(1024); page <= maxPageSize && length == 0; page *= 2 { // the first page is lost: look for the second
		try(page)
	}
	return length
}

// parseMeta reads the page size in bytes, the number of pages and the transaction of a meta page.
func parseMeta(b []byte) (page, pages int64, tx uint64, ok bool) {
	le := binary.LittleEndian
	h := fnv.New64a()
	_, _ = h.Write(b[:metaSum]) // never fails
	if le.Uint32(b[metaMagic:]) != boltMagic || le.Uint64(b[metaSum:]) != h.Sum64() {
		return 0, 0, 0, false
	}
	page, n := int64(le.Uint32(b[metaPage:])), le.Uint64(b[metaPages:])
	if page < minPageSize || page > maxPageSize || n > (1<<42)/uint64(page) {
		return 0, 0, 0, false
	}
	return page, int64(n), le.Uint64(b[metaTx:]), true
}
