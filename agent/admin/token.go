package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// TokenFile is the name of the token's file in the data folder.
const TokenFile = "admin.token"

// minToken is the shortest token that is accepted from a file: shorter ones can be guessed.
const minToken = 16

// LoadToken reads the token of the data folder. When there is none it makes one of 256 random bits, in a file that only
// its owner can read.
func LoadToken(dir string) (string, error) {
	name := filepath.Join(dir, TokenFile)
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return makeToken(dir, name)
	}
	if err != nil {
		return "", fmt.Errorf("admin token: %w", err)
	}
	if st, err := os.Stat(name); err == nil && st.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("admin token: %s may be read by others (mode %04o): chmod 600 it, or remove it to get a new one", name, st.Mode().Perm())
	}
	token := strings.TrimSpace(string(raw))
	if len(token) < minToken {
		return "", fmt.Errorf("admin token: %s holds %d characters: use at least %d, or remove it to get a new one", name, len(token), minToken)
	}
	return token, nil
}

// makeToken writes a new token. The file appears whole or not at all; of two agents that start together one wins, and
// the other uses its token.
func makeToken(dir, name string) (string, error) {
	var bits [32]byte
	rand.Read(bits[:])
	token := base64.RawURLEncoding.EncodeToString(bits[:])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("admin token: %w", err)
	}
	tmp, err := os.CreateTemp(dir, TokenFile+".*") // mode 0600
	if err != nil {
		return "", fmt.Errorf("admin token: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(token + "\n")
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return "", fmt.Errorf("admin token: %w", err)
	}
	if err := os.Link(tmp.Name(), name); errors.Is(err, fs.ErrExist) {
		return LoadToken(dir)
	} else if err != nil {
		return "", fmt.Errorf("admin token: %w", err)
	}
	return token, nil
}

// authorized compares the request's token in constant time. Both are hashed first, so that not even the length shows.
func (s *Server) authorized(r *http.Request) bool {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	hash := sha256.Sum256([]byte(strings.TrimSpace(given)))
	same := subtle.ConstantTimeCompare(hash[:], s.token[:]) == 1
	return same && strings.EqualFold(scheme, "Bearer")
}
