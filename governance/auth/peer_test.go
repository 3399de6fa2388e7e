package auth

import (
	"crypto/tls"
	"encoding/pem"
	"net"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// seenAs does a handshake and returns which agent and which centre the other side sees.
func seenAs(t *testing.T, a *Auth, client *tls.Config) (agent, center string) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	seen := make(chan [2]string, 1)
	go func() {
		s := tls.Server(far, a.CA().ServerConfig())
		if err := s.Handshake(); err != nil {
			seen <- [2]string{err.Error(), err.Error()}
			return
		}
		state := s.ConnectionState()
		seen <- [2]string{AgentOf(&state), CenterOf(&state)}
	}()
	c := tls.Client(near, client)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	go c.Read(make([]byte, 1)) // what follows the handshake needs a reader
	got := <-seen
	return got[0], got[1]
}

// A centre's certificate is a centre's and no agent's, an agent's is an agent's and no centre's, and no name makes one the other.
func TestCenterIsNoAgent(t *testing.T) {
	a, c, _, _ := opened(t)
	config, err := a.CA().PeerConfig("c1")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if agent, center := seenAs(t, a, config); agent != "" || center != "c1" {
			t.Errorf("a centre is seen as agent %q and centre %q", agent, center)
		}
		c.add(serverLife - time.Hour) // it has another certificate by then
	}
	key, request := csr(t, "web-1")
	pemText, _, err := a.ca.sign("web-1", request)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(pemText))
	config.GetClientCertificate = nil
	config.Certificates = []tls.Certificate{{Certificate: [][]byte{block.Bytes}, PrivateKey: key}}
	if agent, center := seenAs(t, a, config); agent != "web-1" || center != "" {
		t.Errorf("an agent is seen as agent %q and centre %q", agent, center)
	}
	_, token, err := a.AddJoin(t.Context(), "", 5, 0, "test")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../center/c1", "x/../../center/c1", "..%2Fcenter%2Fc1"} {
		if _, err := a.Join(t.Context(), token, control.JoinRequest{Name: name, CSR: request}); err == nil {
			t.Errorf("an agent joined as %s", name)
		}
		if _, err := a.CA().PeerConfig(name); err == nil {
			t.Errorf("a centre is called %s", name)
		}
	}
}
