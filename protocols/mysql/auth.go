package mysql

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
)

// Names of authentication plugins, as they stand in greetings, responses and AuthSwitch packets.
const (
	PluginNative  = "mysql_native_password" // SHA-1 scramble; the default of MariaDB and of MySQL up to 5.7
	PluginSHA2    = "caching_sha2_password" // SHA-256 scramble, else the password itself; the default of MySQL 8 on
	PluginClear   = "mysql_clear_password"  // the password itself: LDAP, PAM; spoken over TLS or a unix socket only
	PluginEd25519 = "client_ed25519"        // a signature of the server's nonce; MariaDB only
)

// Names of plugins that this package recognises only to say clearly that it does not speak them.
const (
	PluginOld      = "mysql_old_password"                   // before 4.1; broken, gone from servers and clients
	PluginSHA256   = "sha256_password"                      // what caching_sha2_password replaced
	PluginDialog   = "dialog"                               // PAM with questions to a person
	PluginGSSAPI   = "auth_gssapi_client"                   // Kerberos, MariaDB
	PluginKerberos = "authentication_kerberos_client"       // Kerberos, MySQL
	PluginLDAP     = "authentication_ldap_sasl_client"      // LDAP over SASL, MySQL
	PluginFIDO     = "authentication_webauthn_client"       // a second factor in hardware, MySQL
	PluginParsec   = "parsec"                               // MariaDB 11.6 and later
	PluginOIDC     = "authentication_openid_connect_client" // identity tokens, MySQL 9
)

// unsupported says for a plugin that cannot be spoken what would be right instead; "" if it is spoken here.
func unsupported(plugin string) string {
	const use = "give the account mysql_native_password, caching_sha2_password or client_ed25519 (IDENTIFIED VIA/WITH)"
	switch plugin {
	case PluginNative, PluginSHA2, PluginClear, PluginEd25519:
		return ""
	case PluginOld:
		return "the account still has a password from before 4.1: set its password again with old_passwords=0"
	case PluginSHA256:
		return "sha256_password is superseded: give the account caching_sha2_password"
	case PluginDialog:
		return "dialog asks a person: set pam_use_cleartext_plugin=ON at the server, or " + use
	case PluginGSSAPI, PluginKerberos:
		return "Kerberos is not spoken here: " + use
	case PluginLDAP:
		return "LDAP over SASL is not spoken here: use authentication_ldap_simple, or " + use
	case PluginFIDO:
		return "a hardware factor needs a person: " + use
	}
	return use
}

// ScrambleLen is the length of the random bytes a server sends for mysql_native_password and caching_sha2_password.
const ScrambleLen = 20

// NonceLen is the length of the random bytes that client_ed25519 signs.
const NonceLen = 32

// NewScramble reads random bytes from r (crypto/rand.Reader in production) for one greeting. Each is in '!'..'~':
// clients stop at a NUL, and some of them trim white space. 20 such bytes hold 131 bits.
func NewScramble(r io.Reader) ([ScrambleLen]byte, error) {
	var s [ScrambleLen]byte
	if err := printable(r, s[:]); err != nil {
		return s, fmt.Errorf("random bytes for a scramble: %w", err)
	}
	return s, nil
}

// printable fills dst with evenly distributed bytes in '!'..'~'. A byte that would make the first ones likelier is
// drawn again; a source that gives only such bytes is an error, not an endless loop.
func printable(r io.Reader, dst []byte) error {
	const span = '~' - '!' + 1
	const even = 256 / span * span
	var buf [64]byte
	filled := 0
	for range 64 {
		if _, err := io.ReadFull(r, buf[:]); err != nil {
			return err
		}
		for _, b := range buf {
			if b >= even {
				continue
			}
			dst[filled] = '!' + b%span
			if filled++; filled == len(dst) {
				return nil
			}
		}
	}
	return errors.New("the source gives nothing but large bytes")
}

