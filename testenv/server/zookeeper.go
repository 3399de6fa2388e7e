package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// zookeeperJars are where Debian puts ZooKeeper, what it writes its log with, and the rest of what it needs: the manifest
// of the first names that, but for the implementation of the log.
var zookeeperJars = []string{
	"/usr/share/java/zookeeper.jar",
	"/usr/share/java/slf4j-simple.jar",
}

// ZooKeeper describes one ZooKeeper server on a free port of 127.0.0.1. It keeps its data over a restart, but does not
// wait for the disk.
type ZooKeeper struct {
	// MaxSession is the longest session timeout that it grants, whatever a client asks for; default 4 s. What a client
	// registered goes so long after the client was killed.
	MaxSession time.Duration
}

// ZooKeeperServer is a running ZooKeeper.
type ZooKeeperServer struct {
	*Process
	Addr string // "127.0.0.1:port"
}

func (spec ZooKeeper) start(t TB) *ZooKeeperServer {
	t.Helper()
	for _, jar := range zookeeperJars {
		if _, err := os.Stat(jar); err != nil {
			t.Fatalf("cannot run zookeeper: %v: run `make deps`", err)
		}
	}
	if spec.MaxSession == 0 {
		spec.MaxSession = 4 * time.Second
	}
	z := &ZooKeeperServer{Addr: FreeAddr(t)}
	dir := newDir(t, "zookeeper")
	conf := filepath.Join(dir, "zoo.cfg")
	writeFile(t, conf, fmt.Sprintf(`tickTime=500
dataDir=%s
clientPortAddress=127.0.0.1
clientPort=%d
minSessionTimeout=500
maxSessionTimeout=%d
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=ruok,srvr,mntr,cons,wchc
`, filepath.Join(dir, "data"), portOf(z.Addr), spec.MaxSession.Milliseconds()))
	args := append(JavaFlags(), "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dzookeeper.forceSync=no",
		"-cp", strings.Join(zookeeperJars, ":"), "org.apache.zookeeper.server.ZooKeeperServerMain", conf)
	z.Process = newProcess(t, "zookeeper", dir, Command{Program: "java", Image: "zookeeper:3.8", Args: args}, z.serves)
	z.launch()
	z.awaitReady()
	return z
}

// JavaFlags are what makes a Java program start quickly and stay small, in a test where it runs for seconds.
func JavaFlags() []string {
	return []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx256m", "-Djava.net.preferIPv4Stack=true"}
}

func (z *ZooKeeperServer) serves() error {
	switch answer, err := z.Ask("srvr"); { // ruok is answered before anybody is served
	case err != nil:
		return err
	case !strings.Contains(answer, "Mode:"):
		return fmt.Errorf("srvr: %q", answer)
	}
	return nil
}

// Ask sends one of the four letter words ruok, srvr, mntr, cons or wchc and returns the answer.
func (z *ZooKeeperServer) Ask(word string) (string, error) {
	c, err := net.DialTimeout("tcp", z.Addr, time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, word); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	if err == nil && len(b) == 0 {
		err = errors.New("it answered nothing")
	}
	return string(b), err
}

// Connect opens a session, which ends with the test. Its client reports nothing: what it is asked returns errors.
func (z *ZooKeeperServer) Connect() *zk.Conn {
	z.t.Helper()
	c, events, err := zk.Connect([]string{z.Addr}, 4*time.Second, zk.WithLogger(silent{}))
	if err != nil {
		z.t.Fatalf("%s: connect: %v", z.Name, err)
	}
	go func() {
		for range events { // ends when c is closed
		}
	}()
	z.t.Cleanup(c.Close)
	return c
}

type silent struct{}

func (silent) Printf(string, ...any) {}
