package graphite

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// carbon is a real carbon-cache with a configuration and a store of its own.
type carbon struct {
	dir     string
	address string // of the plaintext listener
	cmd     *exec.Cmd
	output  bytes.Buffer
}

func newCarbon(t *testing.T) *carbon {
	t.Helper()
	program, err := exec.LookPath("carbon-cache")
	if err != nil {
		t.Fatal("carbon-cache is not installed (Debian: graphite-carbon): run `make deps`")
	}
	c := &carbon{dir: t.TempDir()}
	ports := freePorts(t, 3)
	c.address = fmt.Sprint("127.0.0.1:", ports[0])
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("carbon.conf", fmt.Sprintf(`[cache]
STORAGE_DIR = %[1]s
LOCAL_DATA_DIR = %[1]s/whisper/
CONF_DIR = %[1]s
LOG_DIR = %[1]s
PID_DIR = %[1]s
USER =
MAX_CREATES_PER_MINUTE = inf
MAX_UPDATES_PER_SECOND = 10000
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = %[2]d
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = %[3]d
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = %[4]d
CARBON_METRIC_INTERVAL = 0
ENABLE_LOGROTATION = False
ENABLE_TAGS = False
`, c.dir, ports[0], ports[1], ports[2]))
	write("storage-schemas.conf", "[all]\npattern = .*\nretentions = 1s:1h\n")
	c.start(t, program)
	t.Cleanup(func() { c.stop(t) })
	return c
}

// freePorts returns ports that nothing listens on, held open together so that they differ.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

func (c *carbon) start(t *testing.T, program string) {
	t.Helper()
	c.cmd = exec.Command(program, "--nodaemon", "--config="+filepath.Join(c.dir, "carbon.conf"), "start")
	c.cmd.Stdout, c.cmd.Stderr = &c.output, &c.output
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "carbon-cache to listen", func() bool {
		conn, err := net.DialTimeout("tcp", c.address, time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// stop ends carbon, which writes what it holds to its files first.
func (c *carbon) stop(t *testing.T) {
	t.Helper()
	if c.cmd == nil {
		return
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(20*time.Second, func() { _ = c.cmd.Process.Kill() })
	_ = c.cmd.Wait() // its exit status says nothing about what it stored
	kill.Stop()
	c.cmd = nil
	if t.Failed() {
		t.Logf("carbon-cache said:\n%s", c.output.String())
	}
}

// points reads the finest archive of a metric's whisper file
// (https://graphite.readthedocs.io/en/latest/whisper.html#database-format): value by timestamp.
func (c *carbon) points(t *testing.T, metric string) map[uint32]float64 {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(c.dir, "whisper", filepath.FromSlash(strings.ReplaceAll(metric, ".", "/"))+".wsp"))
	if err != nil || len(raw) < 28 {
		return nil // not there yet
	}
	u32 := func(at int) uint32 { return binary.BigEndian.Uint32(raw[at:]) }
	offset, step, count := int(u32(16)), u32(20), int(u32(24))
	if step != 1 || len(raw) < offset+12*count {
		t.Fatalf("%s: step %d, %d points in %d bytes", metric, step, count, len(raw))
	}
	points := map[uint32]float64{}
	for i := range count {
		at := offset + 12*i
		if stamp := u32(at); stamp != 0 {
			points[stamp] = math.Float64frombits(binary.BigEndian.Uint64(raw[at+4:]))
		}
	}
	return points
}

func (c *carbon) sum(t *testing.T, metric string) (sum float64) {
	for _, v := range c.points(t, metric) {
		sum += v
	}
	return sum
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}

// What the sink sends is in the files of a real Graphite, under the names and with the values that it should have, and
// a restart of the server loses nothing that was counted meanwhile.
func TestRealCarbon(t *testing.T) {
	c := newCarbon(t)
	program := c.cmd.Path
	reg := newRegistry()
	s, err := Open(reg, Options{
		Address: c.address, Every: time.Second, Prefix: "mesh.test", Application: "feed.web", Host: "10.77.1.2",
	})
	if err != nil {
		t.Fatal(err)
	}
	get := reg.Resource("feed-cache", "redis").Cell("yf", "GET", "read")
	get2 := reg.Resource("feed-cache", "redis").Cell("yf", "GET", "write")
	config := reg.Resource("feed-cache", "redis").Cell("yf", "CONFIG|GET", "admin")
	name := "mesh.test.sluice-agent.feed_web.yf.byhost.10_77_1_2.feed-cache."
	const each = 1000

	// One interval's calls are made at once, so that a single point holds the whole distribution: 10 to 10,000 µs.
	calls := func() {
		for us := range int64(each) {
			outcome := uint8(0)
			if us%100 == 0 {
				outcome = 2
			}
			cell := get
			if us%2 == 0 {
				cell = get2
			}
			cell.Done(outcome, (us+1)*10_000, us >= 900, 10, 10)
		}
		config.Done(0, 5e6, false, 1, 1)
	}
	calls()
	eventually(t, "the first calls in whisper files", func() bool {
		return c.sum(t, name+"GET.total_count") == each && c.sum(t, name+"GET.error_count") == 10 &&
			c.sum(t, name+"GET.slow_count") == 100 && c.sum(t, name+"CONFIG_GET.total_count") == 1
	})
	for stat, want := range map[string]float64{"avg_time": 5.005, "p50": 5, "p75": 7.5, "p95": 9.5, "p99": 9.9, "p999": 9.99} {
		eventually(t, stat, func() bool { return len(c.points(t, name+"GET."+stat)) > 0 })
		for stamp, got := range c.points(t, name+"GET."+stat) {
			if len(c.points(t, name+"GET."+stat)) == 1 && math.Abs(got-want) > 0.02*want {
				t.Errorf("%s at %d: %v ms, want %v within 2 %%", stat, stamp, got, want)
			}
			if now := time.Now().Unix(); int64(stamp) > now+1 || int64(stamp) < now-60 {
				t.Errorf("%s has the timestamp %d at %d", stat, stamp, now)
			}
		}
	}
	// An idle operation falls to zero in the next interval.
	eventually(t, "a zero", func() bool {
		for _, v := range c.points(t, name+"CONFIG_GET.total_count") {
			if v == 0 {
				return true
			}
		}
		return false
	})

	c.stop(t)
	calls()
	gone := time.Now()
	eventually(t, "two intervals while carbon is away", func() bool { return time.Since(gone) > 2500*time.Millisecond })
	c.start(t, program)
	calls()
	eventually(t, "the calls of before, during and after the restart", func() bool {
		return c.sum(t, name+"GET.total_count") == 3*each && c.sum(t, name+"CONFIG_GET.total_count") == 3
	})

	calls()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the calls of the last interval", func() bool {
		return c.sum(t, name+"GET.total_count") == 4*each
	})
	if n := reg.Dropped("graphite").Load(); n != 0 {
		t.Errorf("%d lines dropped", n)
	}
	c.control(t)
	c.stop(t)
	if n := strings.Count(c.output.String(), "invalid line"); n != 1 {
		t.Errorf("carbon-cache refused %d lines, want only the one that is wrong on purpose", n)
	}
}

// control sends a line that is wrong and waits until carbon has read it, to show that refusals are seen.
func (c *carbon) control(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "not a line of the protocol\ncontrol 1 %d\n", time.Now().Unix()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the control", func() bool { return c.sum(t, "control") == 1 })
}
