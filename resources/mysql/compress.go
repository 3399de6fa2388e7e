package mysql

import (
	"net"

	"github.com/sluice-mesh/sluice/protocols/mysql"
)

// compressions are the ways to compress that clients are offered: those that a server of the same family has.
func (r *Resource) compressions() mysql.Caps {
	if r.maria() {
		return mysql.ClientCompress
	}
	return mysql.ClientCompress | mysql.ClientZstd
}

// compressed is the connection of a client that chose to compress, with zlib or zstd, from the end of its login on:
// packets on this side, compressed frames on the other. Connections to servers are never compressed, so what passes is
// compressed or decompressed once, here. One goroutine reads and writes.
//
// Frames are numbered as servers number them: a reply goes on from the last frame of its command, and what follows bytes
// that the client sent meanwhile (a file for LOAD DATA LOCAL) from the last frame of those.
type compressed struct {
	net.Conn
	in     *mysql.Inflater
	out    *mysql.Deflater
	raw    []byte // read and not yet decompressed
	plain  []byte // decompressed, and taken by nobody yet: plain[at:]
	at     int
	turned bool // the next frame is the first behind what the client sent
}

// keepPlain is how much memory a compressed connection keeps while it waits.
const keepPlain = 4 << 10

func newCompressed(nc net.Conn, codec *mysql.Codec) *compressed {
	return &compressed{Conn: nc, in: mysql.NewInflater(codec), out: mysql.NewDeflater(codec)}
}

// NetConn lets the watcher see the socket.
func (c *compressed) NetConn() net.Conn { return c.Conn }

// began notes that a command begins, which may have come in one read with the one before.
func (c *compressed) began() { c.turned = true }

// Read implements net.Conn. What comes is read to b first, so that a connection that waits holds no memory of its own.
func (c *compressed) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for c.at == len(c.plain) {
		c.plain, c.at = c.plain[:0], 0
		if len(c.raw) == 0 && !c.in.Pending() {
			c.shrink()
			n, err := c.Conn.Read(b)
			if n == 0 {
				return 0, err
			}
			c.raw = append(c.raw[:0], b[:n]...)
		}
		plain, n, err := c.in.Feed(c.plain, c.raw)
		if err != nil {
			return 0, err
		}
		c.plain, c.raw = plain, c.raw[n:]
	}
	n := copy(b, c.plain[c.at:])
	c.at += n
	c.turned = true
	return n, nil
}

// shrink gives up what a large command took.
func (c *compressed) shrink() {
	c.raw = c.raw[:0]
	if cap(c.raw) > keepPlain {
		c.raw = nil
	}
	if cap(c.plain) > keepPlain {
		c.plain = nil
	}
}

// Write implements net.Conn.
func (c *compressed) Write(b []byte) (int, error) {
	if c.turned {
		c.out.SetSeq(c.in.Seq())
		c.turned = false
	}
	for done := 0; done < len(b); {
		part := b[done:min(len(b), done+bufferSize)]
		buf := buffers.Get().(*[]byte)
		frame, err := c.out.Append((*buf)[:0], part)
		if err == nil {
			_, err = c.Conn.Write(frame)
		}
		buffers.Put(buf)
		if err != nil {
			return done, err
		}
		done += len(part)
	}
	return len(b), nil
}

// Close implements net.Conn.
func (c *compressed) Close() error {
	err := c.Conn.Close()
	c.in.Close()
	return err
}