// ScrambleNative is the answer of mysql_native_password to salt (20 bytes; a NUL behind them must be cut off before):
//
//	SHA1(password) XOR SHA1(salt + SHA1(SHA1(password)))
//
// It has 20 bytes; for an empty password it is empty (the protocol's way to say "no password").
// Source: MySQL internals manual, "Secure Password Authentication".
func ScrambleNative(salt, password []byte) []byte {
	if len(password) == 0 {
		return nil
	}
	stage1 := sha1.Sum(password)
	stage2 := sha1.Sum(stage1[:])
	mask := nativeMask(salt, stage2)
	for i := range mask {
		mask[i] ^= stage1[i]
	}
	return mask[:]
}

// VerifyNative reports whether response answers salt with password. Its time does not depend on where they differ.
func VerifyNative(salt, response, password []byte) bool {
	if len(password) == 0 {
		return len(response) == 0
	}
	stage1 := sha1.Sum(password)
	return VerifyNativeHash(salt, response, sha1.Sum(stage1[:]))
}

// VerifyNativeHash is VerifyNative for who knows only stage2 = SHA1(SHA1(password)), which is what servers store
// ("*" and 40 hexadecimal digits in mysql.user).
func VerifyNativeHash(salt, response []byte, stage2 [sha1.Size]byte) bool {
	if len(response) != sha1.Size {
		return false
	}
	stage1 := nativeMask(salt, stage2)
	for i := range stage1 {
		stage1[i] ^= response[i]
	}
	got := sha1.Sum(stage1[:])
	return subtle.ConstantTimeCompare(got[:], stage2[:]) == 1
}

func nativeMask(salt []byte, stage2 [sha1.Size]byte) [sha1.Size]byte {
	h := sha1.New()
	h.Write(salt)
	h.Write(stage2[:])
	var mask [sha1.Size]byte
	h.Sum(mask[:0])
	return mask
}

// ScrambleSHA2 is the first answer of caching_sha2_password to salt (20 bytes):
//
//	SHA256(password) XOR SHA256(SHA256(SHA256(password)) + salt)
//
// It has 32 bytes; for an empty password it is empty. Source: MySQL source documentation, "Caching_sha2_password".
func ScrambleSHA2(salt, password []byte) []byte {
	if len(password) == 0 {
		return nil
	}
	stage1 := sha256.Sum256(password)
	mask := sha2Mask(salt, sha256.Sum256(stage1[:]))
	for i := range mask {
		mask[i] ^= stage1[i]
	}
	return mask[:]
}

// VerifySHA2 reports whether response answers salt with password. Its time does not depend on where they differ.
// A single NUL means "no password", as nothing at all does.
func VerifySHA2(salt, response, password []byte) bool {
	if len(password) == 0 {
		return noPassword(response)
	}
	stage1 := sha256.Sum256(password)
	return VerifySHA2Hash(salt, response, sha256.Sum256(stage1[:]))
}

// VerifySHA2Hash is VerifySHA2 for who knows only stage2 = SHA256(SHA256(password)), the value that a server caches
// after a full login.
func VerifySHA2Hash(salt, response []byte, stage2 [sha256.Size]byte) bool {
	if len(response) != sha256.Size {
		return false
	}
	stage1 := sha2Mask(salt, stage2)
	for i := range stage1 {
		stage1[i] ^= response[i]
	}
	got := sha256.Sum256(stage1[:])
	return subtle.ConstantTimeCompare(got[:], stage2[:]) == 1
}

func sha2Mask(salt []byte, stage2 [sha256.Size]byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(stage2[:])
	h.Write(salt)
	var mask [sha256.Size]byte
	h.Sum(mask[:0])
	return mask
}

// VerifyClear reports whether response, a password with or without the NUL behind it, is password. Both are hashed
// first, so that the time shows neither the length nor the place of the first difference.
func VerifyClear(response, password []byte) bool {
	got, want := sha256.Sum256(cutNUL(response)), sha256.Sum256(password)
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// noPassword reports whether a response says "no password": nothing, or (caching_sha2, clear) a single NUL.
func noPassword(response []byte) bool {
	return len(response) == 0 || len(response) == 1 && response[0] == 0
}

// cutNUL removes one NUL from the end.
func cutNUL(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == 0 {
		return b[:n-1]
	}
	return b
}
