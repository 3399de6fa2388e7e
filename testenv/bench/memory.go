package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"time"
)

// idleRow is what open and silent connections cost a proxy.
type idleRow struct {
	Target      string  `json:"target"`
	Connections int     `json:"connections"`
	KB          float64 `json:"kb_per_connection"`
	BeforeMiB   float64 `json:"before_mib"`
	AfterMiB    float64 `json:"after_mib"`
}

// idleMemory opens n connections, asks each one thing so that it is a session and not only a socket, and compares the
// proxy's memory once it has settled.
func idleMemory(t *target, n int) (idleRow, error) {
	before, err := settled(t.pid)
	if err != nil {
		return idleRow{}, err
	}
	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	pong := make([]byte, 7)
	for i := range n {
		c, err := net.DialTimeout("tcp", t.addr, 5*time.Second)
		if err != nil {
			return idleRow{}, fmt.Errorf("connection %d of %d: %w", i+1, n, err)
		}
		conns = append(conns, c)
		_ = c.SetDeadline(time.Now().Add(10 * time.Second)) // a socket that is open takes any deadline
		if _, err := io.WriteString(c, "*2\r\n$3\r\nGET\r\n$4\r\nnone\r\n"); err != nil {
			return idleRow{}, fmt.Errorf("connection %d of %d: %w", i+1, n, err)
		}
		if _, err := io.ReadFull(c, pong[:5]); err != nil || string(pong[:5]) != "$-1\r\n" {
			return idleRow{}, fmt.Errorf("connection %d of %d: answer %q to GET of no key: %v", i+1, n, pong[:5], err)
		}
	}
	after, err := settled(t.pid)
	if err != nil {
		return idleRow{}, err
	}
	return idleRow{
		Target: t.name, Connections: n, KB: float64(after-before) / float64(n) / 1024,
		BeforeMiB: mib(before), AfterMiB: mib(after),
	}, nil
}

func mib(b int64) float64 { return float64(b) / (1 << 20) }

// settled returns the resident memory of a process once it has not moved by more than 64 KB for a second and a half, or
// as it is after ten seconds.
func settled(pid int) (int64, error) {
	const near = 64 << 10
	end := time.Now().Add(10 * time.Second)
	var last int64
	for since := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		m, err := memoryOf(pid)
		if err != nil {
			return 0, err
		}
		if m.Resident > last+near || m.Resident < last-near {
			last, since = m.Resident, time.Now()
		}
		if time.Since(since) > 1500*time.Millisecond || time.Now().After(end) {
			return m.Resident, nil
		}
	}
}

// bigRow is what one huge value costs a proxy.
type bigRow struct {
	Target  string  `json:"target"`
	Bytes   int64   `json:"bytes"`
	SetMiB  float64 `json:"set_growth_mib"` // highest resident memory above the one before
	GetMiB  float64 `json:"get_growth_mib"`
	Seconds float64 `json:"seconds"` // both ways
}

// growth is the larger one.
func (r bigRow) growth() float64 { return max(r.SetMiB, r.GetMiB) }

// bigValue writes one value of n bytes and reads it back, every byte compared, and reports how much the proxy's memory
// peaked meanwhile.
func bigValue(t *target, n int64) (bigRow, error) {
	c, err := net.DialTimeout("tcp", t.addr, 5*time.Second)
	if err != nil {
		return bigRow{}, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return bigRow{}, err
	}
	p := &pattern{conn: c, in: bufio.NewReaderSize(c, 1<<20), block: make([]byte, 1<<20)}
	for i := range p.block {
		p.block[i] = byte('a' + i*7%26)
	}
	if err := p.del(); err != nil { // the session is established before anything is measured
		return bigRow{}, err
	}
	row := bigRow{Target: t.name, Bytes: n}
	start := time.Now()
	if row.SetMiB, err = peakGrowth(t.pid, func() error { return p.set(n) }); err != nil {
		return row, fmt.Errorf("%s: SET of %d bytes: %w", t.name, n, err)
	}
	if row.GetMiB, err = peakGrowth(t.pid, func() error { return p.get(n) }); err != nil {
		return row, fmt.Errorf("%s: GET of %d bytes: %w", t.name, n, err)
	}
	row.Seconds = time.Since(start).Seconds()
	return row, p.del()
}

// peakGrowth runs f and returns how far the resident memory of a process rose above where it was, in MiB.
func peakGrowth(pid int, f func() error) (float64, error) {
	if err := resetPeak(pid); err != nil {
		return 0, fmt.Errorf("reset the peak of process %d: %w", pid, err)
	}
	before, err := memoryOf(pid)
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := memoryOf(pid)
	return mib(after.Peak - before.Resident), err
}

// pattern speaks about one key whose value is a repeated block.
type pattern struct {
	conn  net.Conn
	in    *bufio.Reader
	block []byte
	buf   []byte
}

const bigKey = "bench:big"

func (p *pattern) set(n int64) error {
	if _, err := fmt.Fprintf(p.conn, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n", len(bigKey), bigKey, n); err != nil {
		return err
	}
	for left := n; left > 0; {
		part := min(left, int64(len(p.block)))
		if _, err := p.conn.Write(p.block[:part]); err != nil {
			return fmt.Errorf("after %d bytes: %w", n-left, err)
		}
		left -= part
	}
	if _, err := io.WriteString(p.conn, "\r\n"); err != nil {
		return err
	}
	return p.expect("+OK\r\n")
}

func (p *pattern) get(n int64) error {
	if _, err := fmt.Fprintf(p.conn, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(bigKey), bigKey); err != nil {
		return err
	}
	if err := p.expect(fmt.Sprintf("$%d\r\n", n)); err != nil {
		return err
	}
	if p.buf == nil {
		p.buf = make([]byte, len(p.block))
	}
	for left := n; left > 0; {
		part := min(left, int64(len(p.block)))
		if _, err := io.ReadFull(p.in, p.buf[:part]); err != nil {
			return fmt.Errorf("after %d bytes: %w", n-left, err)
		}
		if !bytes.Equal(p.buf[:part], p.block[:part]) {
			return fmt.Errorf("the block after %d bytes is not what was written", n-left)
		}
		left -= part
	}
	return p.expect("\r\n")
}

func (p *pattern) del() error {
	if _, err := fmt.Fprintf(p.conn, "*2\r\n$3\r\nDEL\r\n$%d\r\n%s\r\n", len(bigKey), bigKey); err != nil {
		return err
	}
	line, err := p.in.ReadString('\n')
	if err != nil || line[0] != ':' {
		return fmt.Errorf("DEL answered %q: %v", line, err)
	}
	return nil
}

func (p *pattern) expect(want string) error {
	got := make([]byte, len(want))
	if n, err := io.ReadFull(p.in, got); err != nil {
		return fmt.Errorf("reply %q: %w", got[:n], err)
	}
	if string(got) != want {
		rest, _ := p.in.ReadString('\n')
		return fmt.Errorf("reply %q, want %q", string(got)+rest, want)
	}
	return nil
}
