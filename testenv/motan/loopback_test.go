package motan

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// local checks that a process listens on so many ports, and on none of them where another machine could reach it: by
// themselves most peers do.
func local(t *testing.T, p *server.Process, ports int) {
	t.Helper()
	addrs := listens(t, p.PID())
	if len(addrs) != ports {
		t.Errorf("%s listens on %q", p.Name, addrs)
	}
	for _, addr := range addrs {
		if !strings.HasPrefix(addr, "0100007F:") && !strings.HasPrefix(addr, "0000000000000000FFFF00000100007F:") {
			t.Errorf("%s listens on %s", p.Name, addr)
		}
	}
}

// listens returns the addresses on which a process listens, as Linux writes them: "0100007F:1F90".
func listens(t *testing.T, pid int) []string {
	t.Helper()
	sockets := map[string]bool{}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if to, err := os.Readlink(f); err == nil && strings.HasPrefix(to, "socket:[") {
			sockets[strings.Trim(to, "socket:[]")] = true
		}
	}
	var addrs []string
	for _, table := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			const address, state, inode = 1, 3, 9
			w := strings.Fields(line)
			if len(w) > inode && w[state] == "0A" && sockets[w[inode]] {
				addrs = append(addrs, w[address])
			}
		}
	}
	return addrs
}
