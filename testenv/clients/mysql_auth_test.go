package clients

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-mesh/sluice/testenv/server"
)

const mysqlLogins = `agent:
  admin: {{addr "admin"}}
  log: { level: error }
resources:
  greeted:
    kind: mysql
    listen: {{addr "greeted"}}
    tls: { cert: {{.cert}}, key: {{.key}} }
    groups: { all: { endpoints: ["{{.server}}"] } }
    settings:
      users: [{ name: sha, password: entrance, plugin: caching_sha2_password, upstream: { name: app, password: secret } }]
  switched:
    kind: mysql
    listen: {{addr "switched"}}
    tls: { cert: {{.cert}}, key: {{.key}} }
    groups: { all: { endpoints: ["{{.server}}"] } }
    settings:
      users:
        - { name: app, password: secret, upstream: { password: secret } }
        - { name: sha, password: entrance, plugin: caching_sha2_password, upstream: { name: app, password: secret } }
  secure:
    kind: mysql
    listen: {{addr "secure"}}
    tls: { cert: {{.cert}}, key: {{.key}} }
    groups: { all: { endpoints: ["{{.server}}"] } }
    settings:
      require-tls: true
      users: [{ name: sha, password: entrance, plugin: caching_sha2_password, upstream: { name: app, password: secret } }]
`

// wiretap passes connections on and keeps what clients and servers said.
type wiretap struct {
	ln   net.Listener
	to   string
	all  sync.WaitGroup
	mu   sync.Mutex
	up   bytes.Buffer
	down bytes.Buffer
}

func tap(t *testing.T, to string) *wiretap {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wiretap{ln: ln, to: to}
	w.all.Go(w.accept)
	t.Cleanup(func() {
		ln.Close()
		w.all.Wait()
	})
	return w
}

func (w *wiretap) accept() {
	for {
		client, err := w.ln.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.to)
		if err != nil {
			client.Close()
			continue
		}
		w.all.Go(func() { w.pass(server, client, &w.up) })
		w.all.Go(func() { w.pass(client, server, &w.down) })
	}
}

// pass copies until one side ends, and ends the other.
func (w *wiretap) pass(to, from net.Conn, kept *bytes.Buffer) {
	defer to.Close()
	_, _ = io.Copy(io.MultiWriter(to, keeper{w, kept}), from)
}

type keeper struct {
	w    *wiretap
	kept *bytes.Buffer
}

func (k keeper) Write(b []byte) (int, error) {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	return k.kept.Write(b)
}

func (w *wiretap) heard() (up, down string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.up.String(), w.down.String()
}

// TestMySQLLogins has PHP and Python log in by caching_sha2_password: with the plugin in the greeting, where the scramble is
// enough, and by a change of the plugin, behind which PyMySQL 1.0.2 gets the scramble wrong and so goes through the full form:
// its password encrypted with the agent's key, or as it is under TLS. And both are refused without TLS where it is required.
func TestMySQLLogins(t *testing.T) {
	m := server.Start(t, server.MariaDB{TLS: true})
	a := server.Start(t, server.Agent{Config: mysqlLogins, Vars: map[string]string{
		"server": m.Primary.Addr, "cert": m.Certs.ServerCert, "key": m.Certs.ServerKey,
	}})
	const entered, wrong, insecure = "app@127.0.0.1\napp@127.0.0.1\n", "refused: 1045\nrefused: 1045\n", "refused: 3159\nrefused: 3159\n"
	for _, c := range []struct {
		resource, password, way, want string
		full                          bool // of PyMySQL
	}{
		{resource: "greeted", password: "entrance", way: "plain", want: entered},
		{resource: "greeted", password: "entrance", way: "tls", want: entered},
		{resource: "greeted", password: "mistaken", way: "plain", want: wrong, full: true},
		{resource: "greeted", password: "mistaken", way: "tls", want: wrong},
		{resource: "switched", password: "entrance", way: "plain", want: entered, full: true},
		{resource: "switched", password: "entrance", way: "tls", want: entered},
		{resource: "switched", password: "mistaken", way: "plain", want: wrong, full: true},
		{resource: "secure", password: "entrance", way: "plain", want: insecure},
		{resource: "secure", password: "entrance", way: "tls", want: entered},
	} {
		for _, file := range []string{"mysql_login.php", "mysql_login.py"} {
			w := tap(t, a.Addr(c.resource))
			host, port, err := net.SplitHostPort(w.ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			r := server.RunScript(t, server.Script{File: "testdata/" + file, Args: []string{host, port, "sha", c.password, c.way}})
			up, down := w.heard()
			if !r.OK() || r.Output != c.want {
				t.Errorf("%s, %s, password %s, %s: %s, %q; want %q", file, c.resource, c.password, c.way, r.State, r.Output, c.want)
			}
			if strings.Contains(up, c.password) {
				t.Errorf("%s, %s, %s: the password can be overheard", file, c.resource, c.way)
			}
			if key := strings.Contains(down, "BEGIN PUBLIC KEY"); strings.HasSuffix(file, ".py") && key != c.full {
				t.Errorf("%s, %s, password %s, %s: a key was sent: %v, want %v", file, c.resource, c.password, c.way, key, c.full)
			}
		}
	}
}
