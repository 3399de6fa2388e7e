package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Etcd describes an etcd cluster. The zero value is one member on free ports of 127.0.0.1.
//
// Elections are quick (a member that is silent for half a second is replaced) and every commit is synced to disk.
type Etcd struct {
	Members  int      // default 1; 3 is usual
	Args     []string // further settings, as on etcd's command line: "--quota-backend-bytes=2097152"
	TLS      bool     // serve clients over TLS only, with certificates of EtcdServers.Certs
	Strict   bool     // with TLS: clients need a certificate
	Password string   // of the user root; with it, authentication is on
}

// EtcdServers are the members of a running cluster.
type EtcdServers struct {
	Members []*EtcdMember
	Certs   *Certs // with TLS
}

// EtcdMember is one etcd process.
type EtcdMember struct {
	*Process
	Addr string      // for clients: "127.0.0.1:port"
	URL  string      // the same, as etcd's clients want it
	TLS  *tls.Config // for clients; nil without TLS

	spec  Etcd
	peer  string // URL for other members
	id    string // of the member, as etcd's answers have it
	certs *Certs
	http  *http.Client
}

// Endpoints returns the URLs of all members.
func (e *EtcdServers) Endpoints() []string {
	var urls []string
	for _, m := range e.Members {
		urls = append(urls, m.URL)
	}
	return urls
}

func (spec Etcd) start(t TB) *EtcdServers {
	t.Helper()
	e := &EtcdServers{}
	if spec.TLS {
		e.Certs = NewCerts(t)
	}
	var cluster []string
	for i := range max(spec.Members, 1) {
		m := prepareEtcd(t, spec, e.Certs)
		e.Members = append(e.Members, m)
		cluster = append(cluster, fmt.Sprintf("m%d=%s", i+1, m.peer))
	}
	for i, m := range e.Members {
		args := append(m.args(fmt.Sprint("m", i+1)), "--initial-cluster="+strings.Join(cluster, ","))
		cmd := Command{Program: "etcd", Image: "quay.io/coreos/etcd:v3.4.23", Args: append(args, spec.Args...)}
		m.Process = newProcess(t, "etcd", newDir(t, "etcd"), cmd, m.serves)
		m.launch()
	}
	for _, m := range e.Members {
		m.awaitReady()
	}
	if spec.Password != "" {
		e.requirePassword(t)
	}
	return e
}

func prepareEtcd(t TB, spec Etcd, certs *Certs) *EtcdMember {
	t.Helper()
	m := &EtcdMember{Addr: FreeAddr(t), spec: spec, peer: "http://" + FreeAddr(t), certs: certs}
	m.URL = "http://" + m.Addr
	transport := &http.Transport{DisableKeepAlives: true}
	if certs != nil {
		m.URL, m.TLS, transport.TLSClientConfig = "https://"+m.Addr, certs.Client(), certs.Client()
	}
	m.http = &http.Client{Timeout: 2 * time.Second, Transport: transport}
	return m
}

// args are the settings of one member. It keeps its data in its folder, so that it comes back with them after a restart.
func (m *EtcdMember) args(name string) []string {
	args := []string{
		"--name=" + name,
		"--data-dir=data",
		"--listen-client-urls=" + m.URL,
		"--advertise-client-urls=" + m.URL,
		"--listen-peer-urls=" + m.peer,
		"--initial-advertise-peer-urls=" + m.peer,
		"--initial-cluster-state=new",
		"--heartbeat-interval=50",
		"--election-timeout=500",
		"--logger=zap",
		"--log-level=warn",
	}
	if m.certs != nil {
		args = append(args, "--cert-file="+m.certs.ServerCert, "--key-file="+m.certs.ServerKey)
		if m.spec.Strict {
			args = append(args, "--client-cert-auth", "--trusted-ca-file="+m.certs.CA)
		}
	}
	return args
}

