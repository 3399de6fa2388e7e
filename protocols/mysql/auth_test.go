package mysql

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Map(func(r rune) rune {
		if r == ' ' || r == '\n' || r == '\t' {
			return -1
		}
		return r
	}, s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// testSalt is 20 bytes as a greeting has them: '!' to '4'.
var testSalt = []byte("!\"#$%&'()*+,-./01234")

// TestScrambles: values computed by another implementation of the documented formulas (Python's hashlib).
func TestScrambles(t *testing.T) {
	for _, c := range []struct{ password, native, sha2 string }{
		{"secret", "1f44f306295a10870fd7895d358cb5f975d7d47f",
			"3e6e1d1225dfe8531b46e47caf897453dba8211b1e2fdca5e10ef0f98718b18e"},
		{"pässwörd €", "625c62df5dc794c3bbf097811ce0041ed4a1a0ed",
			"cf98c4fcb43fba7bae81de91b8fdcc14d8e96ff225ccca0220abe788c2610f46"},
		{"", "", ""},
	} {
		if got := ScrambleNative(testSalt, []byte(c.password)); hex.EncodeToString(got) != c.native {
			t.Errorf("native scramble of %q: %x, want %s", c.password, got, c.native)
		}
		if got := ScrambleSHA2(testSalt, []byte(c.password)); hex.EncodeToString(got) != c.sha2 {
			t.Errorf("sha2 scramble of %q: %x, want %s", c.password, got, c.sha2)
		}
	}
}

// TestNativeHash: the stored form of 'mypass' stands in the manual, section "Password Hashing in MySQL".
func TestNativeHash(t *testing.T) {
	stage2 := [20]byte(unhex(t, "6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4"))
	answer := ScrambleNative(testSalt, []byte("mypass"))
	if !VerifyNativeHash(testSalt, answer, stage2) {
		t.Error("the answer does not fit the stored form")
	}
	if answer[7] ^= 1; VerifyNativeHash(testSalt, answer, stage2) {
		t.Error("a changed answer fits the stored form")
	}
}

func TestVerifyProperties(t *testing.T) {
	schemes := map[string]struct {
		answer func(salt, password []byte) []byte
		verify func(salt, answer, password []byte) bool
	}{
		"native": {ScrambleNative, VerifyNative},
		"sha2":   {ScrambleSHA2, VerifySHA2},
		"ed25519": {func(salt, password []byte) []byte {
			sig, err := SignEd25519(salt, password)
			if err != nil {
				t.Fatal(err)
			}
			return sig
		}, VerifyEd25519},
		"clear": {func(_, password []byte) []byte { return append(bytes.Clone(password), 0) },
			func(_, answer, password []byte) bool { return VerifyClear(answer, password) }},
	}
	for name, s := range schemes {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			words := rapid.SliceOfN(rapid.ByteRange(1, 255), 0, 40)
			right, other := words.Draw(t, "password"), words.Draw(t, "other")
			salt := rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(t, "salt")
			answer := s.answer(salt, right)
			if !s.verify(salt, answer, right) {
				t.Fatal("the right password is refused")
			}
			if !bytes.Equal(right, other) && s.verify(salt, answer, other) {
				t.Fatal("another password is accepted")
			}
			if len(answer) > 1 {
				bent := bytes.Clone(answer)
				bent[rapid.IntRange(0, len(bent)-2).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
				if s.verify(salt, bent, right) {
					t.Fatal("a changed answer is accepted")
				}
			}
			if len(right) > 0 && s.verify(salt, nil, right) {
				t.Fatal("no answer is accepted for a password")
			}
		}))
	}
}

