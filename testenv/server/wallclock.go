package server

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

// The clock of one process.
//
// Programs in Go ask for the time of day by a function of the vDSO, a page of code that the kernel maps into every process.
// The pages of a process are its own as soon as something is written to them. So a process is stopped by ptrace before its
// first instruction, and that function is replaced by one that asks the kernel and adds what stands in a word behind it
// if the time of day is asked for: the program itself is the one that users have, its monotonic time is true, and all
// other processes keep their clock. Writing to the word moves the clock while the program runs, as an operator or NTP would.
//
// What asks the kernel without the vDSO (nothing in Go does) would see the true time.

// wallClock is where the difference of a process' clock stands.
type wallClock struct {
	pid  int
	word int64 // address
}

// replaceClock makes the clock of a process that can be moved. It is called on the thread that started it with
// SysProcAttr.Ptrace, and lets it run whatever happens.
func replaceClock(pid int, ahead time.Duration) (*wallClock, error) {
	var status syscall.WaitStatus
	_, err := syscall.Wait4(pid, &status, 0, nil)
	if err != nil || !status.Stopped() {
		return nil, errors.Join(fmt.Errorf("the process did not stop before it began: %v", status), err)
	}
	w, err := patchClock(pid, ahead)
	return w, errors.Join(err, syscall.PtraceDetach(pid))
}

func patchClock(pid int, ahead time.Duration) (*wallClock, error) {
	base, image, err := readVDSO(pid)
	if err != nil {
		return nil, err
	}
	at, size, err := findClock(image)
	if err != nil {
		return nil, err
	}
	code, word := clockCode()
	if len(code) == 0 {
		return nil, errors.New("the clock of a process can be moved on amd64 only: see testenv/server/wallclock_amd64.go")
	}
	if uint64(len(code)) > size || (at+uint64(word))%8 != 0 {
		return nil, fmt.Errorf("clock_gettime of this kernel's vDSO is at %#x and has %d bytes: no room for %d", at, size, len(code))
	}
	if _, err := syscall.PtracePokeText(pid, uintptr(base+int64(at)), code); err != nil {
		return nil, fmt.Errorf("writing to the vDSO: %w", err)
	}
	w := &wallClock{pid, base + int64(at) + int64(word)}
	return w, w.set(ahead)
}

// set moves the clock to a difference from the true time, in whole seconds.
func (w *wallClock) set(ahead time.Duration) error {
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", w.pid), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = mem.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(ahead/time.Second)), w.word)
	return errors.Join(err, mem.Close())
}

// readVDSO returns where a process has the vDSO, and its bytes.
func readVDSO(pid int) (base int64, image []byte, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, nil, err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(line, "[vdso]\n") {
			continue
		}
		var end int64
		if _, err := fmt.Sscanf(line, "%x-%x", &base, &end); err != nil {
			return 0, nil, fmt.Errorf("%q: %w", line, err)
		}
		mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
		if err != nil {
			return 0, nil, err
		}
		defer mem.Close()
		image, err = io.ReadAll(io.NewSectionReader(mem, base, end-base))
		return base, image, err
	}
	return 0, nil, errors.New("the process has no vDSO")
}

// findClock returns where the function that programs ask for the time is in the vDSO, and how long it is.
func findClock(image []byte) (at, size uint64, err error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, 0, fmt.Errorf("the vDSO: %w", err)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return 0, 0, fmt.Errorf("the vDSO: %w", err)
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			return s.Value, s.Size, nil
		}
	}
	return 0, 0, errors.New("the vDSO has no __vdso_clock_gettime")
}
