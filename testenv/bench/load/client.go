package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	keysPerClient = 16
	// ringSize bounds what a client has in flight, in the open loop too: a power of two.
	ringSize = 1 << 12
	// number is where a value carries its number: ten digits.
	digits = 10
)

// pending is a request that was sent and not answered.
type pending struct {
	due int64 // ns: when it was sent, or in the open loop when it should have been
	seq uint32
	key uint8
	get bool
}

// client is one connection and what it expects.
type client struct {
	fd      int
	watched bool // for writability too

	out  []byte // bytes to be sent
	in   []byte // bytes received and not yet verified
	have int    // how many

	ring       [ringSize]pending
	head, tail uint32 // ring[head:tail] is in flight

	turn uint32 // chooses operation and key
	seq  [keysPerClient]uint32
	get  [keysPerClient][]byte // request bytes
	set  [keysPerClient][]byte // request bytes, the number to be filled in at setAt
	want [keysPerClient][]byte // reply of a GET, the number at wantAt
	// Where the number starts.
	setAt, wantAt [keysPerClient]int
}

func newClient(spec Spec, index int) *client {
	c := &client{fd: -1, in: make([]byte, 256<<10), out: make([]byte, 0, 64<<10)}
	for k := range c.seq {
		key := fmt.Sprintf("%s:%04d:%02d", spec.Prefix, index, k)
		label := fmt.Sprintf("client=%04d key=%02d n=", index, k)
		value := label + zeros(digits)
		for i := len(value); i < spec.Size; i++ {
			value += string(rune('a' + (i+index+k)%26))
		}
		c.get[k] = fmt.Appendf(nil, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(key), key)
		head := fmt.Sprintf("*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n", len(key), key, len(value))
		c.set[k] = []byte(head + value + "\r\n")
		c.setAt[k] = len(head) + len(label)
		head = "$" + strconv.Itoa(len(value)) + "\r\n"
		c.want[k] = []byte(head + value + "\r\n")
		c.wantAt[k] = len(head) + len(label)
	}
	return c
}

func zeros(n int) string { return fmt.Sprintf("%0*d", n, 0) }

// putNumber writes n as ten digits.
func putNumber(b []byte, n uint32) {
	for i := digits - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
}

func (c *client) inFlight() int { return int(c.tail - c.head) }

// push adds the client's next request to what will be sent.
func (c *client) push(op operation, due int64) {
	k := uint8(c.turn / 2 % keysPerClient)
	get := op == opGet || (op == opMixed && c.turn&1 == 1)
	c.turn++
	if op != opMixed {
		c.turn++ // so that every turn takes another key
	}
	if get {
		c.out = append(c.out, c.get[k]...)
	} else {
		c.seq[k]++
		putNumber(c.set[k][c.setAt[k]:], c.seq[k])
		c.out = append(c.out, c.set[k]...)
	}
	c.ring[c.tail%ringSize] = pending{due: due, seq: c.seq[k], key: k, get: get}
	c.tail++
}

// flush writes what the socket takes, and reports whether something is left.
func (c *client) flush() (left bool, err error) {
	for len(c.out) > 0 {
		n, err := unix.Write(c.fd, c.out)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return true, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return true, fmt.Errorf("write: %w", err)
		}
		c.out = c.out[:copy(c.out, c.out[n:])]
	}
	return false, nil
}

// receive reads once. It returns an error at the end of the stream.
func (c *client) receive() error {
	n, err := unix.Read(c.fd, c.in[c.have:])
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("read: %w", err)
	case n == 0:
		return fmt.Errorf("the connection was closed with %d requests unanswered", c.inFlight())
	}
	c.have += n
	return nil
}

var okReply = []byte("+OK\r\n")

// verify compares whole replies with what must come and calls done for each: a pending request and, if the reply was an
// error, its text.
func (c *client) verify(done func(p *pending, errText []byte)) error {
	at := 0
	for at < c.have && c.head != c.tail {
		p := &c.ring[c.head%ringSize]
		want := okReply
		if p.get {
			want = c.want[p.key]
			putNumber(want[c.wantAt[p.key]:], p.seq)
		}
		rest := c.in[at:c.have]
		var errText []byte
		switch {
		case bytes.HasPrefix(rest, want):
			at += len(want)
		case rest[0] == '-':
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				return c.keep(at)
			}
			errText = bytes.TrimRight(rest[1:end], "\r")
			at += end + 1
		case len(rest) < len(want) && bytes.HasPrefix(want, rest):
			return c.keep(at)
		default:
			return fmt.Errorf("wrong reply: got %.200q, want %.200q", rest[:min(len(rest), len(want))], want)
		}
		c.head++
		done(p, errText)
	}
	if at < c.have && c.head == c.tail {
		return fmt.Errorf("a reply that nobody asked for: %.200q", c.in[at:c.have])
	}
	return c.keep(at)
}

// keep moves the bytes from at on to the front.
func (c *client) keep(at int) error {
	c.have = copy(c.in, c.in[at:c.have])
	return nil
}
