package cluster

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

// greeter is a server that says hi to each client, after wrapping its connection.
func greeter(t *testing.T, network, address string, wrap func(net.Conn) net.Conn) net.Listener {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
				_, _ = wrap(conn).Write([]byte("hi"))
			})
		}
	})
	t.Cleanup(func() { ln.Close(); work.Wait() })
	return ln
}

func plain(c net.Conn) net.Conn { return c }

// dialRig is a cluster of one endpoint.
func dialRig(t *testing.T, address string, change func(*resources.Spec), lookup func(context.Context, string) ([]netip.Addr, error)) (*Cluster, *resources.Endpoint) {
	t.Helper()
	s := spec(1)
	s.Groups["g"].Endpoints[0].Address = address
	if change != nil {
		change(s)
	}
	c := New(Options{Resource: "r", Metrics: metrics.NewRegistry(metrics.Options{}).Resource("r", "fake"), Lookup: lookup})
	t.Cleanup(c.Close)
	p, err := c.Plan(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Apply()
	return c, c.View().Endpoints[0]
}

func wantHi(t *testing.T, c *Cluster, ep *resources.Endpoint) {
	t.Helper()
	conn, fault := c.Dial(t.Context(), ep)
	if fault != nil {
		t.Fatal(fault)
	}
	defer conn.Close()
	b := make([]byte, 2)
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Read(b); err != nil || string(b) != "hi" {
		t.Fatalf("read %q, %v", b, err)
	}
}

func TestDialTCPAndUnix(t *testing.T) {
	tcp := greeter(t, "tcp", "127.0.0.1:0", plain)
	c, ep := dialRig(t, tcp.Addr().String(), nil, nil)
	wantHi(t, c, ep)

	path := filepath.Join(t.TempDir(), "s")
	greeter(t, "unix", path, plain)
	c, ep = dialRig(t, "unix:"+path, nil, nil)
	wantHi(t, c, ep)
}

func TestDialFaultsSayWhyAndCount(t *testing.T) {
	ln := greeter(t, "tcp", "127.0.0.1:0", plain)
	address := ln.Addr().String()
	ln.Close()
	c, ep := dialRig(t, address, nil, nil)
	_, fault := c.Dial(t.Context(), ep)
	if want := "sluice: r: cannot connect to " + address + ": connection refused"; fault == nil || fault.Text != want || fault.Code != resources.Unavailable {
		t.Errorf("got %+v\nwant %s", fault, want)
	}
	if n := Of(ep).consecutive.Load(); n != 1 {
		t.Errorf("%d failures counted", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, fault = c.Dial(ctx, ep); fault == nil || Of(ep).consecutive.Load() != 1 {
		t.Error("a caller that gave up counts against the endpoint")
	}
}

func TestDialTLS(t *testing.T) {
	ca, conf := newCA(t)
	ln := greeter(t, "tcp", "127.0.0.1:0", func(c net.Conn) net.Conn { return tls.Server(c, conf) })
	for name, x := range map[string]struct {
		tls  resources.ClientTLS
		says string
	}{
		"trusted":    {resources.ClientTLS{CA: ca, ServerName: "redis.test"}, ""},
		"insecure":   {resources.ClientTLS{Insecure: true}, ""},
		"wrong name": {resources.ClientTLS{CA: ca}, "TLS handshake"},
		"untrusted":  {resources.ClientTLS{ServerName: "redis.test"}, "TLS handshake"},
	} {
		c, ep := dialRig(t, ln.Addr().String(), func(s *resources.Spec) { s.UpstreamTLS = &x.tls }, nil)
		if x.says == "" {
			wantHi(t, c, ep)
			continue
		}
		if _, fault := c.Dial(t.Context(), ep); fault == nil || !strings.Contains(fault.Text, x.says) {
			t.Errorf("%s: %v", name, fault)
		}
	}
}

func TestSilentTLSServerEndsWithTheContext(t *testing.T) {
	ln := greeter(t, "tcp", "127.0.0.1:0", func(c net.Conn) net.Conn {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = c.Read(make([]byte, 4096)) // until the client gives up
		return c
	})
	c, ep := dialRig(t, ln.Addr().String(), func(s *resources.Spec) { s.UpstreamTLS = &resources.ClientTLS{Insecure: true} }, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, fault := c.Dial(ctx, ep); fault == nil || Of(ep).consecutive.Load() != 1 {
		t.Errorf("fault %v, %d failures", fault, Of(ep).consecutive.Load())
	}
}

func TestNamesAreResolvedOnceAndKeptWhenTheNameServerFails(t *testing.T) {
	ln := greeter(t, "tcp", "127.0.0.1:0", plain)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	var asked atomic.Int32
	var broken atomic.Bool
	c, ep := dialRig(t, "db.test:"+port, nil, func(_ context.Context, host string) ([]netip.Addr, error) {
		asked.Add(1)
		if broken.Load() {
			return nil, errors.New("no such host")
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.99"), netip.MustParseAddr("127.0.0.1")}, nil
	})
	for range 3 {
		wantHi(t, c, ep) // 127.0.0.99 refuses, the second address answers
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
	broken.Store(true)
	c.resolver.doubt("db.test") // as after a failure
	wantHi(t, c, ep)
	for deadline := time.Now().Add(5 * time.Second); asked.Load() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not asked again")
		}
	}
	wantHi(t, c, ep)
}

func TestUnknownHostIsAFault(t *testing.T) {
	c, ep := dialRig(t, "db.test:1", nil, func(context.Context, string) ([]netip.Addr, error) { return nil, nil })
	if _, fault := c.Dial(t.Context(), ep); fault == nil || fault.Text != "sluice: r: cannot connect to db.test:1: host db.test has no address" {
		t.Error(fault)
	}
}

// turns starts n connections at once under caps and returns when each got its turn; those that did not are left out.
func turns(t *testing.T, n int, caps resources.DialPolicy, timeout, busy time.Duration) []time.Duration {
	var m Member
	start := time.Now()
	var mu sync.Mutex
	var got []time.Duration
	var work sync.WaitGroup
	for range n {
		work.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			if m.turn(ctx, time.Since(start).Nanoseconds()+1, caps) != nil {
				return
			}
			mu.Lock()
			got = append(got, time.Since(start))
			mu.Unlock()
			time.Sleep(busy)
			m.dial.leave()
		})
	}
	work.Wait()
	return got
}

func TestDialRateIsCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := turns(t, 300, resources.DialPolicy{Rate: 100, Concurrent: 1000}, time.Second, 0)
		at := func(d time.Duration) (n int) {
			for _, g := range got {
				if g <= d {
					n++
				}
			}
			return n
		}
		if n := at(0); n != 10 {
			t.Errorf("%d at once, want a tenth of a second's worth", n)
		}
		if n := at(500 * time.Millisecond); n < 58 || n > 61 {
			t.Errorf("%d after half a second", n)
		}
		if len(got) < 108 || len(got) > 111 {
			t.Errorf("%d within the timeout of a second", len(got))
		}
	})
}

func TestUnfinishedConnectionsAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := turns(t, 100, resources.DialPolicy{Rate: 1e5, Concurrent: 8}, time.Second, 300*time.Millisecond)
		if len(got) != 32 { // 8 each at 0, 0.3, 0.6 and 0.9 s
			t.Errorf("%d got a turn, want 32", len(got))
		}
	})
}

// newCA makes a certificate authority and a server certificate for redis.test.
func newCA(t *testing.T) (caFile string, server *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis.test"}, DNSNames: []string{"redis.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return caFile, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
