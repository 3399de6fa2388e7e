package listen

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writePair writes a self-signed certificate with the given serial number and returns its files.
func writePair(t *testing.T, dir string, serial int64) Files {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: "localhost"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	f := Files{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	write := func(name, kind string, b []byte) {
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(f.Cert, "CERTIFICATE", der)
	write(f.Key, "PRIVATE KEY", raw)
	return f
}

func serialOf(t *testing.T, address string) int64 {
	t.Helper()
	d := &net.Dialer{Timeout: 5 * time.Second}
	c, err := tls.DialWithDialer(d, "tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestChangedCertificateServesNewConnections(t *testing.T) {
	dir := t.TempDir()
	f := writePair(t, dir, 1)
	var logged lockedBuilder
	certs, err := LoadCertificates(f, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, "127.0.0.1:0", Options{})
	l.Handle(greet, certs)
	l.Start()
	if n := serialOf(t, l.Addr().String()); n != 1 {
		t.Fatalf("serial %d, want 1", n)
	}
	until := func(want int64) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); serialOf(t, l.Addr().String()) != want; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("certificate %d is not served", want)
			}
		}
	}
	writePair(t, dir, 2)
	until(2)

	// A certificate without its key is refused, and the old one stays.
	os.WriteFile(f.Cert, []byte("not a certificate"), 0o600)
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(logged.String(), "cannot be used"); time.Sleep(20 * time.Millisecond) {
		if n := serialOf(t, l.Addr().String()); n != 2 {
			t.Fatalf("serial %d, want the old 2", n)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the bad change was not reported: %s", logged.String())
		}
	}
	writePair(t, dir, 3)
	until(3)
}

func TestCloseBreaksOffHandshakes(t *testing.T) {
	certs, err := LoadCertificates(writePair(t, t.TempDir(), 1), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, "127.0.0.1:0", Options{})
	l.Handle(greet, certs)
	l.Start()
	c, err := net.Dial("tcp", l.Addr().String()) // says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for deadline := time.Now().Add(5 * time.Second); len(l.handshakes) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no handshake began")
		}
	}
	start := time.Now()
	l.Close()
	if took := time.Since(start); took > handshakeTimeout-500*time.Millisecond {
		t.Errorf("Close took %v: it waited for a handshake to time out", took)
	}
}

func TestCertificateFilesMustBeUsable(t *testing.T) {
	f := writePair(t, t.TempDir(), 1)
	for _, bad := range []Files{
		{Cert: "/nonexistent", Key: f.Key},
		{Cert: f.Cert, Key: f.Cert},
		{Cert: f.Cert, Key: f.Key, ClientCA: f.Key},
	} {
		if _, err := LoadCertificates(bad, nil); err == nil || !strings.HasPrefix(err.Error(), "tls: ") {
			t.Errorf("%+v: error %v", bad, err)
		}
	}
}
