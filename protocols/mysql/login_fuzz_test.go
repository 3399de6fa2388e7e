package mysql

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
)

// FuzzGreeting: what is read and written again reads the same.
func FuzzGreeting(f *testing.F) {
	for _, s := range []string{greeting55, greeting56, greetingMaria} {
		f.Add(unhex(f, s)[HeaderLen:])
	}
	f.Add([]byte("\xff\x10\x04#08004Too many connections"))
	f.Add([]byte("\x093.20\x00\x00\x00\x00\x00abcdefgh\x00"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		g, err := ParseGreeting(payload)
		if err != nil || g.Caps&(ClientSecureConnection|ClientPluginAuth) == ClientPluginAuth {
			return // plugins with scrambles of 8 bytes: no server is like that, and Append always writes 20
		}
		again, err := ParseGreeting(g.Append(nil)[HeaderLen:])
		if err != nil || again != g {
			t.Fatalf("%+v, then %+v (%v)", g, again, err)
		}
	})
}

// FuzzResponse: what is read and written again reads the same, as a Response and as a COM_CHANGE_USER.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{response41, responseAttrs, responseMaria, responsePHP} {
		f.Add(unhex(f, s)[HeaderLen:], uint64(0))
	}
	f.Add(unhex(f, changeUserPHP)[HeaderLen:], uint64(ClientProtocol41|ClientSecureConnection|ClientPluginAuth|ClientConnectAttrs))
	f.Add([]byte("\x85\x24\x00\x00\x00old\x00GDSCQYR_"), uint64(0))
	f.Fuzz(func(t *testing.T, payload []byte, caps uint64) {
		if r, err := ParseResponse(payload); err == nil {
			again, err := ParseResponse(r.Append(nil, 1)[HeaderLen:])
			if err != nil || !sameResponse(&r, &again) {
				t.Fatalf("%+v, then %+v (%v)", r, again, err)
			}
			if IsSSLRequest(payload) {
				t.Fatal("both a Response and an SSLRequest")
			}
		}
		if r, err := ParseChangeUser(payload, Caps(caps)); err == nil {
			again, err := ParseChangeUser(r.AppendChangeUser(nil, Caps(caps))[HeaderLen:], Caps(caps))
			if err != nil || !sameResponse(&r, &again) {
				t.Fatalf("%+v, then %+v (%v)", r, again, err)
			}
		}
	})
}

func sameResponse(a, b *Response) bool {
	return a.Caps == b.Caps && a.MaxPacket == b.MaxPacket && a.Charset == b.Charset && a.User == b.User &&
		a.Database == b.Database && a.Plugin == b.Plugin && bytes.Equal(a.Auth, b.Auth) &&
		bytes.Equal(a.Attributes, b.Attributes) && a.ZstdLevel == b.ZstdLevel
}

// FuzzAttributes: names and values lie in the block, in order.
func FuzzAttributes(f *testing.F) {
	f.Add(AppendAttribute(AppendAttribute(nil, "_os", "Linux"), "", ""))
	f.Add([]byte("\x01a\xfe\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, block []byte) {
		left := len(block)
		for name, value := range Attributes(block) {
			if left -= len(name) + len(value) + 2; left < 0 {
				t.Fatal("more than there is")
			}
		}
	})
}

// script cuts fuzzed bytes into packets: a byte of length, then the payload. A length of 255 stands for a wrong sequence id.
func script(in []byte, each func(payload []byte, right bool) bool) {
	for len(in) > 0 {
		n, right := int(in[0]), in[0] != 255
		in = in[1:]
		n = min(n, len(in))
		if !each(in[:n], right) {
			return
		}
		in = in[n:]
	}
}

func scripted(payloads ...[]byte) (in []byte) {
	for _, p := range payloads {
		in = append(append(in, byte(len(p))), p...)
	}
	return in
}

// fuzzPassword cannot be in the fuzzed bytes but by a miracle.
const fuzzPassword = "correct horse battery staple"

// FuzzServerLogin: no bytes get in without the password; every answer is whole packets in order; an error comes with
// LoginRefused and an ERR packet; nobody is asked for more than a few packets.
func FuzzServerLogin(f *testing.F) {
	for _, user := range []string{"native", "sha2", "ed25519", "clear", "nobody"} {
		first := response(1, func(r *Response) { r.User = user; r.Plugin = PluginSHA2; r.Auth = make([]byte, 32) })[HeaderLen:]
		f.Add(scripted(first, make([]byte, 64), []byte("guess\x00")), byte(0))
		f.Add(scripted(first, []byte{sha2KeyRequest}, make([]byte, 200)), byte(7))
		ssl := (&Response{Caps: ClientProtocol41 | ClientSSL}).AppendSSLRequest(nil, 1)[HeaderLen:]
		f.Add(scripted(ssl, first, []byte("guess\x00")), byte(5))
	}
	f.Add(scripted(unhex(f, changeUserPHP)[HeaderLen:], []byte("guess")), byte(8))
	f.Fuzz(func(t *testing.T, in []byte, flags byte) {
		p := &pair{}
		cfg := p.serverConfig()
		users := cfg.Lookup
		cfg.Lookup = func(user string) ([]string, string, bool) {
			_, plugin, found := users(user)
			return []string{fuzzPassword}, plugin, found
		}
		cfg.TLS, cfg.FullAuth = flags&1 != 0, flags&2 != 0
		if flags&4 != 0 {
			cfg.RSA = testKey()
		}
		l := NewServerLogin(cfg)
		_ = l.Greet(nil)
		change, steps := flags&8 != 0, 0
		script(in, func(payload []byte, right bool) bool {
			steps++
			seq := l.Seq()
			if !right {
				seq++
			}
			var out []byte
			var next LoginState
			var err error
			if change {
				change, seq = false, 0
				out, next, err = l.ChangeUser(payload, testCaps|ClientProtocol41|ClientSecureConnection|ClientPluginAuth)
			} else {
				out, next, err = l.Step(payload, seq)
			}
			return checkServerStep(t, p, l, out, seq, next, err, steps)
		})
	})
}

