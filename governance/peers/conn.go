package peers

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// conn is the connection of a link, of either side, with a bound for each wait.
type conn struct {
	net.Conn
	frames *control.Reader
	quiet  time.Duration
	stall  time.Duration
}

// newConn takes a connection, of which some bytes may have been read already.
func newConn(c net.Conn, read []byte, o *Options) *conn {
	out := &conn{Conn: c, quiet: o.Quiet, stall: o.Stall}
	in := io.MultiReader(bytes.NewReader(read), timed{out})
	out.frames = control.NewReader(bufio.NewReaderSize(in, 32<<10), maxFrame)
	return out
}

// timed reads, and gives up when nothing comes for some time.
type timed struct{ c *conn }

func (t timed) Read(b []byte) (int, error) {
	if err := t.c.SetReadDeadline(time.Now().Add(t.c.quiet)); err != nil {
		return 0, err
	}
	return t.c.Conn.Read(b)
}

// piece is what must be taken within Options.Stall.
const piece = 64 << 10

// send writes frames.
func (c *conn) send(frames []byte) error {
	for len(frames) > 0 {
		n := min(len(frames), piece)
		if err := c.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
			return err
		}
		if _, err := c.Write(frames[:n]); err != nil {
			return fmt.Errorf("the other centre does not take what it is sent: %w", err)
		}
		frames = frames[n:]
	}
	return nil
}

// message sends one.
func (c *conn) message(t control.Type, m any) error {
	b, err := frame(t, m)
	if err != nil {
		return err
	}
	return c.send(b)
}
