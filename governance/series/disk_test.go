package series

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// traffic lets an agent report for a while, every ten seconds, one call more each time.
func (f *fixture) traffic(a *testAgent, d time.Duration) {
	f.t.Helper()
	for i := 0; d > 0; d -= 10 * time.Second {
		f.step(10 * time.Second)
		i++
		a.done("feed", "yf", "GET", 0, repeat(int64(1e5+i), i)...)
		a.done("feed", "yf", "SET", uint8(i%5), 2e6)
		f.report(a)
	}
}

// all asks everything that there is, in all steps.
func (f *fixture) all() map[string]any {
	f.t.Helper()
	out := map[string]any{}
	for _, step := range []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute} {
		for _, q := range []Query{{}, {Op: "GET"}, {Application: "web"}, {Agent: "web-1"}} {
			q.From, q.To, q.Step = epoch, epoch.Add(time.Hour), step
			out[fmt.Sprintf("%v %+v", step, q)] = f.query(q)
		}
	}
	return out
}

func TestRestartKeepsHistory(t *testing.T) {
	for _, end := range []string{"closed", "killed"} {
		dir := t.TempDir()
		f := newFixture(t, Options{Dir: dir})
		f.traffic(newAgent("web-1", "web", "yf"), 17*time.Minute+30*time.Second)
		if end == "killed" {
			f.step(30 * time.Second) // the last slots are on disk; nothing of their minute is
		}
		want := f.all()
		if end == "closed" {
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			f.crash()
		}
		f.open(Options{Dir: dir})
		if d := cmp.Diff(want, f.all()); d != "" {
			t.Errorf("%s: %s", end, d)
		}
		f.step(30 * time.Minute) // what was made again closes in its turn
		if d := cmp.Diff(want, f.all()); d != "" {
			t.Errorf("%s, half an hour later: %s", end, d)
		}
		if st := f.Stats(); st.Lost != 0 || st.Degraded != "" {
			t.Errorf("%s: %+v", end, st)
		}
	}
}

// files returns the files of a level in order.
func files(t *testing.T, dir, level string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "series", level+"-*.series"))
	if err != nil || len(names) == 0 {
		t.Fatalf("files of %s: %v, %v", level, names, err)
	}
	return names
}

func TestTornEndIsCut(t *testing.T) {
	dir := t.TempDir()
	f := newFixture(t, Options{Dir: dir})
	f.traffic(newAgent("web-1", "web", "yf"), 5*time.Minute)
	f.step(time.Minute)
	f.crash()
	name := files(t, dir, "fleet-10")[0]
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	blocks := f.fleet.levels[0].blocks
	last := blocks[len(blocks)-1]
	for _, torn := range []struct {
		name string
		data []byte
	}{
		{"in its header", whole[:last.offset+10]},
		{"in its index", whole[:last.offset+headerLen+3]},
		{"in its body", whole[:len(whole)-1]},
		{"zeros", append(bytes.Clone(whole[:last.offset]), make([]byte, len(whole)-int(last.offset))...)},
		{"zeros in its body", append(bytes.Clone(whole[:len(whole)-20]), make([]byte, 20)...)},
	} {
		if err := os.WriteFile(name, torn.data, 0o600); err != nil {
			t.Fatal(err)
		}
		f.log = new(lines)
		f.open(Options{Dir: dir})
		if got := len(f.fleet.levels[0].blocks); got != len(blocks)-1 {
			t.Errorf("%s: %d blocks, want %d", torn.name, got, len(blocks)-1)
		}
		if info, err := os.Stat(name); err != nil || info.Size() != last.offset {
			t.Errorf("%s: not cut: %v, %v", torn.name, info, err)
		}
		if !f.log.has("damaged") {
			t.Errorf("%s: cut without a word", torn.name)
		}
		f.crash()
	}
	// What is appended after a cut is found again.
	f.open(Options{Dir: dir})
	f.traffic(newAgent("web-1", "web", "yf"), time.Minute)
	f.step(time.Minute)
	n := len(f.fleet.levels[0].blocks)
	f.crash()
	f.open(Options{Dir: dir})
	if got := len(f.fleet.levels[0].blocks); got != n || n < len(blocks) {
		t.Errorf("%d blocks after the cut, want %d", got, n)
	}
}

