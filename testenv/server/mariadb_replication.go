package server

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// SetReadOnly makes the server refuse the writes of all users but root, or take them again. It lasts over Restart. Under
// load it may take seconds and hold up all writers: it waits for a statement that waits for the row lock of a transaction
// whose next statement waits for it, until the time for lock waits is up (error 1205, after 5 s).
func (n *MariaDBServer) SetReadOnly(on bool) {
	n.t.Helper()
	n.spec.ReadOnly = on
	n.writeConf()
	value := "0"
	if on {
		value = "1"
	}
	n.Exec("SET GLOBAL read_only = " + value)
}

// Promote makes a replica a primary: it applies what it has received, forgets whom it followed, and takes writes.
func (n *MariaDBServer) Promote() {
	n.t.Helper()
	n.Exec("STOP SLAVE IO_THREAD")
	if pos := n.SlaveStatus()["Gtid_IO_Pos"]; pos != "" {
		n.awaitGTID(pos, "apply what it has received")
	}
	n.Exec("STOP SLAVE", "RESET SLAVE ALL")
	n.SetReadOnly(false)
}

// Follow makes the server a read-only replica of other and waits until it streams. It may follow another server already,
// or have been a primary, if other has everything that it has: Reseed is for the case that it has not.
func (n *MariaDBServer) Follow(other *MariaDBServer) {
	n.t.Helper()
	n.SetReadOnly(true)
	n.Exec("STOP SLAVE")
	// What a primary wrote is no part of the position of a replica.
	if own := n.Value("SELECT @@global.gtid_current_pos"); own != n.Value("SELECT @@global.gtid_slave_pos") {
		n.Exec("SET GLOBAL gtid_slave_pos = '" + own + "'")
	}
	n.Exec(fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%d, MASTER_USER='%s', MASTER_PASSWORD='%s', "+
		"MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=1%s",
		portOf(other.Addr), MariaDBReplica, MariaDBPassword, other.changeTLS()), "START SLAVE")
	n.awaitStreaming()
	n.WaitReplicated(other)
}

// changeTLS is what a replica is told about TLS.
func (n *MariaDBServer) changeTLS() string {
	if n.certs == nil {
		return ", MASTER_SSL=0"
	}
	return ", MASTER_SSL=1, MASTER_SSL_CA='" + n.certs.CA + "'"
}

// Reseed throws away the data of the server and makes it a replica of other from its first event on. It is how a former
// primary comes back that holds what nobody else has. other must have its whole binary log. The server gets another ID:
// a replica passes over what a server of its own ID once wrote.
func (n *MariaDBServer) Reseed(other *MariaDBServer) {
	n.t.Helper()
	if n.Running() {
		n.Kill()
	}
	if err := os.RemoveAll(n.data); err != nil {
		n.t.Fatalf("%s: throw away the data: %v", n.Name, err)
	}
	if err := copyTree(n.data, mariadbTemplate(n.t)); err != nil {
		n.t.Fatalf("%s: copy the data that every MariaDB server begins with: %v", n.Name, err)
	}
	n.spec.ReadOnly = true
	n.ID += 1 << 16 // IDs begin as ports
	n.writeConf()
	n.Restart()
	n.Follow(other)
}

// WaitReplicated waits until the server has everything that the running server from, which it follows, has now.
func (n *MariaDBServer) WaitReplicated(from *MariaDBServer) {
	n.t.Helper()
	n.awaitGTID(from.GTID(), "get what "+from.Name+" has")
}

// GTID returns the position of the newest event in the server's binary log: "0-1-7", or "" when it is empty.
func (n *MariaDBServer) GTID() string {
	n.t.Helper()
	return n.Value("SELECT @@global.gtid_binlog_pos")
}

// SlaveStatus returns SHOW SLAVE STATUS, empty for a server that follows nobody.
func (n *MariaDBServer) SlaveStatus() Row {
	n.t.Helper()
	rows, err := n.Query("SHOW SLAVE STATUS")
	if err != nil {
		n.t.Fatalf("%s: SHOW SLAVE STATUS: %v", n.Name, err)
	}
	if len(rows) == 0 {
		return Row{}
	}
	return rows[0]
}

// StopReplication keeps a replica from applying what its primary writes, as if it lagged; it stays connected.
// StartReplication undoes it.
func (n *MariaDBServer) StopReplication() {
	n.t.Helper()
	n.Exec("STOP SLAVE SQL_THREAD")
}

// StartReplication undoes StopReplication.
func (n *MariaDBServer) StartReplication() {
	n.t.Helper()
	n.Exec("START SLAVE")
}

// awaitGTID waits until the server has applied an event.
func (n *MariaDBServer) awaitGTID(pos, what string) {
	n.t.Helper()
	if pos == "" {
		return
	}
	limit := strconv.Itoa(int(readyTimeout/time.Second) - 2) // before the time for the statement runs out
	if n.Value("SELECT MASTER_GTID_WAIT('"+pos+"', "+limit+")") != "0" {
		n.t.Fatalf("%s did not %s (%s) within %s s: it is at %s, %v", n.Name, what, pos, limit,
			n.Value("SELECT @@global.gtid_slave_pos"), slaveTrouble(n.SlaveStatus()))
	}
}

// awaitStreaming waits until the replica is connected and gets events.
func (n *MariaDBServer) awaitStreaming() {
	n.t.Helper()
	Wait(n.t, readyTimeout, n.Name+" to stream from its primary", func() error { return slaveTrouble(n.SlaveStatus()) })
}

// slaveTrouble says why a replica does not stream, nil if it does.
func slaveTrouble(s Row) error {
	if s["Slave_IO_Running"] == "Yes" && s["Slave_SQL_Running"] == "Yes" && strings.HasPrefix(s["Slave_IO_State"], "Waiting for master to send") {
		return nil
	}
	return fmt.Errorf("slave I/O %q (%s) %s, SQL %q %s", s["Slave_IO_Running"], s["Slave_IO_State"], s["Last_IO_Error"],
		s["Slave_SQL_Running"], s["Last_SQL_Error"])
}

// awaitSemiSync waits until a primary counts its replicas as those whose acknowledgement it awaits.
func (n *MariaDBServer) awaitSemiSync(replicas int) {
	n.t.Helper()
	Wait(n.t, readyTimeout, n.Name+" to have semi-synchronous replicas", func() error {
		count, state := n.Status("Rpl_semi_sync_master_clients"), n.Status("Rpl_semi_sync_master_status")
		if count != strconv.Itoa(replicas) || state != "ON" {
			return fmt.Errorf("it has %s and is %s, want %d and ON", count, state, replicas)
		}
		return nil
	})
}
