package fleet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// Join asks a real centre at host:port for the certificate of an agent, with a join token, and returns what the agent dials
// with. Unlike a real agent it does not compare the centre with the token's pin: the centre is a test's own, on the loopback.
func Join(ctx context.Context, addr, token, name string) (func(ctx context.Context) (net.Conn, error), error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		return nil, err
	}
	answer, err := join(ctx, addr, token, control.JoinRequest{Name: name, CSR: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))})
	if err != nil {
		return nil, fmt.Errorf("agent %s joins: %w", name, err)
	}
	pool, cert := x509.NewCertPool(), tls.Certificate{PrivateKey: key}
	if !pool.AppendCertsFromPEM([]byte(answer.CA)) {
		return nil, fmt.Errorf("agent %s joins: the centre answered with no authority", name)
	}
	for block, rest := pem.Decode([]byte(answer.Certificate)); block != nil; block, rest = pem.Decode(rest) {
		cert.Certificate = append(cert.Certificate, block.Bytes)
	}
	if cert.Certificate == nil {
		return nil, fmt.Errorf("agent %s joins: the centre answered with no certificate", name)
	}
	return DialTLS(addr, &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, ServerName: serverName, MinVersion: tls.VersionTLS13}), nil
}

func join(ctx context.Context, addr, token string, body control.JoinRequest) (answer control.JoinAnswer, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return answer, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+addr+control.PathJoin, bytes.NewReader(text))
	if err != nil {
		return answer, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: serverName, MinVersion: tls.VersionTLS13}}}
	resp, err := client.Do(r)
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	switch {
	case err != nil:
		return answer, err
	case resp.StatusCode != http.StatusOK:
		return answer, fmt.Errorf("%s: %s", resp.Status, said)
	}
	return answer, json.Unmarshal(said, &answer)
}
