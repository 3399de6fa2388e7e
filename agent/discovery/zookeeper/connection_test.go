package zookeeper

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// packet is a request as the library writes it.
func packet(opcode uint32) []byte {
	b := make([]byte, 16)
	binary.BigEndian.PutUint32(b, 12)
	binary.BigEndian.PutUint32(b[8:], opcode)
	return b
}

// What waits for a connection is sent after the watches, in its order, and not for ever later when there are none.
func TestWatchesAreWrittenFirst(t *testing.T) {
	for name, c := range map[string]struct {
		hold  bool
		write []uint32
		late  bool // the last one is written when holding is over
		want  []uint32
	}{
		"not held":    {false, []uint32{4, 101, 8}, false, []uint32{4, 101, 8}},
		"held":        {true, []uint32{4, 12, 101, 8}, false, []uint32{101, 4, 12, 8}},
		"two parts":   {true, []uint32{4, 101, 101, 8}, false, []uint32{101, 4, 101, 8}},
		"no watches":  {true, []uint32{4, 12, 11}, true, []uint32{4, 12, 11}},
		"held so far": {true, []uint32{4, 12}, false, nil},
	} {
		near, far := net.Pipe()
		k := &conn{Conn: near, stop: func() bool { return true }}
		if c.hold {
			k.hold()
		}
		go func() {
			defer k.Close()
			for i, op := range c.write {
				if c.late && i == len(c.write)-1 {
					k.mu.Lock()
					k.since = time.Now().Add(-longestHold)
					k.mu.Unlock()
				}
				if n, err := k.Write(packet(op)); n != 16 || err != nil {
					t.Errorf("%s: wrote %d, %v", name, n, err)
				}
			}
		}()
		all, err := io.ReadAll(far)
		if err != nil || len(all) != 16*len(c.want) {
			t.Errorf("%s: %d bytes, %v", name, len(all), err)
			continue
		}
		for i, want := range c.want {
			if got := binary.BigEndian.Uint32(all[16*i+8:]); got != want {
				t.Errorf("%s: request %d is %d, want %d", name, i, got, want)
			}
		}
	}
}
