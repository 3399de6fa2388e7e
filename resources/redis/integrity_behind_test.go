package redis

import (
	"io"
	"testing"
	"time"
)

// Calls behind a long reply time out when their time is over, however long the reply goes on.
func TestCallBehindALongReplyTimesOut(t *testing.T) {
	const timeout = 300 * time.Millisecond
	st := newStage(t, timeout, nil)
	c := st.clients(2)
	c[0].ask("GET long")
	up := st.up.want("GET long")
	c[1].ask("SET k 1")
	st.up.want("SET k 1")
	go func() { _, _ = io.Copy(io.Discard, c[0].nc) }()
	part := big(64<<10, 1)
	reply := bulkReply(big(20<<20, 1))
	start := time.Now()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		c[1].expectWord("TIMEOUT")
	}()
	up.send(reply[:64<<10])
	for i := 1; ; i++ {
		select {
		case <-answered:
			if took := time.Since(start); took > 3*timeout {
				t.Errorf("TIMEOUT came after %v", took)
			}
			return
		case <-time.After(timeout / 6):
			up.send(part)
		}
		if time.Since(start) > 10*timeout {
			t.Fatal("a call waits as long as the reply before it goes on")
		}
	}
}