// TestEd25519RFC: for passwords of 32 bytes MariaDB's scheme is that of RFC 8032; section 7.1, tests 1 and 2.
func TestEd25519RFC(t *testing.T) {
	for _, c := range []struct{ secret, public, message, signature string }{
		{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
			"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
			"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
		{"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
			"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
			"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
	} {
		public, err := PublicEd25519(unhex(t, c.secret))
		if err != nil || hex.EncodeToString(public) != c.public {
			t.Errorf("public key %x (%v), want %s", public, err, c.public)
		}
		sig, err := SignEd25519(unhex(t, c.message), unhex(t, c.secret))
		if err != nil || hex.EncodeToString(sig) != c.signature {
			t.Errorf("signature %x (%v), want %s", sig, err, c.signature)
		}
	}
}

// TestEd25519MariaDB: the public key of 'secret' stands in MariaDB's knowledge base.
func TestEd25519MariaDB(t *testing.T) {
	public, err := PublicEd25519([]byte("secret"))
	if got := base64.RawStdEncoding.EncodeToString(public); err != nil || got != "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY" {
		t.Errorf("public key %s (%v)", got, err)
	}
}

func TestEd25519AgreesWithStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed")
		nonce := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "nonce")
		sig, err := SignEd25519(nonce, seed)
		if want := ed25519.Sign(ed25519.NewKeyFromSeed(seed), nonce); err != nil || !bytes.Equal(sig, want) {
			t.Fatalf("%x (%v), want %x", sig, err, want)
		}
	})
}

// testKey is made once: a key of 2048 bits takes a while.
var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func TestRSA(t *testing.T) {
	key := testKey()
	text, err := AppendPublicKey(nil, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ParsePublicKey(text)
	if err != nil || !public.Equal(&key.PublicKey) {
		t.Fatalf("key does not survive PEM: %v", err)
	}
	for _, password := range []string{"", "x", strings.Repeat("long", 50)} {
		sealed, err := EncryptSHA2Password(rand.Reader, public, testSalt, []byte(password))
		if err != nil || len(sealed) != key.Size() {
			t.Fatalf("%d bytes: %v", len(sealed), err)
		}
		if got, err := DecryptSHA2Password(key, testSalt, sealed); err != nil || string(got) != password {
			t.Errorf("%q (%v), want %q", got, err, password)
		}
		other := bytes.Clone(testSalt)
		for i := range other {
			other[i] ^= 0x55
		}
		if got, err := DecryptSHA2Password(key, other, sealed); err == nil {
			t.Errorf("a recorded message is good for another scramble: %q", got)
		}
		sealed[9] ^= 1
		if _, err := DecryptSHA2Password(key, testSalt, sealed); err == nil {
			t.Error("a changed message decrypts")
		}
	}
	if _, err := EncryptSHA2Password(rand.Reader, public, testSalt, make([]byte, 214)); err == nil {
		t.Error("a password too long for the key is encrypted")
	}
}

func TestParsePublicKeyRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":  "",
		"no PEM":   "-----BEGIN NOTHING",
		"no PKIX":  "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		"too long": strings.Repeat("a", maxKeyPEM+1),
		"an ed25519 key": "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n" +
			"-----END PUBLIC KEY-----\n",
	} {
		if _, err := ParsePublicKey([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestNewScramble(t *testing.T) {
	seen := map[byte]bool{}
	for range 500 {
		s, err := NewScramble(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range s {
			if c < '!' || c > '~' {
				t.Fatalf("byte %#x in %q", c, s)
			}
			seen[c] = true
		}
	}
	if len(seen) != '~'-'!'+1 {
		t.Errorf("only %d different bytes in 10,000", len(seen))
	}
	broken := errors.New("broken")
	if _, err := NewScramble(io.MultiReader(strings.NewReader("abc"), failingReader{broken})); !errors.Is(err, broken) {
		t.Errorf("a broken source gives %v", err)
	}
	if _, err := NewScramble(constantReader(0xff)); err == nil {
		t.Error("a source of nothing but 0xff gives a scramble")
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

type constantReader byte

func (r constantReader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r)
	}
	return len(b), nil
}
