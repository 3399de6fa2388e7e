package link

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

func TestTheTokenPinsTheAuthority(t *testing.T) {
	c, other := center(t), center(t)
	r := start(t, c, t.TempDir(), c.TokenOf(other))
	r.until("an error that says so", func() bool {
		return strings.Contains(r.Status().Error, "another centre's, or something stands between")
	})
	if n := c.Requests(control.PathJoin); n != 0 {
		t.Errorf("the token was sent %d times to a server that it does not pin", n)
	}
}

func TestBadTokensAreExplained(t *testing.T) {
	c := center(t)
	for text, want := range map[string]string{
		"":                   "no certificate for the centre and no join token",
		"hello":              "not of the form sluice-join.ID.SECRET.HASH",
		"sluice-join.a.b.cc": "the join token a is cut off",
		strings.Replace(c.Token(), ".j1.", ".j2.", 1): "joining with token j2: the centre refuses (401): this join token is not known",
		"${env:SLUICE_TEST_NOT_SET}":                  "join token: secret ${env:SLUICE_TEST_NOT_SET}: the environment variable SLUICE_TEST_NOT_SET is not set",
	} {
		r := start(t, c, t.TempDir(), text)
		r.until(want, func() bool { return strings.Contains(r.Status().Error, want) })
		r.stop()
	}
}

// An agent that joined one mesh and is given a token of another follows the token; a token that is refused leaves it where
// it is.
func TestATokenOfAnotherMeshIsFollowed(t *testing.T) {
	old, c := center(t), center(t)
	dir := t.TempDir()
	r := start(t, old, dir, old.Token())
	accept(t, old)
	r.stop()
	r = start(t, c, dir, c.Token())
	accept(t, c)
	r.stop()
	r = start(t, c, dir, strings.Replace(c.TokenOf(old), ".j1.", ".j9.", 1))
	accept(t, c)
	if c.Requests(control.PathJoin) != 1 || !strings.Contains(r.log.String(), "going on with the one it has") {
		t.Errorf("%d joins; log %s", c.Requests(control.PathJoin), r.log)
	}
}

func TestACentreOfAnotherAuthorityIsNotTrusted(t *testing.T) {
	c, other := center(t), center(t)
	dir := t.TempDir()
	r := start(t, c, dir, c.Token())
	accept(t, c)
	r.stop()
	r = start(t, other, dir, "")
	r.until("an error that says so", func() bool {
		return strings.Contains(r.Status().Error, "not certified by the authority that this agent joined")
	})
}

func TestCertificatesAreRenewedWithNewKeys(t *testing.T) {
	t.Parallel()
	c := center(t)
	c.SetLife(life)
	r := start(t, c, t.TempDir(), c.Token())
	conn := accept(t, c)
	first, err := os.ReadFile(filepath.Join(r.dir, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	r.until("two renewals", func() bool { return c.Requests(control.PathRenew) >= 2 })
	select {
	case <-conn.Ended:
		t.Error("a renewal ended the link")
	default:
	}
	r.stop()
	second, _ := os.ReadFile(filepath.Join(r.dir, keyFile))
	if bytes.Equal(first, second) {
		t.Error("the key is the same")
	}
	c.SetLife(time.Hour)
	start(t, c, r.dir, "") // as renewed, and as kept
	accept(t, c)
	if n := c.Requests(control.PathJoin); n != 1 {
		t.Errorf("joined %d times", n)
	}
}

func TestACertificateThatExpiredIsReplacedByJoining(t *testing.T) {
	c := center(t)
	c.SetLife(time.Nanosecond)
	dir := t.TempDir()
	r := start(t, c, dir, c.Token())
	r.until("it joined", func() bool { return !r.Status().Expires.IsZero() })
	r.stop()
	r = start(t, c, dir, "")
	r.until("it asks for a token", func() bool { return strings.Contains(r.Status().Error, "give the agent a new join token") })
	r.stop()
	c.SetLife(time.Hour)
	start(t, c, dir, c.Token())
	accept(t, c)
}

func TestCertificatesAreWholeAfterACrash(t *testing.T) {
	c := center(t)
	dir := t.TempDir()
	r := start(t, c, dir, c.Token())
	accept(t, c)
	r.stop()
	f := files{dir}
	key, cert, ca, err := f.load()
	if err != nil || key == nil {
		t.Fatal(err)
	}
	other, _, err := newKey("web-1")
	if err != nil {
		t.Fatal(err)
	}
	// Before the certificate was replaced: a key that waits is not its key.
	f.write(keyFile+next, other)
	if k, _, _, err := f.load(); err != nil || !bytes.Equal(k, key) {
		t.Fatalf("a key that waits is taken: %v", err)
	}
	// After it: the key that waits is the certificate's.
	f.write(keyFile+next, key)
	f.write(caFile+next, ca)
	f.write(keyFile, other)
	f.write(caFile, []byte("other"))
	k, cr, a, err := f.load()
	if err != nil || !bytes.Equal(k, key) || !bytes.Equal(cr, cert) || !bytes.Equal(a, ca) {
		t.Fatalf("not settled: %v", err)
	}
	// Damaged: said, and joined anew.
	f.write(certFile, []byte("damaged"))
	r = start(t, c, dir, c.Token())
	accept(t, c)
	if !strings.Contains(r.log.String(), "cannot be used: the agent has to join anew") {
		t.Error(r.log)
	}
}

func TestACertificateOfAnotherNameIsNotUsed(t *testing.T) {
	c := center(t)
	dir := t.TempDir()
	r := start(t, c, dir, c.Token())
	accept(t, c)
	r.stop()
	log := &buffer{}
	l, err := New(Options{Centers: []string{c.URL()}, Dir: dir, Name: "web-2", Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil || !l.Status().Expires.IsZero() || !strings.Contains(log.String(), "this is agent web-2") {
		t.Errorf("%v %s", err, log)
	}
}

// Whatever is given as a token, the error holds nothing of it but the id.
func FuzzToken(f *testing.F) {
	f.Add("sluice-join.id.secret.47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU")
	f.Add("sluice-join.id.secret.47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=")
	f.Add("sluice-join...")
	f.Add("sluice-join.id.secret.cut")
	_, form := parseToken("")
	f.Fuzz(func(t *testing.T, text string) {
		tok, err := parseToken(text)
		parts := strings.Split(strings.TrimSpace(text), ".")
		switch {
		case err == nil && (len(parts) != 4 || tok.id != parts[1] || tok.text != strings.TrimSpace(text)):
			t.Fatalf("%q is taken as %+v", text, tok)
		case err == nil || err.Error() == form.Error():
		case err.Error() != "the join token "+parts[1]+" is cut off: its last part is no SHA-256; copy it whole from the centre":
			t.Fatal(err)
		}
	})
}
