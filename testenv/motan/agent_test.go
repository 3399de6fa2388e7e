package motan

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// Every client through motan-go's own agent, both ways, to every server. Its circuitBreaker makes a business exception one
// of the service.
func TestAgent(t *testing.T) {
	for _, s := range []*ServerProcess{Serve(t, Server{Peer: Go}), Serve(t, Server{Peer: Java})} {
		a := StartAgent(t, Agent{Refers: []Refer{{Registry: Direct(s.Addr)}}, Exports: []Export{{Local: s.Addr}}})
		for _, peer := range []Peer{Go, Java, PHP} {
			for way, addr := range map[string]string{"forward": a.Forward, "export": a.Export} {
				t.Run(fmt.Sprint(peer, " to ", s.Name, ", ", way), func(t *testing.T) {
					all(t, Dial(t, Client{Peer: peer, Registry: Direct(addr)}), s.Name, ServiceException)
				})
			}
		}
		log := strings.Join(a.AccessLog(), "\n")
		for _, role := range []string{"accessLog|client-agent|", "accessLog|server-agent|"} {
			if n := strings.Count(log, role); n < 3*40 {
				t.Errorf("%d lines of the access log have %q", n, role)
			}
		}
		if v := a.Manage("/version", ""); !strings.Contains(v, "1.2.0") {
			t.Errorf("the agent's version is %q", v)
		}
	}
}

func TestAgentWithoutBreaker(t *testing.T) {
	s := Serve(t, Server{})
	a := StartAgent(t, Agent{Refers: []Refer{{Registry: Direct(s.Addr)}}, Filters: "accessLog"})
	all(t, Dial(t, Client{Registry: Direct(a.Forward)}), s.Name, BusinessException)
}

// Servers of both languages, clients of both languages and agents meet in ZooKeeper.
func TestZooKeeper(t *testing.T) {
	z := server.Start(t, server.ZooKeeper{})
	registry := ZooKeeper(z)
	goServer := Serve(t, Server{Registry: registry})
	local(t, goServer.Process, 1)
	javaServer := Serve(t, Server{Peer: Java, Registry: registry})
	conn := z.Connect()
	nodes := "/motan/" + Group + "/" + Service + "/server"
	for _, s := range []*ServerProcess{goServer, javaServer} {
		data, _, err := conn.Get(nodes + "/" + s.Addr)
		if err != nil || !strings.HasPrefix(string(data), "motan2://"+s.Addr+"/") {
			t.Errorf("%s is registered with %q, error %v", s.Name, data, err)
		}
	}
	clients := []*ClientProcess{
		Dial(t, Client{Registry: registry}),
		Dial(t, Client{Peer: Java, Registry: registry}),
		Dial(t, Client{Peer: PHP, Registry: Direct(StartAgent(t, Agent{Refers: []Refer{{Registry: registry}}}).Forward)}),
	}
	for _, c := range clients {
		reaches(t, c, goServer.Name, javaServer.Name)
	}
	goServer.Kill()
	server.Wait(t, 15*time.Second, "the dead server's node to go", func() error { return absent(conn, nodes, goServer.Addr) })
	for _, c := range clients {
		reaches(t, c, javaServer.Name)
	}
	goServer.Restart()
	for _, c := range clients {
		reaches(t, c, goServer.Name, javaServer.Name)
	}
}

// What an agent exports is registered as not available until it is told otherwise.
func TestZooKeeperExport(t *testing.T) {
	z := server.Start(t, server.ZooKeeper{})
	s := Serve(t, Server{Peer: Java})
	a := StartAgent(t, Agent{Exports: []Export{{Local: s.Addr, Registry: ZooKeeper(z), Group: "exported"}}, NoAvailable: true})
	local(t, z.Process, 1)
	local(t, s.Process, 1)
	local(t, a.Process, 2)
	conn := z.Connect()
	service := "/motan/exported/" + Service
	if _, _, err := conn.Get(service + "/unavailableServer/" + a.Export); err != nil {
		t.Errorf("the agent's node before it is available: %v", err)
	}
	a.SetAvailable(true)
	if _, _, err := conn.Get(service + "/server/" + a.Export); err != nil {
		t.Errorf("the agent's node when it is available: %v", err)
	}
	for _, p := range []Peer{Go, Java} {
		call := Name()
		call.Group = "exported"
		is(t, Dial(t, Client{Peer: p, Registry: ZooKeeper(z)}), call, s.Name)
	}
	a.SetAvailable(false)
	if err := absent(conn, service+"/server", a.Export); err != nil {
		t.Error(err)
	}
}

// absent is nil when a folder has no such node.
func absent(c *zk.Conn, folder, node string) error {
	children, _, err := c.Children(folder)
	if err == nil && slices.Contains(children, node) {
		err = fmt.Errorf("%s has %q", folder, children)
	}
	return err
}

// reaches waits until the client's calls go to all of the servers and to no other.
func reaches(t *testing.T, c *ClientProcess, names ...string) {
	t.Helper()
	slices.Sort(names)
	server.Wait(t, 15*time.Second, fmt.Sprintf("%s to reach %v", c.Peer, names), func() error {
		seen := map[string]bool{}
		for range 30 {
			r := c.Do(Name())
			if r.Exception != nil {
				return r.Exception
			}
			seen[fmt.Sprint(r.Value)] = true
		}
		var got []string
		for name := range seen {
			got = append(got, name)
		}
		slices.Sort(got)
		if !slices.Equal(got, names) {
			return fmt.Errorf("it reaches %v", got)
		}
		return nil
	})
}

// What PHP reads with one fread, it gets from its buffer and from one packet more: a header that comes in two packets is
// misread, and meta data that come in three. Bodies may come as they like.
func TestPHPReadsHeadsAtOnce(t *testing.T) {
	s := Serve(t, Server{})
	for _, k := range []struct {
		name string
		cuts []int // from the start, or from the end when negative
		bad  bool
	}{
		{"header", []int{7}, true},
		{"meta data", []int{head + 6}, false},
		{"meta data, twice", []int{head + 6, head + 8}, true},
		{"body", []int{-2}, false},
		{"body, twice", []int{-4, -2}, false},
	} {
		c := Dial(t, Client{Peer: PHP, Registry: Direct(splitter(t, s.Addr, k.cuts))})
		r := c.Do(EchoText("something"))
		if bad := r.Exception != nil && strings.HasPrefix(r.Exception.Message, "split: "); bad != k.bad || !bad && r.Value != "something" {
			t.Errorf("cut in the %s: value %v, %v", k.name, r.Value, r.Exception)
		}
	}
}

// splitter is an address before a server, for one call, whose response is written in parts.
func splitter(t *testing.T, addr string, cuts []int) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	tap := StartTap(t, addr)
	go func() {
		defer close(done)
		client, err := l.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		upstream, err := net.Dial("tcp", tap.Addr)
		if err != nil {
			t.Error(err)
			return
		}
		defer upstream.Close()
		request, err := readFrame(bufio.NewReader(client))
		if err == nil {
			_, err = upstream.Write(request)
		}
		if err != nil {
			t.Error(err)
			return
		}
		response, err := readFrame(bufio.NewReader(upstream))
		if err != nil {
			t.Error(err)
			return
		}
		at := 0
		for _, cut := range append(cuts, len(response)) {
			if cut < 0 {
				cut += len(response)
			}
			_, _ = client.Write(response[at:cut]) // PHP may have closed
			at = cut
			time.Sleep(50 * time.Millisecond) // so that it is read by itself
		}
		_, _ = client.Read(make([]byte, 1)) // until it closes
	}()
	return l.Addr().String()
}
