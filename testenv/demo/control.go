package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// control lets another terminal give orders: a line "kill yf" over a unix socket, answered with the line "done" and what is to
// be printed, or with what is wrong.
type control struct {
	listener net.Listener
	wg       sync.WaitGroup
}

func listenControl(path string, order func(verb, target string) (string, error)) (*control, error) {
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

// orderTime is how long an order may take: a program drains, starts and becomes ready.
const orderTime = 90 * time.Second

func serveControl(conn net.Conn, order func(verb, target string) (string, error)) {
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(5*time.Second)) != nil {
		return
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || conn.SetDeadline(time.Now().Add(orderTime)) != nil {
		return
	}
	verb, target, _ := strings.Cut(strings.TrimSpace(line), " ")
	text, err := order(verb, target)
	if err != nil {
		text = err.Error()
	} else {
		text = done + "\n" + text
	}
	_, _ = io.WriteString(conn, text) // whoever asked may have gone
}

// done is the first line of the answer to an order that was carried out.
const done = "done"

// answers reports whether a demo runs behind a socket.
func answers(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// tell sends an order to the running demo and prints its answer.
func tell(data string, args []string) error {
	switch {
	case len(args) == 1 && args[0] == orderMore:
	case len(args) == 2 && args[0] != orderMore:
	default:
		return errors.New("usage: demo kill|revive|restart NAME, or demo more")
	}
	f := &folder{path: data}
	c, err := net.DialTimeout("unix", f.socket(), 2*time.Second)
	if err != nil {
		return fmt.Errorf("no demo runs here (%w): start it with `make run`, or name its folder with -data", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(orderTime + 5*time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c, strings.Join(args, " ")); err != nil {
		return err
	}
	answer, err := io.ReadAll(c)
	if err != nil || len(answer) == 0 {
		return fmt.Errorf("the demo did not answer: %w", errors.Join(err, io.ErrUnexpectedEOF))
	}
	first, text, _ := strings.Cut(string(answer), "\n")
	switch {
	case first != done:
		return errors.New(strings.TrimSpace(string(answer)))
	case text == "":
		text = strings.Join(args, " ") + ": done\n"
	}
	fmt.Print(text)
	return nil
}
