package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// control lets another terminal kill and revive groups: a line "kill yf" over a unix socket, answered with "done" or with
// what is wrong.
type control struct {
	listener net.Listener
	wg       sync.WaitGroup
}

func listenControl(path string, order func(verb, group string) error) (*control, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	c := &control{listener: l}
	c.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.wg.Go(func() { serveControl(conn, order) })
		}
	})
	return c, os.Chmod(path, 0o600)
}

func (c *control) close() {
	c.listener.Close()
	c.wg.Wait()
}

func serveControl(conn net.Conn, order func(verb, group string) error) {
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(5*time.Second)) != nil {
		return
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return
	}
	answer := "done"
	verb, group, _ := strings.Cut(strings.TrimSpace(line), " ")
	if err := order(verb, group); err != nil {
		answer = err.Error()
	}
	fmt.Fprintln(conn, answer)
}

// answers reports whether a demo runs behind a socket.
func answers(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// tell sends an order to the running demo.
func tell(data string, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: demo kill GROUP, or demo revive GROUP")
	}
	f := &folder{path: data}
	c, err := net.DialTimeout("unix", f.socket(), 2*time.Second)
	if err != nil {
		return fmt.Errorf("no demo runs here (%w): start it with `make run`, or name its folder with -data", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c, strings.Join(args, " ")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return fmt.Errorf("the demo did not answer: %w", err)
	}
	if answer = strings.TrimSpace(answer); answer != "done" {
		return errors.New(answer)
	}
	fmt.Printf("%s %s: done\n", args[0], args[1])
	return nil
}
