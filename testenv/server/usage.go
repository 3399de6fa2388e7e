package server

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc: USER_HZ, 100 per second on every Linux that Go supports.
const clockTick = time.Second / 100

// Usage is what a process has used of the machine.
type Usage struct {
	User, System time.Duration // CPU time, in steps of 10 ms
	RSS          int64         // resident memory now, bytes
}

// CPU is user and system time together.
func (u Usage) CPU() time.Duration { return u.User + u.System }

// Usage reads the CPU time and memory of the running process.
func (p *Process) Usage() Usage {
	p.t.Helper()
	u, err := usageOf(p.PID())
	if err != nil {
		p.t.Fatalf("usage of %s: %v", p.Name, err)
	}
	return u
}

func usageOf(pid int) (Usage, error) {
	f, err := statFields(pid)
	if err != nil {
		return Usage{}, err
	}
	return Usage{
		User:   time.Duration(f[14]) * clockTick,
		System: time.Duration(f[15]) * clockTick,
		RSS:    int64(f[24]) * int64(os.Getpagesize()),
	}, nil
}

// startTime returns when a process started, in clock ticks since boot. With the PID it names a process for ever.
func startTime(pid int) (uint64, error) {
	f, err := statFields(pid)
	if err != nil {
		return 0, err
	}
	return f[22], nil
}

// statFields returns the numbers of /proc/PID/stat, indexed as in proc(5), which counts from 1. Fields that are no
// unsigned numbers are 0.
func statFields(pid int) ([]uint64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil, err
	}
	// The second field is the program's name in parentheses and may hold anything, also spaces and parentheses.
	s := string(b)
	rest := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(rest) < 22 {
		return nil, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(rest)+2)
	}
	f := make([]uint64, len(rest)+3)
	for i, v := range rest {
		f[i+3], _ = strconv.ParseUint(v, 10, 64)
	}
	return f, nil
}
