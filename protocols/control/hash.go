package control

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Hash names the content of a spec: the first 16 hexadecimal digits of the SHA-256 of its JSON without white space, with <, >
// and & as \u003c, \u003e and \u0026. This is what encoding/json makes of a json.RawMessage, so that a spec has one hash
// before it is sent and after. The order of keys counts. What is no JSON is hashed as it is.
func Hash(spec []byte) string {
	var compact, escaped bytes.Buffer
	if json.Compact(&compact, spec) == nil {
		json.HTMLEscape(&escaped, compact.Bytes())
		spec = escaped.Bytes()
	}
	sum := sha256.Sum256(spec)
	return hex.EncodeToString(sum[:8])
}

// HashOf names the content of a spec together with the secrets that it refers to: Hash without any. Values do not go into it, so
// that nobody can try them against it, but marks.
func HashOf(spec []byte, secrets []Secret) string {
	if len(secrets) == 0 {
		return Hash(spec)
	}
	return WithSecrets(Hash(spec), secrets)
}

// WithSecrets is HashOf of a spec whose Hash is known.
func WithSecrets(hash string, secrets []Secret) string {
	text := []byte(hash)
	for _, s := range secrets {
		text = fmt.Appendf(text, "\n%s %s", s.Name, s.Mark)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