// serves reports whether the member takes part in a cluster that has a leader.
func (m *EtcdMember) serves() error {
	s, err := m.status()
	if err == nil && (s.Leader == "" || s.Leader == "0") {
		err = fmt.Errorf("it knows no leader")
	}
	if err != nil {
		return err
	}
	m.id = s.Header.Member
	return nil
}

// etcdStatus is what a member says of itself.
type etcdStatus struct {
	Header struct {
		Member   string `json:"member_id"`
		Revision string `json:"revision"`
	} `json:"header"`
	Leader string `json:"leader"` // id of a member; "0" when there is none
}

func (m *EtcdMember) status() (s etcdStatus, err error) {
	r, err := m.http.Post(m.URL+"/v3/maintenance/status", "application/json", strings.NewReader("{}"))
	if err != nil {
		return s, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("status: %s %s", r.Status, bytes.TrimSpace(b))
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	return s, err
}

// Leader waits until the members that answer agree on a leader that is one of them, and returns it.
func (e *EtcdServers) Leader(t TB) *EtcdMember {
	t.Helper()
	var leader *EtcdMember
	Wait(t, readyTimeout, "etcd to have a leader", func() error {
		leader = nil
		for _, m := range e.Members {
			if !m.answers() {
				continue
			}
			s, err := m.status()
			if err != nil {
				return err
			}
			l := e.member(s.Leader)
			switch {
			case l == nil:
				return fmt.Errorf("%s knows no leader", m.Name)
			case leader != nil && l != leader:
				return fmt.Errorf("%s follows %s and not %s", m.Name, l.Name, leader.Name)
			case !l.answers():
				return fmt.Errorf("%s follows %s, which does not answer", m.Name, l.Name)
			}
			leader = l
		}
		if leader == nil {
			return fmt.Errorf("no member answers")
		}
		return nil
	})
	return leader
}

func (e *EtcdServers) member(id string) *EtcdMember {
	for _, m := range e.Members {
		if m.id == id {
			return m
		}
	}
	return nil
}

// answers reports whether the process exists and is not paused.
func (m *EtcdMember) answers() bool {
	if !m.Running() {
		return false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.PID()))
	if err != nil {
		return false
	}
	rest := string(b[bytes.LastIndexByte(b, ')')+1:])
	return !strings.HasPrefix(strings.TrimSpace(rest), "T")
}

// Ctl runs etcdctl against this member, as root if there is a password, and returns what it wrote to its standard output.
func (m *EtcdMember) Ctl(args ...string) string {
	m.t.Helper()
	out, err := m.ctl(m.spec.Password, args...)
	if err != nil {
		m.t.Fatalf("%s: %v", m.Name, err)
	}
	return out
}

func (m *EtcdMember) ctl(password string, args ...string) (string, error) {
	path, err := programPath("etcdctl")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout) // its own limit does not hold for connecting
	defer cancel()
	c := exec.CommandContext(ctx, path, append([]string{"--endpoints=" + m.URL, "--command-timeout=10s"}, args...)...)
	c.Env = append(os.Environ(), "ETCDCTL_API=3")
	if m.certs != nil {
		c.Env = append(c.Env, "ETCDCTL_CACERT="+m.certs.CA, "ETCDCTL_CERT="+m.certs.ClientCert, "ETCDCTL_KEY="+m.certs.ClientKey)
	}
	if password != "" {
		c.Env = append(c.Env, "ETCDCTL_USER=root:"+password)
	}
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("etcdctl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(errs.Bytes()))
	}
	return string(out), nil
}

// requirePassword makes the user root and switches authentication on.
func (e *EtcdServers) requirePassword(t TB) {
	t.Helper()
	m := e.Members[0]
	for _, args := range [][]string{
		{"role", "add", "root"},
		{"user", "add", "root:" + m.spec.Password},
		{"user", "grant-role", "root", "root"},
		{"auth", "enable"},
	} {
		if _, err := m.ctl("", args...); err != nil {
			t.Fatalf("switch authentication of etcd on: %v", err)
		}
	}
}
