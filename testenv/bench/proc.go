package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cpuTime returns the user and system time in ns that a process has used with all its threads, ended ones included. It is
// the sum of utime and stime in /proc/PID/stat before the kernel rounds it to ticks of 10 ms.
func cpuTime(pid int) (int64, error) {
	// A process' CPU clock is named by its complemented pid, shifted over the clock's type (2: scheduler time). See
	// clock_getcpuclockid(3).
	const scheduler = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduler), &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return ts.Nano(), nil
}

// memory is what /proc/PID/status says, in bytes.
type memory struct{ Resident, Peak int64 }

func memoryOf(pid int) (memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	var m memory
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		at := map[string]*int64{"VmRSS": &m.Resident, "VmHWM": &m.Peak}[name]
		if at == nil {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return memory{}, fmt.Errorf("%s of process %d: %w", name, pid, err)
		}
		*at = kb << 10
	}
	if m.Resident == 0 {
		return memory{}, fmt.Errorf("process %d has no memory: it is gone", pid)
	}
	return m, nil
}

// resetPeak makes the kernel forget the highest resident size so far (proc(5), clear_refs).
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// raiseFiles lets this process and those it starts open n files, and says what it got.
func raiseFiles(n uint64) (uint64, error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0, err
	}
	if lim.Cur >= n && lim.Max >= n {
		return lim.Cur, unix.Setrlimit(unix.RLIMIT_NOFILE, &lim) // set all the same: what was set is handed to children
	}
	more := unix.Rlimit{Cur: n, Max: max(n, lim.Max)}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &more) == nil { // needs the right to raise the hard limit
		return n, nil
	}
	lim.Cur = min(n, lim.Max)
	return lim.Cur, unix.Setrlimit(unix.RLIMIT_NOFILE, &lim)
}

// machine says where the figures come from.
type machine struct {
	CPU     string            `json:"cpu"`
	Cores   int               `json:"cores"`
	Kernel  string            `json:"kernel"`
	Go      string            `json:"go"`
	Peers   map[string]string `json:"peers"` // program -> version
	Loadavg string            `json:"loadavg"`
}

func thisMachine(goVersion string, cores int) machine {
	m := machine{CPU: "unknown", Cores: cores, Go: goVersion, Peers: make(map[string]string)}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(model)
				break
			}
		}
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = string(bytes.TrimRight(u.Release[:], "\x00"))
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Loadavg = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	return m
}

// busy reports whether something else used the machine in the minute before.
func (m machine) busy() bool {
	last, _, _ := strings.Cut(m.Loadavg, " ")
	load, err := strconv.ParseFloat(last, 64)
	return err == nil && load > 0.5
}
