package control

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
