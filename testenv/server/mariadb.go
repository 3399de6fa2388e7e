package server

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// MariaDB describes MariaDB servers: one, or a primary with replicas that follow it by GTID. The zero value is one
// server without binary log on a free port of 127.0.0.1 and on a unix socket.
//
// What the kernel was given survives Kill, as no file is synced but every commit is written: a killed server comes back
// with all that it acknowledged, a machine that loses power would not.
type MariaDB struct {
	Args           []string       // further settings, as on mariadbd's command line: "--max-allowed-packet=1M"
	Replicas       int            // of the primary; read-only, they stream when Start returns
	ReplicaOf      *MariaDBServer // follow a server that runs, as MariaDBServers.Primary; excludes Replicas
	ReadOnly       bool           // refuse writes (error 1290) of all users but root; replicas are read-only anyway
	Binlog         bool           // write a binary log with row events and GTIDs; replicas and their primaries do anyway
	SemiSync       bool           // while a replica is connected, a commit is acknowledged when one has it too
	ServerID       int            // default: the number of its port. Of the first server; replicas count on from it
	TLS            bool           // offer TLS, with certificates of MariaDBServers.Certs
	RequireTLS     bool           // offer TLS and refuse logins over TCP without it (error 1045)
	Plugins        []string       // libraries to load beside auth_ed25519: "server_audit.so"
	MaxConnections int            // default 500, at least 10; root may open one more
}

// Users of every MariaDB server, beside root, which has no password. All may log in over TCP and over the socket.
// All passwords are MariaDBPassword.
const (
	MariaDBUser     = "app"   // has all rights except those that get around read-only and max_connections
	MariaDBEd25519  = "ed"    // as app, and logs in with ed25519
	MariaDBProbe    = "probe" // may look at the state of replication and at nothing else
	MariaDBReplica  = "repl"  // what replicas log in as
	MariaDBPassword = "secret"
	MariaDBDatabase = "test" // exists and is empty
)

// MariaDBServers are running MariaDB servers. Changes of roles do not change this description.
type MariaDBServers struct {
	Primary  *MariaDBServer
	Replicas []*MariaDBServer
	Certs    *Certs // with TLS
}

// MariaDBServer is one mariadbd process.
type MariaDBServer struct {
	*Process
	Addr   string      // "127.0.0.1:port"
	Socket string      // path of the unix socket
	ID     int         // server_id
	TLS    *tls.Config // for clients; nil when TLS is not offered

	spec  MariaDB
	data  string // folder of the data
	certs *Certs
}

// Replicated starts a primary with n replicas and waits until they stream.
func Replicated(t TB, n int) *MariaDBServers {
	t.Helper()
	return Start(t, MariaDB{Replicas: n, Binlog: true})
}

// Nodes returns all servers, the first primary first.
func (m *MariaDBServers) Nodes() []*MariaDBServer {
	return append([]*MariaDBServer{m.Primary}, m.Replicas...)
}

func (spec MariaDB) start(t TB) *MariaDBServers {
	t.Helper()
	if spec.ReplicaOf != nil && spec.Replicas > 0 {
		t.Fatalf("server.MariaDB: ReplicaOf and Replicas exclude each other")
	}
	if spec.MaxConnections != 0 && spec.MaxConnections < 10 {
		t.Fatalf("server.MariaDB: MaxConnections is %d, and mariadbd takes no less than 10", spec.MaxConnections)
	}
	m := &MariaDBServers{}
	if spec.TLS = spec.TLS || spec.RequireTLS; spec.TLS {
		m.Certs = NewCerts(t)
	}
	template := mariadbTemplate(t)
	spec.Binlog = spec.Binlog || spec.Replicas > 0 || spec.ReplicaOf != nil || spec.SemiSync
	m.Primary = newMariaDB(t, spec, m.Certs, "mariadb", template)
	m.Primary.launch()
	replica := spec
	replica.ReadOnly = true
	for i := range spec.Replicas {
		if spec.ServerID != 0 {
			replica.ServerID = spec.ServerID + 1 + i
		}
		n := newMariaDB(t, replica, m.Certs, "mariareplica", template)
		n.launch()
		m.Replicas = append(m.Replicas, n)
	}
	for _, n := range m.Nodes() {
		n.awaitReady()
	}
	if spec.ReplicaOf != nil {
		m.Primary.Follow(spec.ReplicaOf)
	}
	for _, n := range m.Replicas {
		n.Follow(m.Primary)
	}
	if spec.SemiSync && spec.Replicas > 0 {
		m.Primary.awaitSemiSync(spec.Replicas)
	}
	return m
}

