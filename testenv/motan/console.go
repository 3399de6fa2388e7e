package motan

import (
	"bufio"
	"encoding/json"
	"os"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// Console writes commands into ZooKeeper in the bytes in which Motan's console does: Java's motan-core reads the JSON into its
// RpcCommand and writes that as its own JSON, and zkclient serializes it as a Java object.
type Console struct {
	*server.Process

	t     server.TB
	in    *os.File
	lines chan string // answers; closed at their end
}

// OpenConsole starts a console, which ends with the test.
func OpenConsole(t server.TB, z *server.ZooKeeperServer) *Console {
	t.Helper()
	cmd := command(t, Java, "", "console", map[string]string{"address": z.Addr})
	in, out := cmd.Pipes(t)
	c := &Console{t: t, in: in, lines: make(chan string)}
	c.Process = server.Start(t, server.Program{Kind: "motan-java-console", Command: cmd})
	go func() {
		defer close(c.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			c.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		if c.Running() {
			c.Kill()
		}
		_ = out.Close() // ends the reader
		for range c.lines {
		}
	})
	return c
}

// Put writes the document for the callers of a group and returns when it is written; "" removes its entry.
func (c *Console) Put(group, document string) {
	c.t.Helper()
	entry := map[string]string{"group": group}
	if document != "" {
		entry["command"] = document
	}
	text, err := json.Marshal(entry)
	if err == nil {
		_, err = c.in.Write(append(text, '\n'))
	}
	if err != nil {
		c.t.Fatalf("a console, commands of %s: %v", group, err)
	}
	select {
	case line := <-c.lines:
		if line != "written" {
			c.t.Fatalf("a console does not write the commands of %s: %q", group, line)
		}
	case <-c.Done():
		c.t.Fatalf("a console has ended, with the commands of %s not written: %s", group, c.State())
	case <-time.After(startLimit):
		c.t.Fatalf("a console does not write the commands of %s in %v", group, startLimit)
	}
}
