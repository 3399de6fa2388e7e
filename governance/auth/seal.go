package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Sealer encrypts what the store must not show: AES-256-GCM, with the key's place in the store as additional data, so that a
// sealed value that is moved to another place does not open there.
type Sealer struct{ aead cipher.AEAD }

// sealKeySize is the length of a key in bytes.
const sealKeySize = 32

// NewSealer uses a key of 32 bytes.
func NewSealer(key []byte) (*Sealer, error) {
	if len(key) != sealKeySize {
		return nil, fmt.Errorf("a sealing key has %d bytes, not %d", sealKeySize, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Sealer{aead}, nil
}

// LoadSealer reads the key from a file, base64 in one line, or makes it (0600) when the file is not there. created says that it
// was made: what other centres sealed cannot be read with it.
func LoadSealer(file string) (s *Sealer, created bool, err error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		key := make([]byte, sealKeySize)
		rand.Read(key) // never fails: it ends the program instead
		if err := writeNew(file, []byte(base64.StdEncoding.EncodeToString(key)+"\n")); err != nil {
			return nil, false, fmt.Errorf("sealing key: %w", err)
		}
		s, err := NewSealer(key)
		return s, true, err
	}
	if err != nil {
		return nil, false, fmt.Errorf("sealing key: %w", err)
	}
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, false, fmt.Errorf("sealing key: %s can be read by others (%s): chmod 600 it", file, info.Mode().Perm())
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, false, fmt.Errorf("sealing key: %s holds no base64", file)
	}
	s, err = NewSealer(key)
	if err != nil {
		return nil, false, fmt.Errorf("sealing key: %s: %w", file, err)
	}
	return s, false, nil
}

// writeNew makes a file that must not be there, whole and on disk, readable by its owner alone.
func writeNew(file string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".tmp*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Link(f.Name(), file) // fails when another process was first
}

// Seal encrypts a value for a place in the store.
func (s *Sealer) Seal(place string, plain []byte) []byte {
	nonce := make([]byte, s.aead.NonceSize())
	rand.Read(nonce)
	return s.aead.Seal(nonce, nonce, plain, []byte(place))
}

// Open is the reverse of Seal.
func (s *Sealer) Open(place string, sealed []byte) ([]byte, error) {
	n := s.aead.NonceSize()
	if len(sealed) < n {
		return nil, fmt.Errorf("%s: too short for a sealed value", place)
	}
	plain, err := s.aead.Open(nil, sealed[:n], sealed[n:], []byte(place))
	if err != nil {
		return nil, fmt.Errorf("%s: was sealed with another key, or changed: give this centre the seal.key of the one that wrote it", place)
	}
	return plain, nil
}
