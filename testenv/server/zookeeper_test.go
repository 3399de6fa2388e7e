package server

import (
	"slices"
	"testing"

	"github.com/go-zookeeper/zk"
)

func TestZooKeeper(t *testing.T) {
	z := Start(t, ZooKeeper{})
	c := z.Connect()
	world := zk.WorldACL(zk.PermAll)
	if _, err := c.Create("/kept", []byte("1"), 0, world); err != nil {
		t.Fatal(err)
	}
	z.Kill()
	if _, err := z.Ask("ruok"); err == nil {
		t.Error("it was killed and answers")
	}
	z.Restart()
	var data []byte
	// A connection that comes while ZooKeeper starts may stay without an answer, for which the client waits ten times as long
	// as for others.
	Wait(t, 3*readyTimeout, "the client to be back", func() (err error) {
		data, _, err = c.Get("/kept")
		return err
	})
	if string(data) != "1" {
		t.Errorf("after a restart /kept is %q", data)
	}
}

// What a client that died had registered goes when its session ends.
func TestZooKeeperSession(t *testing.T) {
	z := Start(t, ZooKeeper{})
	c, watcher := z.Connect(), z.Connect()
	if _, err := c.Create("/mine", nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	_, _, gone, err := watcher.ExistsW("/mine")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if e := <-gone; e.Type != zk.EventNodeDeleted {
		t.Errorf("the event is %v", e)
	}
	if children, _, err := watcher.Children("/"); err != nil || slices.Contains(children, "mine") {
		t.Errorf("the root has %q, error %v", children, err)
	}
}
