package mysql

import (
	"crypto/ed25519"
	"crypto/sha512"
	"fmt"

	"filippo.io/edwards25519"
)

// MariaDB's ed25519 is RFC 8032 with one difference: where the RFC hashes a seed of 32 random bytes, MariaDB hashes the
// password, whatever its length. So crypto/ed25519, which insists on 32 bytes, can verify but cannot sign. The nonce
// in the signature is derived from the secret as in the RFC: no random source is needed.
//
// Source: RFC 8032 section 5.1; MariaDB knowledge base, "Authentication Plugin - ed25519".

// ed25519Key expands a password into the secret scalar, the prefix for nonces, and the public key.
func ed25519Key(password []byte) (secret *edwards25519.Scalar, prefix, public []byte, err error) {
	h := sha512.Sum512(password)
	secret, err = edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		return nil, nil, nil, fmt.Errorf("ed25519 secret from a password: %w", err)
	}
	return secret, h[32:], new(edwards25519.Point).ScalarBaseMult(secret).Bytes(), nil
}

// PublicEd25519 is the public key of a password, 32 bytes. MariaDB stores it as base64 without padding.
func PublicEd25519(password []byte) ([]byte, error) {
	_, _, public, err := ed25519Key(password)
	return public, err
}

// SignEd25519 is the answer of client_ed25519 to the server's nonce (32 bytes): a signature of 64 bytes. An empty
// password signs too.
func SignEd25519(nonce, password []byte) ([]byte, error) {
	secret, prefix, public, err := ed25519Key(password)
	if err != nil {
		return nil, err
	}
	r, err := hashScalar(prefix, nonce)
	if err != nil {
		return nil, err
	}
	commit := new(edwards25519.Point).ScalarBaseMult(r).Bytes()
	k, err := hashScalar(commit, public, nonce)
	if err != nil {
		return nil, err
	}
	proof := edwards25519.NewScalar().MultiplyAdd(k, secret, r)
	return append(commit, proof.Bytes()...), nil
}

// hashScalar is SHA-512 of the parts, reduced modulo the order of the group.
func hashScalar(parts ...[]byte) (*edwards25519.Scalar, error) {
	h := sha512.New()
	for _, p := range parts {
		h.Write(p)
	}
	s, err := edwards25519.NewScalar().SetUniformBytes(h.Sum(nil))
	if err != nil {
		return nil, fmt.Errorf("ed25519 scalar from a hash: %w", err)
	}
	return s, nil
}

// VerifyEd25519 reports whether response signs nonce with password.
func VerifyEd25519(nonce, response, password []byte) bool {
	public, err := PublicEd25519(password)
	return err == nil && VerifyEd25519Key(nonce, response, public)
}

// VerifyEd25519Key is VerifyEd25519 for who knows only the public key (32 bytes), which is what MariaDB stores.
func VerifyEd25519Key(nonce, response, public []byte) bool {
	if len(public) != ed25519.PublicKeySize || len(response) != ed25519.SignatureSize {
		return false
	}
	return ed25519.Verify(public, nonce, response)
}