func TestDamageInTheMiddleIsPassedOver(t *testing.T) {
	dir := t.TempDir()
	f := newFixture(t, Options{Dir: dir})
	f.traffic(newAgent("web-1", "web", "yf"), 5*time.Minute)
	f.step(time.Minute)
	f.crash()
	blocks := f.fleet.levels[0].blocks
	name := files(t, dir, "fleet-10")[0]
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	whole[blocks[3].offset+5] ^= 0xff                                     // of a header
	whole[blocks[7].offset+headerLen+int64(blocks[7].indexLen)+5] ^= 0xff // of a chunk
	whole[blocks[9].offset+headerLen+2] ^= 0xff                           // of an index
	if err := os.WriteFile(name, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	f.open(Options{Dir: dir})
	if got := len(f.fleet.levels[0].blocks); got != len(blocks)-1 || !f.log.has("passed over") {
		t.Errorf("%d blocks, want all but one of %d", got, len(blocks))
	}
	points := f.query(Query{From: epoch, To: epoch.Add(5 * time.Minute), Step: 10 * time.Second})
	known := 0
	for _, p := range points {
		if p.Calls > 0 {
			known++
		}
	}
	if known < len(blocks)-3 || known == len(blocks) || f.Stats().Lost == 0 {
		t.Errorf("%d points have calls, of %d blocks; %+v", known, len(blocks), f.Stats())
	}
}

func TestRetention(t *testing.T) {
	dir := t.TempDir()
	f := newFixture(t, Options{Dir: dir})
	a := newAgent("web-1", "web", "yf")
	for range 9 { // one report an hour is enough
		f.now = f.now.Add(time.Hour)
		a.enc.Append(nil, f.now.Add(time.Hour-10*time.Second))
		a.done("feed", "yf", "GET", 0, 1000)
		f.report(a)
		f.step(time.Minute)
		f.retain(f.now)
	}
	if n := len(files(t, dir, "fleet-10")); n < 6 || n > 8 {
		t.Errorf("%d files of 10 s slots, want those of six hours and the two that these begin and end in", n)
	}
	if p := f.window(Query{From: epoch, To: f.now}); p.Calls != 9 {
		t.Errorf("%d calls in all hours, want 9: the coarser slots must stand in", p.Calls)
	}
	f.now = f.now.Add(20 * 24 * time.Hour)
	f.retain(f.now)
	if st := f.Stats(); st.Blocks != 0 || st.Disk != 0 {
		t.Errorf("after twenty days: %+v", st)
	}
	left, err := os.ReadDir(filepath.Join(dir, "series"))
	if err != nil || len(left) != 0 {
		t.Errorf("files that are left: %v, %v", left, err)
	}
}

// When the disk's share is used up, the fine slots of single agents go first, and the fleet's stay.
func TestMaxDisk(t *testing.T) {
	dir := t.TempDir()
	f := newFixture(t, Options{Dir: dir})
	a := newAgent("web-1", "web", "yf")
	for range 5 {
		f.traffic(a, 2*time.Minute)
		f.step(time.Minute)
		f.now = f.now.Add(time.Hour)
		a.enc.Append(nil, f.now.Add(time.Hour))
	}
	agents, fleet := len(files(t, dir, "agents-10")), len(files(t, dir, "fleet-10"))
	f.opt.MaxDisk = f.diskUsed() - 1
	f.retain(f.now)
	if got := len(files(t, dir, "agents-10")); got != agents-1 || len(files(t, dir, "fleet-10")) != fleet {
		t.Errorf("%d files of agents, want %d; %d of the fleet, want %d", got, agents-1, len(files(t, dir, "fleet-10")), fleet)
	}
	f.opt.MaxDisk = 1
	f.retain(f.now)
	if got := len(files(t, dir, "fleet-10")); got != 1 {
		t.Errorf("%d files, want the one that is written", got)
	}
	if p := f.window(Query{Resource: "feed", From: epoch, To: f.now, Agent: "web-1"}); p.Calls == 0 {
		t.Error("nothing is left of the agent's history")
	}
}

// A disk that takes nothing costs no history while the process lives, and is used again when it does.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	f := newFixture(t, Options{Dir: dir})
	a := newAgent("web-1", "web", "yf")
	f.traffic(a, time.Minute)
	f.step(30 * time.Second)
	for _, tr := range f.tracks {
		for _, l := range tr.levels {
			for _, file := range l.files {
				// A file that is open for reading only takes no bytes, like a full disk.
				ro, err := os.Open(file.path)
				if err != nil {
					t.Fatal(err)
				}
				file.mu.Lock()
				file.f.Close()
				file.f = ro
				file.mu.Unlock()
			}
		}
	}
	f.traffic(a, 2*time.Minute)
	f.step(30 * time.Second)
	st := f.Stats()
	if st.Degraded == "" || st.Memory == 0 || !f.log.has("goes on in memory") {
		t.Fatalf("the disk takes nothing, and nobody says so: %+v", st)
	}
	if n := strings.Count(f.log.text.String(), "goes on in memory"); n != 1 {
		t.Errorf("said %d times", n)
	}
	var n uint64
	for _, p := range f.query(Query{Op: "SET", From: epoch, To: f.now, Step: 10 * time.Second}) {
		n += p.Calls
	}
	if n != 6+12 {
		t.Errorf("%d calls, want 18", n)
	}
	for _, tr := range f.tracks {
		for _, l := range tr.levels {
			for _, file := range l.files {
				rw, err := os.OpenFile(file.path, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				file.mu.Lock()
				file.f.Close()
				file.f = rw
				file.mu.Unlock()
			}
		}
	}
	f.traffic(a, time.Minute)
	f.step(30 * time.Second)
	if st := f.Stats(); st.Degraded != "" || !f.log.has("written again") {
		t.Errorf("the disk is well, and not used: %+v", st)
	}
}

func TestMemoryAloneIsBounded(t *testing.T) {
	f := newFixture(t, Options{MaxMemory: 20_000})
	f.traffic(newAgent("web-1", "web", "yf"), time.Hour)
	st := f.Stats()
	if st.Memory > 20_000 || st.Memory < 15_000 || st.Lost == 0 || st.Degraded != "" {
		t.Errorf("%+v", st)
	}
	if p := f.window(Query{Op: "SET", From: epoch, To: f.now}); p.Calls != 360 {
		t.Errorf("%d calls of the fleet, want 360: those of single agents must go first", p.Calls)
	}
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "series"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a file in place of the folder: %v, %v", s, err)
	}
}

