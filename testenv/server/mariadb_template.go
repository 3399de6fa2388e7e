package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// mariadbUsers makes the users and the database of every server.
var mariadbUsers = []string{
	"CREATE USER IF NOT EXISTS root@'127.0.0.1'",
	"GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION",
	"CREATE USER app@'%' IDENTIFIED BY 'secret'",
	"CREATE USER ed@'%' IDENTIFIED VIA ed25519 USING PASSWORD('secret')",
	"GRANT ALL ON *.* TO app@'%', ed@'%' WITH GRANT OPTION",
	"REVOKE SUPER, READ_ONLY ADMIN, CONNECTION ADMIN ON *.* FROM app@'%', ed@'%'",
	"CREATE USER probe@'%' IDENTIFIED BY 'secret'",
	"GRANT REPLICATION CLIENT, SLAVE MONITOR ON *.* TO probe@'%'",
	"CREATE USER repl@'%' IDENTIFIED BY 'secret'",
	"GRANT REPLICATION SLAVE ON *.* TO repl@'%'",
	"CREATE DATABASE IF NOT EXISTS test",
}

// mariadbTemplate returns the folder with the data that every server begins with: system tables, users, an empty
// database. Making it takes seconds, copying it does not, so it stays in the folder of all test processes, under a name
// that depends on all that goes into it. A lock file keeps two processes from making it at once.
func mariadbTemplate(t TB) string {
	t.Helper()
	if _, err := runFolder(); err != nil {
		t.Fatalf("make the run folder: %v", err)
	}
	path, err := programPath("mariadbd")
	if err != nil {
		t.Fatalf("%v", err)
	}
	program, err := os.Stat(path)
	if err != nil {
		t.Fatalf("%v", err)
	}
	sum := sha256.Sum256(fmt.Append(nil, path, program.Size(), program.ModTime().UnixNano(), mariadbCommon, mariadbUsers))
	dir := filepath.Join(root(), "mariadb-"+hex.EncodeToString(sum[:6]))
	var lock *os.File
	Wait(t, 3*readyTimeout, "another process to make the data that MariaDB servers begin with", func() (err error) {
		lock, err = lockFile(dir + ".lock")
		return err
	})
	defer lock.Close()
	if _, err := os.Stat(dir); err != nil {
		makeTemplate(t, dir)
	}
	return dir
}

// makeTemplate makes the system tables and lets a server add the users.
func makeTemplate(t TB, dir string) {
	t.Helper()
	n := newMariaDB(t, MariaDB{}, nil, "mariatemplate", "")
	install := filepath.Join(n.Dir, "install.cnf")
	writeFile(t, install, "[mariadbd]\n"+runAs()+mariadbStorage)
	r := runProgram(t, Command{Program: "mariadb-install-db", Image: "mariadb:10.11", Dir: n.Dir, Args: []string{"--defaults-file=" + install,
		"--datadir=" + n.data, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"}}, 3*readyTimeout)
	if r.State != exitedWell {
		t.Fatalf("mariadb-install-db: %s: %s", r.State, r.Output)
	}
	n.launch()
	n.awaitReady()
	n.Exec(mariadbUsers...)
	n.Stop()
	if err := os.Rename(n.data, dir); err != nil {
		t.Fatalf("keep the data that every MariaDB server begins with: %v", err)
	}
}

// runAs lets a server run as root when the tests do: the folders are for one user alone, and a program that changes its
// user is no longer ended by the kernel with its parent.
func runAs() string {
	if os.Getuid() == 0 {
		return "user=root\n"
	}
	return ""
}

// copyTree copies the files and folders below from. Blocks of zeros become holes: the logs of a new server are full of
// them.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		switch {
		case e.IsDir():
			return os.MkdirAll(target, 0o700)
		case e.Type().IsRegular():
			return copyFile(target, path)
		}
		return fmt.Errorf("%s is neither file nor folder", path)
	})
}

func copyFile(to, from string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if e := dst.Close(); err == nil {
			err = e
		}
	}()
	block := make([]byte, 64<<10)
	zeros := make([]byte, len(block))
	for at := int64(0); ; {
		n, err := io.ReadFull(src, block)
		if n > 0 && !bytes.Equal(block[:n], zeros[:n]) {
			if _, err := dst.WriteAt(block[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return dst.Truncate(at)
		}
		if err != nil {
			return err
		}
	}
}
