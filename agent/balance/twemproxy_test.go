package balance

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The golden file says which server twemproxy itself chose for each key. `go test ./agent/balance -run Twemproxy
// -update` makes it anew with the nutcracker of the machine in front of fake Redis servers.
var update = flag.Bool("update", false, "make testdata/ketama.json anew with nutcracker")

const goldenFile = "testdata/ketama.json"

type goldenServer struct {
	Address string `json:"address"`
	Weight  int    `json:"weight"`
}

type goldenRing struct {
	Hash    string         `json:"hash"`
	Servers []goldenServer `json:"servers"`
	Keys    map[string]int `json:"keys"` // key -> index of the server
}

// rings are the clusters that the golden file holds: equal and unequal weights, one server, many, and memcached's
// port.
func rings() []goldenRing {
	equal := func(n, port int) (s []goldenServer) {
		for i := range n {
			s = append(s, goldenServer{fmt.Sprintf("127.0.77.%d:%d", i+1, port), 1})
		}
		return s
	}
	uneven := equal(5, 17379)
	for i, w := range []int{1, 50, 100, 37, 3} {
		uneven[i].Weight = w
	}
	return []goldenRing{
		{Hash: "fnv1a_64", Servers: equal(3, 17379)},
		{Hash: "md5", Servers: equal(3, 17379)},
		{Hash: "fnv1a_64", Servers: uneven},
		{Hash: "md5", Servers: uneven},
		{Hash: "fnv1a_64", Servers: equal(12, 17379)},
		{Hash: "md5", Servers: equal(4, 11211)},
		{Hash: "fnv1a_64", Servers: equal(1, 17379)},
	}
}

func goldenKeys() []string {
	keys := []string{"a", "foo", "user:1", "{tag}:x", "caf\u00e9", "\u4f60\u597d", strings.Repeat("k", 200)}
	for i := range 300 {
		keys = append(keys, fmt.Sprintf("feed:%d:%x", i, i*i*7919))
	}
	return keys
}

func makeGolden(t *testing.T) {
	t.Helper()
	bin, err := exec.LookPath("nutcracker")
	if err != nil {
		t.Fatalf("nutcracker is needed to make the vectors anew: install it with `make deps`: %v", err)
	}
	all := rings()
	for i := range all {
		all[i].Keys = askTwemproxy(t, bin, all[i])
	}
	out, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(goldenFile, append(out, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// askTwemproxy runs nutcracker in front of servers that answer every GET with their own index.
func askTwemproxy(t *testing.T, bin string, r goldenRing) map[string]int {
	t.Helper()
	var conf strings.Builder
	front := freePort(t)
	fmt.Fprintf(&conf, "ring:\n  listen: %s\n  hash: %s\n  distribution: ketama\n  redis: true\n  timeout: 5000\n  servers:\n", front, r.Hash)
	for i, s := range r.Servers {
		ln, err := net.Listen("tcp", s.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		go serveIndex(ln, i)
		fmt.Fprintf(&conf, "   - %s:%d\n", s.Address, s.Weight)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "nutcracker.yml")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stats, _ := net.SplitHostPort(freePort(t))
	cmd := exec.Command(bin, "-c", file, "-s", stats, "-a", "127.0.0.1", "-o", filepath.Join(dir, "log"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()

	var conn net.Conn
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var err error
		if conn, err = net.Dial("tcp", front); err == nil {
			break
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("nutcracker does not listen: %v\n%s", err, log)
		}
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	in := bufio.NewReader(conn)
	got := map[string]int{}
	for _, key := range goldenKeys() {
		fmt.Fprintf(conn, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(key), key)
		line, err := in.ReadString('\n')
		if err != nil || line[0] != ':' {
			t.Fatalf("GET %q: %q, %v", key, line, err)
		}
		got[key], _ = strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	return got
}

func serveIndex(ln net.Listener, index int) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			in := bufio.NewReader(conn)
			for {
				// *2, $3, GET, $n, key
				var size int
				for range 4 {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					_, _ = fmt.Sscanf(line, "$%d", &size)
				}
				if _, err := io.CopyN(io.Discard, in, int64(size+2)); err != nil {
					return
				}
				fmt.Fprintf(conn, ":%d\r\n", index)
			}
		}()
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestRingPlacesKeysAsTwemproxyDoes(t *testing.T) {
	if *update {
		makeGolden(t)
	}
	data, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	var all []goldenRing
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != len(rings()) {
		t.Fatalf("%s holds %d rings, want %d", goldenFile, len(all), len(rings()))
	}
	for i, r := range all {
		hash := map[string]func([]byte) uint32{"fnv1a_64": FNV1a64, "md5": MD5}[r.Hash]
		var nodes []*Node
		for _, s := range r.Servers {
			nodes = append(nodes, testNode(s.Address, s.Weight))
		}
		pick, err := Compile(Hash, nodes)
		if err != nil {
			t.Fatal(err)
		}
		wrong := 0
		for key, want := range r.Keys {
			if n := pick.Pick(uint64(hash([]byte(key))), 1, nil); n != nodes[want] {
				wrong++
			}
		}
		if len(r.Keys) < 300 || wrong > 0 {
			t.Errorf("ring %d (%s, %d servers): %d of %d keys are elsewhere than with twemproxy", i, r.Hash, len(r.Servers), wrong, len(r.Keys))
		}
	}
}
