package redis

import (
	"flag"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/server"
)

var update = flag.Bool("update", false, "write commands.txt from the installed server")

// TestKnownCommandsAreTheServers compares the embedded table with the real server's answer.
func TestKnownCommandsAreTheServers(t *testing.T) {
	s := server.Start(t, server.Redis{})
	nc, err := net.Dial("tcp", s.Primary.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := nc.Write(resp.AppendCommand(nil, "COMMAND")); err != nil {
		t.Fatal(err)
	}
	var buf []byte
	var v resp.Value
	for {
		chunk := make([]byte, 64<<10)
		n, err := nc.Read(chunk)
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		buf = append(buf, chunk[:n]...)
		var used int
		if v, used, err = resp.Decode(buf); err != nil {
			t.Fatal(err)
		} else if used > 0 {
			break
		}
	}
	var lines []string
	for _, d := range describe(v) {
		lines = append(lines, d.line())
	}
	slices.Sort(lines) // a container comes before its subcommands
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile("commands.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	known := map[string]bool{}
	for _, l := range strings.Split(knownCommands, "\n") {
		known[l] = true
	}
	for _, l := range lines {
		if !known[l] {
			t.Errorf("the server says %q, commands.txt does not; go test ./resources/redis -run KnownCommands -update", l)
		}
	}
}

func testTable(t testing.TB) *table {
	t.Helper()
	list, err := parseKnown(knownCommands)
	if err != nil {
		t.Fatal(err)
	}
	ops := resources.NewOps(nil)
	return newTable(list, func(in resources.OpInfo) resources.OpID { id, _ := ops.Intern(in); return id })
}

func TestClassesComeFromFlags(t *testing.T) {
	tab := testTable(t)
	for _, c := range []struct {
		cmd   string
		class resources.Class
		retry resources.Retry
	}{
		{"get k", resources.ClassRead, resources.RetryIdempotent},
		{"SET k v", resources.ClassWrite, resources.RetryUnsent},
		{"GeoAdd k 1 2 m", resources.ClassWrite, resources.RetryUnsent},
		{"XADD k * f v", resources.ClassWrite, resources.RetryUnsent},
		{"GETSET k v", resources.ClassWrite, resources.RetryUnsent},
		{"PUBLISH c m", resources.ClassOther, resources.RetryUnsent},
		{"EVAL x 0", resources.ClassOther, resources.RetryUnsent},
		{"EVAL_RO x 0", resources.ClassRead, resources.RetryIdempotent},
		{"SCAN 0", resources.ClassRead, resources.RetryUnsent},
		{"CONFIG GET x", resources.ClassAdmin, resources.RetryUnsent},
		{"client setname x", resources.ClassSession, resources.RetryUnsent},
		{"MULTI", resources.ClassTxn, resources.RetryUnsent},
		{"SUBSCRIBE c", resources.ClassStream, resources.RetryUnsent},
		{"NOSUCH x", resources.ClassOther, resources.RetryUnsent},
		{"CONFIG NOSUCH", resources.ClassOther, resources.RetryUnsent},
	} {
		buf := resp.AppendCommand(nil, strings.Fields(c.cmd)...)
		var r resp.Request
		if st, err := r.Scan(buf, &resp.Limits{}); st != resp.Complete || err != nil {
			t.Fatal(c.cmd, st, err)
		}
		got := tab.lookup(&r, buf)
		if got.class != c.class || got.retry != c.retry {
			t.Errorf("%s: class %v retry %v, want %v %v", c.cmd, got.class, got.retry, c.class, c.retry)
		}
	}
}