// newMariaDB prepares a server with a copy of the template as its data.
func newMariaDB(t TB, spec MariaDB, certs *Certs, name, template string) *MariaDBServer {
	t.Helper()
	dir := newDir(t, name)
	n := &MariaDBServer{Addr: FreeAddr(t), Socket: filepath.Join(dir, "sock"), ID: spec.ServerID, spec: spec,
		data: filepath.Join(dir, "data"), certs: certs}
	if n.ID == 0 {
		n.ID = portOf(n.Addr)
	}
	if certs != nil {
		n.TLS = certs.Client()
	}
	if len(n.Socket) > 107 {
		t.Fatalf("unix socket path %s is longer than 107 bytes: set TMPDIR to a shorter folder", n.Socket)
	}
	if template != "" {
		if err := copyTree(n.data, template); err != nil {
			t.Fatalf("copy the data that every MariaDB server begins with: %v", err)
		}
	}
	file := filepath.Join(dir, "my.cnf")
	args := append([]string{"--defaults-file=" + file}, spec.Args...) // mariadbd wants this one first
	n.Process = newProcess(t, "mariadb", dir, Command{Program: "mariadbd", Image: "mariadb:10.11", Args: args}, n.serves)
	n.writeConf()
	return n
}

// writeConf writes the configuration file, from which the server starts again after a restart.
func (n *MariaDBServer) writeConf() {
	n.t.Helper()
	writeFile(n.t, filepath.Join(n.Dir, "my.cnf"), n.conf())
}

// conf is the configuration file: small, on loopback, and with every limit out of the way that many broken connections
// from one address would meet.
func (n *MariaDBServer) conf() string {
	spec := &n.spec
	var b strings.Builder
	set := func(name string, value any) { fmt.Fprintf(&b, "%s=%v\n", name, value) }
	b.WriteString("[mariadbd]\n" + runAs())
	set("datadir", n.data)
	set("socket", n.Socket)
	set("pid_file", filepath.Join(n.Dir, "mariadbd.pid"))
	set("tmpdir", n.Dir)
	set("secure_file_priv", n.Dir)
	set("bind_address", "127.0.0.1")
	set("port", portOf(n.Addr))
	set("server_id", n.ID)
	b.WriteString(mariadbCommon)
	connections := spec.MaxConnections
	if connections == 0 {
		connections = 500
	}
	set("max_connections", connections)
	for _, p := range append([]string{"auth_ed25519.so"}, spec.Plugins...) {
		set("plugin_load_add", strings.TrimSuffix(p, ".so"))
	}
	if spec.Binlog {
		b.WriteString("log_bin=binlog\nlog_slave_updates=1\nbinlog_format=ROW\nsync_binlog=0\ngtid_strict_mode=1\nrelay_log=relay\n" +
			"slave_net_timeout=5\nreport_host=127.0.0.1\n")
		set("report_port", portOf(n.Addr))
	}
	if spec.SemiSync {
		b.WriteString("rpl_semi_sync_master_enabled=1\nrpl_semi_sync_slave_enabled=1\nrpl_semi_sync_master_wait_point=AFTER_SYNC\n" +
			"rpl_semi_sync_master_timeout=60000\nrpl_semi_sync_master_wait_no_slave=OFF\n") // the last so that a replica does not wait
	}
	if spec.ReadOnly {
		b.WriteString("read_only=1\n")
	}
	if n.certs != nil {
		set("ssl_ca", n.certs.CA)
		set("ssl_cert", n.certs.ServerCert)
		set("ssl_key", n.certs.ServerKey)
	}
	if spec.RequireTLS {
		b.WriteString("require_secure_transport=1\n")
	}
	return b.String()
}

// mariadbCommon is the part of the configuration that is the same for all servers and for the template. Locks are waited
// for less long than root's statements may take (readyTimeout), since some of those wait for lock waits to end.
const mariadbCommon = `skip_name_resolve=1
character_set_server=utf8mb4
performance_schema=OFF
max_connect_errors=4294967295
back_log=1000
` + mariadbStorage + `innodb_buffer_pool_size=32M
innodb_flush_log_at_trx_commit=2
innodb_lock_wait_timeout=5
aria_pagecache_buffer_size=8M
key_buffer_size=1M
query_cache_type=0
`

// mariadbStorage has the settings that the files of the data depend on. Native asynchronous I/O is off, since the kernel
// has only so much of it for all servers together.
const mariadbStorage = `innodb_log_file_size=16M
innodb_use_native_aio=0
`

// serves reports whether the server answers.
func (n *MariaDBServer) serves() error {
	_, err := n.Query("SELECT 1")
	return err
}

// Config returns the settings of a go-sql-driver connection over TCP, with TLS if the server requires it. The caller may
// change them: mysql.NewConnector takes them.
func (n *MariaDBServer) Config(user, password, database string) *mysql.Config {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.DBName = user, password, database
	c.Net, c.Addr = "tcp", n.Addr
	c.Logger = &mysql.NopLogger{} // errors are returned too
	if n.spec.RequireTLS {
		c.TLS = n.TLS
	}
	return c
}

// DSN returns the data source name for go-sql-driver over TCP without TLS.
func (n *MariaDBServer) DSN(user, password, database string) string {
	c := n.Config(user, password, database)
	c.TLS, c.Logger = nil, nil
	return c.FormatDSN()
}
