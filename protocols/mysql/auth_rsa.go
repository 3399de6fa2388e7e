package mysql

import (
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
)

// Without TLS, the full form of caching_sha2_password sends the password, masked with the scramble, encrypted with the
// server's RSA key (OAEP with SHA-1, which the protocol fixes). The mask keeps a recorded message from being used again
// with another scramble. The client may know the key, or ask for it in clear: then whoever sits on the network can
// answer with his own, so that is an option and not the default.
//
// Source: MySQL source documentation, "Caching_sha2_password", and RFC 8017 section 7.1.

// maxRSABits bounds the keys accepted from a server: 8192 bits cost 2 ms, and the key's owner chooses the size.
const maxRSABits = 8192

// maxKeyPEM bounds the text of a public key: 8192 bits in PEM have about 1.4 KiB.
const maxKeyPEM = 4 << 10

// AppendPublicKey appends the key as a server sends it: PEM, type "PUBLIC KEY" (PKIX).
func AppendPublicKey(dst []byte, key *rsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return dst, fmt.Errorf("public key for caching_sha2_password: %w", err)
	}
	return append(dst, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...), nil
}

// ParsePublicKey reads a server's public key from PEM.
func ParsePublicKey(text []byte) (*rsa.PublicKey, error) {
	if len(text) > maxKeyPEM {
		return nil, fmt.Errorf("public key of %d bytes, at most %d are accepted", len(text), maxKeyPEM)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("public key is not PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("public key in PEM of type %q: %w", block.Type, err)
	}
	pub, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("public key is a %T, caching_sha2_password needs RSA", key)
	}
	if bits := pub.N.BitLen(); bits > maxRSABits {
		return nil, fmt.Errorf("RSA key of %d bits, at most %d are accepted", bits, maxRSABits)
	}
	return pub, nil
}

// EncryptSHA2Password is the password (a NUL added, masked with salt) encrypted for the owner of key. random is
// crypto/rand.Reader in production. A password longer than the key can carry (213 bytes for 2048 bits) is an error.
func EncryptSHA2Password(random io.Reader, key *rsa.PublicKey, salt, password []byte) ([]byte, error) {
	plain := make([]byte, len(password)+1)
	copy(plain, password)
	maskWith(plain, salt)
	out, err := rsa.EncryptOAEP(sha1.New(), random, key, plain, nil)
	if err != nil {
		return nil, fmt.Errorf("encrypt the password with the server's RSA key: %w", err)
	}
	return out, nil
}

// DecryptSHA2Password undoes EncryptSHA2Password and returns the password without its NUL. The error never holds
// anything of the plain text.
func DecryptSHA2Password(key *rsa.PrivateKey, salt, encrypted []byte) ([]byte, error) {
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, encrypted, nil)
	if err != nil {
		return nil, fmt.Errorf("decrypt a password of %d bytes: %w", len(encrypted), err)
	}
	maskWith(plain, salt)
	if len(plain) == 0 || plain[len(plain)-1] != 0 {
		return nil, errors.New("encrypted password does not end in NUL: it was made for another scramble")
	}
	return plain[:len(plain)-1], nil
}

// maskWith XORs b with salt, repeated.
func maskWith(b, salt []byte) {
	if len(salt) == 0 {
		return
	}
	for i := range b {
		b[i] ^= salt[i%len(salt)]
	}
}
