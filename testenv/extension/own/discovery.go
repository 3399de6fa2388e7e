package own

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-mesh/sluice/agent/discovery"
)

// lookEvery is how often directories are read.
const lookEvery = 100 * time.Millisecond

// dir is a registry in a directory, for services of one machine: dir:///PATH. A node is the file PATH/GROUP/SERVICE/HOST:PORT with the
// node's URL in its first line, after "off " while it is not available, and in the second line who announced it, which a file that
// people write does without. A file of a process that was killed stays until the address is announced again or somebody removes it.
type dir struct {
	root   string
	name   string // of this source, as the owner of files
	health *discovery.Health
	*discovery.Announcements

	ctx  context.Context // ends with the source
	stop context.CancelFunc
	run  sync.WaitGroup

	mu   sync.Mutex
	made map[string]bool // guarded by mu: files that we wrote and did not take back
}

func openDir(a discovery.Address, o discovery.Options) (discovery.Source, error) {
	d := &dir{root: filepath.Clean(a.Root), name: rand.Text(), health: discovery.NewHealth(), made: make(map[string]bool)}
	d.Announcements = discovery.NewAnnouncements(d, o.Log)
	d.ctx, d.stop = context.WithCancel(context.Background())
	d.run.Go(d.look)
	return d, nil
}

// look makes the directory, and sees to announcements that others took over or that are to be made again.
func (d *dir) look() {
	up := false
	for d.pause(d.ctx) {
		if err := os.MkdirAll(d.root, 0o755); err != nil {
			d.health.Failed(d.root, err)
			d.health.Down()
			d.Lost(err)
			up = false
			continue
		}
		d.health.Up(d.root, !up)
		up = true
		d.Check()
	}
}

// pause waits for the next look; false when ctx or the source ends.
func (d *dir) pause(ctx context.Context) bool {
	t := time.NewTimer(lookEvery)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-d.ctx.Done():
	}
	return false
}

// Watch implements discovery.Source.
func (d *dir) Watch(ctx context.Context, s discovery.Service, report func(discovery.Report)) error {
	if err := discovery.Check(s); err != nil {
		return err
	}
	defer d.health.Watching()()
	list := discovery.Lister{Service: s}
	for d.pause(ctx) {
		nodes, unread, known, err := d.read(s)
		if err != nil || !d.health.Status().Connected {
			continue // the last report stands
		}
		if r, ok := list.Report(nodes, unread, known); ok {
			d.health.Reported()
			report(r)
		}
	}
	if d.ctx.Err() != nil {
		return discovery.ErrClosed
	}
	return nil
}

// read returns the nodes of one service, and whether there is a place for it.
func (d *dir) read(s discovery.Service) (nodes []discovery.Node, unread int, known bool, err error) {
	at := filepath.Join(d.root, s.Group, s.Path)
	files, err := os.ReadDir(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, false, nil
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ".") {
			continue // being written
		}
		url, _, err := readNode(filepath.Join(at, f.Name()))
		if err != nil {
			continue // it is gone since
		}
		url, off := strings.CutPrefix(url, "off ")
		n, err := discovery.FromURL(s, url, !off)
		if err != nil || n.Address != f.Name() {
			unread++
			continue
		}
		nodes = append(nodes, n)
	}
	return nodes, unread, true, err
}

func readNode(file string) (url, owner string, err error) {
	text, err := os.ReadFile(file)
	url, owner, _ = strings.Cut(string(text), "\n")
	return strings.TrimSpace(url), strings.TrimSpace(owner), err
}

// Announce implements discovery.Back: the later of two processes has the address.
func (d *dir) Announce(_ context.Context, n discovery.Node) error {
	url, err := n.URL()
	if err != nil {
		return err
	}
	if !n.Available {
		url = "off " + url
	}
	file := filepath.Join(d.root, n.Group, n.Path, n.Address)
	return d.alone(func() error {
		have, owner, err := readNode(file)
		switch {
		case err == nil && owner == d.name && have == url:
			return nil
		case err == nil && owner != d.name && d.made[file]:
			return discovery.ErrHeld
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		part := filepath.Join(filepath.Dir(file), "."+d.name+n.Address)
		if err := os.WriteFile(part, []byte(url+"\n"+d.name+"\n"), 0o644); err != nil {
			return err
		}
		d.made[file] = true
		return os.Rename(part, file)
	})
}

// Withdraw implements discovery.Back.
func (d *dir) Withdraw(_ context.Context, n discovery.Node) error {
	return d.alone(func() error { return d.remove(filepath.Join(d.root, n.Group, n.Path, n.Address)) })
}

// remove removes a file that is ours.
func (d *dir) remove(file string) error {
	if _, owner, err := readNode(file); err == nil && owner == d.name {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	delete(d.made, file)
	return nil
}

// alone calls f while no other goroutine or process does.
func (d *dir) alone(f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	lock, err := os.OpenFile(filepath.Join(d.root, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close() // which unlocks it
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	return f()
}

// Status implements discovery.Source.
func (d *dir) Status() discovery.Status {
	s := d.health.Status()
	s.Announced = d.List()
	return s
}

// Close implements discovery.Source.
func (d *dir) Close() error {
	d.stop()
	d.Announcements.Close()
	d.run.Wait()
	return d.alone(func() error {
		var errs []error
		for file := range d.made {
			errs = append(errs, d.remove(file))
		}
		return errors.Join(errs...)
	})
}