func checkServerStep(t *testing.T, p *pair, l *ServerLogin, out []byte, seq byte, next LoginState, err error, steps int) bool {
	payloads, seqs, perr := splitPackets(out)
	if perr != nil || bytes.Contains(out, []byte(fuzzPassword)) {
		t.Fatalf("sent %q (%v)", out, perr)
	}
	for i, got := range seqs {
		if got != seq+1+byte(i) {
			t.Fatalf("packet %d in answer to packet %d", got, seq)
		}
	}
	var refused *LoginError
	switch next {
	case LoginDone:
		t.Fatal("somebody got in")
	case LoginRefused:
		if !errors.As(err, &refused) || len(payloads) == 0 || payloads[len(payloads)-1][0] != headERR {
			t.Fatalf("refused with %v and %x", err, out)
		}
		return false
	case LoginTLS:
		p.secure = true
	}
	if err != nil || steps > 6 {
		t.Fatalf("%v after %d packets, %v", next, steps, err)
	}
	return true
}

// FuzzClientLogin: whatever a server says, the password does not leave in clear over an open connection; every answer is
// one packet in order; an error comes with LoginRefused.
func FuzzClientLogin(f *testing.F) {
	good := unhex(f, greeting56)[HeaderLen:]
	ok := AppendOK(nil, 0, headOK, &OK{}, ClientProtocol41)[HeaderLen:]
	salt := append(bytes.Clone(testSalt), 0)
	key, err := AppendPublicKey(nil, &testKey().PublicKey)
	if err != nil {
		f.Fatal(err)
	}
	more := func(data ...byte) []byte { return AppendAuthMoreData(nil, 0, data...)[HeaderLen:] }
	f.Add(scripted(good, ok), byte(0))
	f.Add(scripted(unhex(f, greetingMaria)[HeaderLen:], (&AuthSwitch{PluginEd25519, make([]byte, 32)}).Append(nil, 0)[HeaderLen:], ok), byte(4))
	f.Add(scripted(good, (&AuthSwitch{PluginSHA2, salt}).Append(nil, 0)[HeaderLen:], more(sha2FullAuth), more(key[:200]...)), byte(3))
	f.Add(scripted(good, (&AuthSwitch{PluginClear, nil}).Append(nil, 0)[HeaderLen:], ok), byte(1))
	f.Add(scripted(good, []byte("\xff\x15\x04#28000Access denied")), byte(0))
	f.Fuzz(func(t *testing.T, in []byte, flags byte) {
		cfg := ClientConfig{User: "u", Password: fuzzPassword, Database: "d", Caps: testCaps, Rand: rand.Reader,
			AllowPublicKeyRetrieval: flags&1 != 0, TLS: ClientTLS(flags >> 1 & 3 % 3)}
		if flags&8 != 0 {
			cfg.Caps |= MariaDBBulk
		}
		l := NewClientLogin(cfg)
		secure, steps := false, 0
		script(in, func(payload []byte, right bool) bool {
			steps++
			seq := l.Seq()
			if !right {
				seq++
			}
			out, next, err := l.Step(payload, seq)
			if next == LoginTLS {
				checkClientStep(t, out, seq, next, err, secure, steps)
				out, next, err = l.Continue()
				seq, secure = seq+1, true
			}
			return checkClientStep(t, out, seq, next, err, secure, steps)
		})
	})
}

func checkClientStep(t *testing.T, out []byte, seq byte, next LoginState, err error, secure bool, steps int) bool {
	payloads, seqs, perr := splitPackets(out)
	if perr != nil || len(payloads) > 1 || len(seqs) == 1 && seqs[0] != seq+1 {
		t.Fatalf("sent %x in answer to packet %d (%v)", out, seq, perr)
	}
	if !secure && bytes.Contains(out, []byte(fuzzPassword)) {
		t.Fatalf("the password leaves in clear: %q", out)
	}
	if (next == LoginRefused) != (err != nil) || err != nil && bytes.Contains([]byte(err.Error()), []byte(fuzzPassword)) {
		t.Fatalf("%v, %v", next, err)
	}
	if next == LoginMore && steps > 3*maxSwitches+4 {
		t.Fatalf("still going on after %d packets", steps)
	}
	return next == LoginMore
}
