package link

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ServerName is what the certificate of every centre names.
const ServerName = "center.sluice"

// token is a join token.
type token struct {
	text string // whole: what is sent
	id   string // may be shown
	pin  [sha256.Size]byte
}

// parseToken reads sluice-join.ID.SECRET.HASH. Errors hold nothing of the secret.
func parseToken(text string) (token, error) {
	text = strings.TrimSpace(text)
	parts := strings.Split(text, ".")
	if len(parts) != 4 || parts[0] != "sluice-join" || parts[1] == "" || parts[2] == "" {
		return token{}, errors.New("the join token is not of the form sluice-join.ID.SECRET.HASH: copy it whole from the centre")
	}
	t := token{text: text, id: parts[1]}
	hash, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[3], "="))
	if err != nil || len(hash) != len(t.pin) {
		return token{}, fmt.Errorf("the join token %s is cut off: its last part is no SHA-256; copy it whole from the centre", t.id)
	}
	copy(t.pin[:], hash)
	return t, nil
}

// verify checks that a server's chain leads to the pinned authority, and that it is a centre.
func (t *token) verify(chain []*x509.Certificate, now time.Time) error {
	roots, others := x509.NewCertPool(), x509.NewCertPool()
	found := false
	for _, c := range chain {
		switch {
		case sha256.Sum256(c.Raw) == t.pin && c.IsCA:
			roots.AddCert(c)
			found = true
		default:
			others.AddCert(c)
		}
	}
	if len(chain) == 0 || !found {
		return fmt.Errorf("the server does not present the authority that the join token %s pins (SHA-256 %s): the token is another centre's, or something stands between",
			t.id, base64.RawURLEncoding.EncodeToString(t.pin[:]))
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		DNSName: ServerName, Roots: roots, Intermediates: others, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return fmt.Errorf("the server presents the pinned authority, but no certificate of it that holds: %w", err)
	}
	return nil
}
