package pressure

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// cgroup is the cgroup whose limit of memory is the tightest for this process.
type cgroup struct {
	limit   int64  // bytes
	current string // path of the file that says what is used
	stat    string // path of the file that says what for
	cache   string // the line of stat for page cache that can be dropped
	procs   string // path of the file that lists its processes
}

// hierarchy is how a version of cgroups names its files.
type hierarchy struct{ mount, limit, current, cache string }

var (
	unified = hierarchy{"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"}
	legacy  = hierarchy{"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"}
)

// unlimited is where v1 limits mean that there is none: it writes the largest number of pages that fits.
const unlimited = 1 << 60

// findCgroup returns the tightest limit at or above the process's own cgroup, nil when there is none. Everything is
// looked for below root, which is / but in tests.
//
// A container sees its own cgroup as the root of the mount, while /proc may name it by a path that only the host knows:
// folders that are not there are skipped on the way up.
func findCgroup(root string) *cgroup {
	lines, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return nil // another system
	}
	var best *cgroup
	for line := range strings.Lines(string(lines)) { // "4:memory:/path" (v1), "0::/path" (v2); see cgroups(7)
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		h := unified
		switch {
		case parts[1] == "" && parts[0] == "0":
		case contains(parts[1], "memory"):
			h = legacy
		default:
			continue
		}
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			if c := h.at(filepath.Join(root, h.mount, dir)); c != nil && (best == nil || c.limit < best.limit) {
				best = c
			}
			if dir == "/" {
				break
			}
		}
	}
	return best
}

// contains reports whether a list with commas has a word.
func contains(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// at returns the cgroup of a folder if it has a limit and can say what is used of it.
func (h hierarchy) at(dir string) *cgroup {
	limit, err := readNumber(filepath.Join(dir, h.limit)) // "max" is no number
	if err != nil || limit <= 0 || limit >= unlimited {
		return nil
	}
	c := &cgroup{limit: limit, current: filepath.Join(dir, h.current), stat: filepath.Join(dir, "memory.stat"), cache: h.cache,
		procs: filepath.Join(dir, "cgroup.procs")}
	if _, err := c.used(); err != nil {
		return nil
	}
	return c
}

// used returns the bytes that the kernel could not give to others without swapping.
func (c *cgroup) used() (int64, error) {
	n, err := readNumber(c.current)
	if err != nil {
		return 0, err
	}
	stat, err := os.ReadFile(c.stat)
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil
	}
	if err != nil {
		return 0, err
	}
	return max(0, n-statLine(stat, c.cache)), nil
}

// ours reports whether what is used of a cgroup is this process's to give back: it is alone there, or at least half of it is
// what it mapped itself. The rest may be an application of which nothing comes free when its calls are refused.
func (c *cgroup) ours(used, mapped int64) bool {
	if 2*mapped >= used {
		return true
	}
	list, err := os.ReadFile(c.procs)
	return err == nil && strings.TrimSpace(string(list)) == strconv.Itoa(os.Getpid())
}

// statLine returns the number of a line such as "inactive_file 4096"; 0 when there is no such line.
func statLine(stat []byte, name string) int64 {
	for line := range bytes.Lines(stat) {
		key, value, ok := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		if ok && string(key) == name {
			if n, err := strconv.ParseInt(string(value), 10, 64); err == nil && n > 0 {
				return n
			}
			return 0
		}
	}
	return 0
}

func readNumber(file string) (int64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s holds %.20q, a number of bytes is expected", file, b)
	}
	return n, nil
}
