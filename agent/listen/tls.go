package listen

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// handshakeTimeout is the longest TLS handshake.
	handshakeTimeout = 5 * time.Second
	// maxHandshakes is the most unfinished ones of one listener; each holds some 10 KiB.
	maxHandshakes = 1024
	// recheck is the shortest time between two looks at the certificate files.
	recheck = time.Second
)

// handshake makes conn a TLS connection and hands it on, or closes it.
func (l *Listener) handshake(conn net.Conn, t *target) {
	if !l.hold(conn) {
		conn.Close()
		return
	}
	defer l.release(conn)
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	secure := tls.Server(conn, t.certs.config)
	if err := secure.HandshakeContext(ctx); err != nil {
		l.opt.Log.Debug("TLS handshake failed", "listen", l.address, "client", conn.RemoteAddr().String(), "error", err)
		conn.Close()
		return
	}
	t.handler(secure)
}

// Certificates is the TLS identity of a listener, read from files. Files that change are read again for new connections;
// a change that cannot be read keeps the old certificate and says so.
type Certificates struct {
	files  Files
	log    *slog.Logger
	config *tls.Config

	mu      sync.Mutex // guards what follows
	current *tls.Config
	stamp   stamp
	tried   stamp // of the last attempt, good or bad, so that a bad change is reported once
	looked  time.Time
}

// Config returns the configuration for a protocol that begins TLS by itself; nil when c is. It follows the files.
func (c *Certificates) Config() *tls.Config {
	if c == nil {
		return nil
	}
	return c.config
}

// Files names PEM files. ClientCA is empty when clients show no certificate. Protocol is the name of what is spoken (ALPN); it
// is empty when what is spoken has none.
type Files struct{ Cert, Key, ClientCA, Protocol string }

// stamp tells whether files changed: modification time and size of each.
type stamp [3]struct {
	mod  time.Time
	size int64
}

// LoadCertificates reads the files. It fails when they cannot be used now.
func LoadCertificates(f Files, log *slog.Logger) (*Certificates, error) {
	c := &Certificates{files: f, log: log}
	c.config = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.get(time.Now()), nil },
	}
	st, err := f.stat()
	if err != nil {
		return nil, err
	}
	if c.current, err = f.load(); err != nil {
		return nil, err
	}
	c.stamp, c.tried, c.looked = st, st, time.Now()
	return c, nil
}

// Files returns the names of the files.
func (c *Certificates) Files() Files { return c.files }

// get returns the configuration of a new connection.
func (c *Certificates) get(now time.Time) *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.looked) < recheck {
		return c.current
	}
	c.looked = now
	st, err := c.files.stat()
	if err == nil && (st == c.stamp || st == c.tried) {
		return c.current
	}
	c.tried = st
	fresh := (*tls.Config)(nil)
	if err == nil {
		fresh, err = c.files.load()
	}
	if err != nil {
		c.log.Error("changed certificate cannot be used, the old one stays", "error", err)
		return c.current
	}
	c.log.Info("certificate read again", "cert", c.files.Cert)
	c.current, c.stamp = fresh, st
	return fresh
}

func (f Files) names() [3]string { return [3]string{f.Cert, f.Key, f.ClientCA} }

func (f Files) stat() (stamp, error) {
	var st stamp
	for i, name := range f.names() {
		if name == "" {
			continue
		}
		fi, err := os.Stat(name)
		if err != nil {
			return stamp{}, fmt.Errorf("tls: %w", err)
		}
		st[i].mod, st[i].size = fi.ModTime(), fi.Size()
	}
	return st, nil
}

func (f Files) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("tls: certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if f.Protocol != "" {
		conf.NextProtos = []string{f.Protocol}
	}
	if f.ClientCA == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(f.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("tls: client-ca: %w", err)
	}
	conf.ClientCAs = x509.NewCertPool()
	if !conf.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls: client-ca %s: %w", f.ClientCA, errors.New("no PEM certificate in it"))
	}
	conf.ClientAuth = tls.RequireAndVerifyClientCert
	return conf, nil
}