func FuzzFile(f *testing.F) {
	dir := f.TempDir()
	fx := newFixture(f, Options{Dir: dir})
	fx.traffic(newAgent("web-1", "web", "yf"), 30*time.Second)
	fx.step(30 * time.Second)
	names, err := filepath.Glob(filepath.Join(dir, "series", "fleet-10-*.series"))
	if err != nil || len(names) != 1 {
		f.Fatal(names, err)
	}
	whole, err := os.ReadFile(names[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add([]byte("1SLS"))
	path := filepath.Join(dir, "x"+fileSuffix)
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		file, blocks, err := openFile(path, 0, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer file.close()
		if file.size > int64(len(data)) {
			t.Fatalf("%d bytes of %d", file.size, len(data))
		}
		for i := range blocks {
			_ = fx.eachKey(&blocks[i], new(unpacker), nil, func(_ *chunkRef, _, packed []byte, tr *translation) error {
				return new(sum).merge(packed, tr)
			})
		}
	})
}

// What checksums protect on disk is read with the same care as what comes from a network.
func FuzzBlock(f *testing.F) {
	fx := newFixture(f, Options{})
	fx.step(10 * time.Second)
	a := newAgent("web-1", "web", "yf")
	a.done("feed", "yf", "GET", 1, 1000, 2000)
	fx.report(a)
	for _, sl := range fx.fleet.levels[0].open {
		index, _, err := fx.packer.block(sl, fx.names)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(index), bytes.Clone(fx.packer.raw))
	}
	f.Add([]byte{1, 2, 'o', 'k', 1, 'o', 0, 1, 'a', 0, 0, 0, 0, 0, 0}, []byte{0, 1, 'a', 6, 1, 0, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, index, raw []byte) {
		_, tr, err := readIndex(index, 0, newOutcomes())
		if err != nil {
			tr = &same
		}
		u := unpacker{raw: raw}
		_ = u.keys(func(_, packed []byte) error { return new(sum).merge(packed, tr) })
	})
}
