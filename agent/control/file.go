package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// format is the version of the envelope. A file with another one is treated as broken: kept aside, and said so.
const format = 1

// longestFile bounds what is read into memory at the start.
const longestFile = 64 << 20

// envelope is what a file holds.
type envelope struct {
	Format   int             `json:"format"`
	Revision uint64          `json:"revision"`
	Saved    time.Time       `json:"saved"`
	Checksum string          `json:"checksum"` // CRC-32C of the revision in decimal and the payload, in hexadecimal
	Payload  json.RawMessage `json:"payload"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(revision uint64, payload []byte) string {
	sum := crc32.Update(0, castagnoli, fmt.Appendf(nil, "%d\n", revision))
	return fmt.Sprintf("%08x", crc32.Update(sum, castagnoli, payload))
}

// file is one persisted value with its previous generation.
type file struct {
	dir  string
	name string
	// step, when set, runs before each step of a save with the step's name. Tests let a step fail, or panic there as
	// the nearest thing to a crash: no clean-up runs.
	step func(name string) error
}

func (f *file) path(suffix string) string { return filepath.Join(f.dir, f.name+suffix) }

func (f *file) before(step string) error {
	if f.step == nil {
		return nil
	}
	return f.step(step)
}

// save writes a new generation. On an error the current one is still what load finds.
func (f *file) save(revision uint64, now time.Time, value any) error {
	payload, err := json.Marshal(value)
	if err != nil {
		return err
	}
	data, err := json.Marshal(envelope{Format: format, Revision: revision, Saved: now.UTC(), Checksum: checksum(revision, payload), Payload: payload})
	if err != nil {
		return err
	}
	if err := f.write(append(data, '\n')); err != nil {
		return fmt.Errorf("%s: %w", f.path(""), err)
	}
	return nil
}

func (f *file) write(data []byte) error {
	tmp := f.path(".tmp")
	if err := f.writeTemp(tmp, data); err != nil {
		os.Remove(tmp)
		return err
	}
	if err := f.keepPrevious(); err != nil {
		os.Remove(tmp)
		os.Remove(f.path(".1.tmp"))
		return err
	}
	err := f.before("rename")
	if err == nil {
		err = os.Rename(tmp, f.path(""))
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	err = f.before("sync-dir")
	if err == nil {
		err = syncDir(f.dir)
	}
	if err != nil {
		// The change is visible but may not be durable, and the caller will say that it failed: take it back.
		return errors.Join(err, f.takeBack())
	}
	return nil
}

func (f *file) writeTemp(tmp string, data []byte) error {
	if err := f.before("create"); err != nil {
		return err
	}
	out, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	half := len(data) / 2
	_, err = out.Write(data[:half])
	if err == nil {
		err = f.before("write")
	}
	if err == nil {
		_, err = out.Write(data[half:])
	}
	if err == nil {
		err = f.before("sync")
	}
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// keepPrevious makes the current generation the previous one as well, so that there is a current one at every moment.
func (f *file) keepPrevious() error {
	if err := f.before("link"); err != nil {
		return err
	}
	second := f.path(".1.tmp")
	if err := os.Remove(second); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := os.Link(f.path(""), second)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // the first save
	case err != nil: // a file system without hard links
		if err := copyFile(f.path(""), second); err != nil {
			return err
		}
	}
	if err := f.before("rename-previous"); err != nil {
		return err
	}
	if err := os.Rename(second, f.path(".1")); err != nil {
		return err
	}
	// After a save that failed here or later both names are the same file already, and rename(2) then does nothing.
	if err := os.Remove(second); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// takeBack makes the previous generation the current one again, or removes the first one there ever was.
func (f *file) takeBack() error {
	err := os.Rename(f.path(".1"), f.path(""))
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Remove(f.path(""))
	}
	return err
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// load reads the newest generation that is whole into value, and returns its revision. problems says what was broken
// and what was done about it; with no file at all, value stays as it is. err is only for a folder that cannot be used.
func (f *file) load(now time.Time, value any) (revision uint64, problems []string, err error) {
	for _, suffix := range []string{"", ".1"} {
		path := f.path(suffix)
		rev, err := read(path, value)
		switch {
		case err == nil:
			if suffix != "" && len(problems) > 0 {
				problems = append(problems, fmt.Sprintf("%s: using this previous generation, revision %d: the last change is lost", path, rev))
			}
			return rev, problems, nil
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, fs.ErrPermission):
			return 0, problems, err
		}
		aside := fmt.Sprintf("%s.broken-%s", path, now.UTC().Format("20060102T150405.000"))
		if err := os.Rename(path, aside); err != nil {
			return 0, problems, fmt.Errorf("keeping a broken file aside: %w", err)
		}
		problems = append(problems, fmt.Sprintf("%s is broken (%v); kept as %s", path, err, filepath.Base(aside)))
	}
	if len(problems) > 0 {
		problems = append(problems, fmt.Sprintf("%s: no generation can be read: starting empty, what was in it is not in force", f.path("")))
	}
	return 0, problems, nil
}

// read reads and checks one generation. value is set only when all of it is right.
func read(path string, value any) (revision uint64, err error) {
	in, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, longestFile+1))
	switch {
	case err != nil:
		return 0, err
	case len(data) == 0:
		return 0, errors.New("empty")
	case len(data) > longestFile:
		return 0, fmt.Errorf("larger than %d bytes", longestFile)
	}
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return 0, err
	}
	if e.Format != format {
		return 0, fmt.Errorf("format %d, not %d", e.Format, format)
	}
	if want := checksum(e.Revision, e.Payload); e.Checksum != want {
		return 0, fmt.Errorf("checksum %q, not %s", e.Checksum, want)
	}
	if err := json.Unmarshal(e.Payload, value); err != nil {
		return 0, err
	}
	return e.Revision, nil
}
