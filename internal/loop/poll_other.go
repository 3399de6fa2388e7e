//go:build !linux

package loop

import (
	"net"
	"time"
)

// poller on systems without epoll: every connection has its goroutines, and the loop only waits to be woken.
type poller struct {
	woken chan struct{}
}

func (p *poller) open() error {
	p.woken = make(chan struct{}, 1)
	return nil
}

func (p *poller) close() {}

func (p *poller) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

func (p *poller) poll(ms int) int {
	if ms == 0 {
		return 0
	}
	if ms < 0 {
		<-p.woken
		return 0
	}
	t := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer t.Stop()
	select {
	case <-p.woken:
	case <-t.C:
	}
	return 0
}

func (l *Loop) events() {}

func (p *poller) adopt(net.Conn) (int, error) { return -1, nil }

func (p *poller) remove(*Conn) {}

func (c *Conn) start() error {
	c.state |= stStarted
	c.net.start(c)
	return nil
}

func (c *Conn) watch() error {
	c.net.watch(c)
	return nil
}

func (c *Conn) flush() { c.net.flush(c) }

func (c *Conn) waiting() int { return 0 }
