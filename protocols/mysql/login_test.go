package mysql

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// errNoEnd says that a login of the two mocks did not come to an end.
var errNoEnd = errors.New("no end after 40 packets")

// pair is a ClientLogin and a ServerLogin that talk in memory.
type pair struct {
	client *ClientLogin
	server *ServerLogin
	secure bool // TLS is up
	hide   Caps // taken out of the greeting on its way: a client that knows less

	clientErr, serverErr error
	serverOK             OK
	packets              int
}

// splitPackets cuts whole packets.
func splitPackets(b []byte) (payloads [][]byte, seqs []byte, err error) {
	for len(b) > 0 {
		if len(b) < HeaderLen {
			return nil, nil, fmt.Errorf("%d bytes behind the last packet", len(b))
		}
		n, seq := Header(b)
		if n > len(b)-HeaderLen {
			return nil, nil, fmt.Errorf("packet of %d bytes with %d there", n, len(b)-HeaderLen)
		}
		payloads, seqs = append(payloads, b[HeaderLen:HeaderLen+n]), append(seqs, seq)
		b = b[HeaderLen+n:]
	}
	return payloads, seqs, nil
}

// run lets both sides talk, beginning with what the server has sent, until both are done or one has refused.
func (p *pair) run(fromServer []byte) error {
	for p.packets < 40 {
		toServer, err := p.toClient(fromServer)
		if err != nil || p.clientErr != nil || len(toServer) == 0 {
			return err
		}
		if fromServer, err = p.toServer(toServer); err != nil {
			return err
		}
	}
	return errNoEnd
}

// toClient gives packets to the client and returns its answer, nil if it is done.
func (p *pair) toClient(b []byte) ([]byte, error) {
	payloads, seqs, err := splitPackets(b)
	if err != nil {
		return nil, err
	}
	var answer []byte
	for i, payload := range payloads {
		p.packets++
		if len(answer) > 0 {
			return nil, errors.New("the client answered before the last packet of the server")
		}
		out, next, err := p.client.Step(payload, seqs[i])
		if (err != nil) != (next == LoginRefused) {
			return nil, fmt.Errorf("client: %v with error %v", next, err)
		}
		switch next {
		case LoginRefused:
			p.clientErr = err
			return nil, nil
		case LoginTLS:
			if answer, err = p.toServer(out); err != nil || len(answer) != 0 || !p.secure {
				return nil, fmt.Errorf("TLS was asked for, the server says %q (%v)", answer, err)
			}
			if out, _, err = p.client.Continue(); err != nil {
				p.clientErr = err
			}
		case LoginDone:
			return nil, nil
		}
		answer = bytes.Clone(out)
	}
	if len(answer) == 0 && len(payloads) > 0 {
		return nil, errors.New("the client waits, and so does the server")
	}
	return answer, nil
}

// toServer gives packets to the server and returns its answer, with the OK at the end.
func (p *pair) toServer(b []byte) ([]byte, error) {
	payloads, seqs, err := splitPackets(b)
	if err != nil || len(payloads) != 1 {
		return nil, fmt.Errorf("the client sent %d packets (%v)", len(payloads), err)
	}
	p.packets++
	out, next, err := p.server.Step(payloads[0], seqs[0])
	return p.serverSays(out, next, err)
}

func (p *pair) serverSays(out []byte, next LoginState, err error) ([]byte, error) {
	if (err != nil) != (next == LoginRefused) {
		return nil, fmt.Errorf("server: %v with error %v", next, err)
	}
	out = bytes.Clone(out)
	switch next {
	case LoginRefused:
		p.serverErr = err
	case LoginTLS:
		p.secure = true
	case LoginDone:
		p.serverOK = OK{Status: StatusAutocommit, Info: []byte("welcome")}
		out = AppendOK(out, p.server.Seq(), headOK, &p.serverOK, p.server.Response().Caps)
	}
	return out, nil
}

// login lets the two log in.
func (p *pair) login() error {
	greeting := p.server.Greet(nil)
	if p.hide != 0 {
		g, err := ParseGreeting(greeting[HeaderLen:])
		if err != nil {
			return err
		}
		if g.Caps &^= p.hide; !g.Caps.Has(ClientPluginAuth) {
			g.Plugin = ""
		}
		greeting = g.Append(nil)
	}
	return p.run(greeting)
}

// changeUser lets the client, which is logged in, become somebody else.
func (p *pair) changeUser(cfg ClientConfig) error {
	out, next, err := p.client.ChangeUser(cfg)
	if err != nil || next != LoginMore {
		return fmt.Errorf("client: %v, %v", next, err)
	}
	n, seq := Header(out)
	if seq != 0 || n != len(out)-HeaderLen {
		return fmt.Errorf("packet %d of %d bytes in %d", seq, n, len(out))
	}
	p.packets = 0
	answer, err := p.serverSays(p.server.ChangeUser(bytes.Clone(out[HeaderLen:]), p.server.Response().Caps))
	if err != nil {
		return err
	}
	return p.run(answer)
}

const testCaps = ClientLongFlag | ClientFoundRows | ClientTransactions | ClientMultiResults | ClientMultiStatements |
	ClientConnectWithDB | ClientConnectAttrs | ClientPluginAuthLenenc | ClientSessionTrack | ClientDeprecateEOF |
	ClientLocalFiles

// serverConfig is a server with users for everything: "native", "sha2", "ed25519", "clear" with the passwords "old" and
// "new", "open" with none, "odd" with a plugin that nobody speaks.
func (p *pair) serverConfig() ServerConfig {
	s, err := NewScramble(rand.Reader)
	if err != nil {
		panic(err)
	}
	return ServerConfig{
		Greeting: Greeting{ServerVersion: "8.0.36", ConnectionID: 7, Scramble: s, Caps: testCaps | ClientLongPassword,
			Charset: 45, Status: StatusAutocommit},
		Lookup: func(user string) ([]string, string, bool) {
			plugin, found := map[string]string{"native": PluginNative, "sha2": PluginSHA2, "ed25519": PluginEd25519,
				"clear": PluginClear, "open": "", "odd": PluginSHA256}[user]
			switch {
			case user == "open":
				return []string{""}, "", true
			case found:
				return []string{"old", "new"}, plugin, true
			}
			return nil, "", false
		},
		Secure: func() bool { return p.secure },
		Host:   "10.1.2.3",
		Rand:   rand.Reader,
	}
}

// newPair makes a pair; change may alter both configurations.
func newPair(change func(p *pair, s *ServerConfig, c *ClientConfig)) *pair {
	p := &pair{}
	s := p.serverConfig()
	c := ClientConfig{User: "native", Password: "new", Database: "shop", Caps: testCaps, Charset: 45,
		Attributes: AppendAttribute(AppendAttribute(nil, "_os", "Linux"), "program_name", "t"), Rand: rand.Reader}
	change(p, &s, &c)
	p.server, p.client = NewServerLogin(s), NewClientLogin(c)
	return p
}

// agree checks a login that went well.
func (p *pair) agree(t testing.TB) {
	t.Helper()
	if p.clientErr != nil || p.serverErr != nil {
		t.Fatalf("client: %v, server: %v", p.clientErr, p.serverErr)
	}
	c, r := &p.client.cfg, p.server.Response()
	if p.client.Caps() != r.Caps {
		t.Errorf("client agreed on %v, server on %v", p.client.Caps(), r.Caps)
	}
	if p.client.Seq() != p.server.Seq()+1 {
		t.Errorf("the server's OK is packet %d, the client then expects %d", p.server.Seq(), p.client.Seq())
	}
	if r.User != c.User || r.Auth != nil {
		t.Errorf("user %q, want %q; answer %x", r.User, c.User, r.Auth)
	}
	if r.Caps.Has(ClientConnectWithDB) && r.Database != c.Database {
		t.Errorf("database %q, want %q", r.Database, c.Database)
	}
	if r.Caps.Has(ClientConnectAttrs) && !bytes.Equal(r.Attributes, c.Attributes) {
		t.Errorf("attributes %q, want %q", r.Attributes, c.Attributes)
	}
	if r.Charset != c.Charset {
		t.Errorf("charset %d, want %d", r.Charset, c.Charset)
	}
	if g := p.client.Greeting(); g.ServerVersion != "8.0.36" || g.ConnectionID != 7 {
		t.Errorf("greeting %+v", g)
	}
	if ok := p.client.OK(); ok.Status != p.serverOK.Status || string(ok.Info) != "welcome" {
		t.Errorf("OK %+v", ok)
	}
	if p.server.passwords != nil || p.client.cfg.Password != "" {
		t.Error("passwords are kept after the login")
	}
}

// TestEveryLogin goes through all combinations of what a client knows, of plugins, of TLS and of passwords, and checks
// that both sides come to the one right end.
func TestEveryLogin(t *testing.T) {
	known := []Caps{ClientPluginAuth, ClientPluginAuthLenenc, ClientConnectWithDB, ClientConnectAttrs,
		ClientDeprecateEOF, ClientSessionTrack}
	deep := []string{"native", "sha2"} // ed25519 costs 0.3 ms a time, and does not depend on capabilities
	for mask := range 1 << len(known) {
		var hide Caps
		for i, c := range known {
			if mask&(1<<i) != 0 {
				hide |= c
			}
		}
		users := deep
		if mask&^1 == 0 {
			users = append(users, "ed25519", "clear", "open", "nobody", "odd")
		}
		for _, user := range users {
			for _, defaultPlugin := range []string{PluginNative, PluginSHA2} {
				for _, maria := range []bool{false, true} {
					for _, tls := range []bool{false, true} {
						for _, password := range []string{"old", "new", "wrong", ""} {
							everyLogin(t, hide, user, defaultPlugin, maria, tls, password)
						}
					}
				}
			}
		}
	}
}

func everyLogin(t *testing.T, hide Caps, user, defaultPlugin string, maria, tls bool, password string) {
	p := newPair(func(p *pair, s *ServerConfig, c *ClientConfig) {
		p.hide, s.DefaultPlugin, s.TLS = hide, defaultPlugin, tls
		c.User, c.Password, c.TLS = user, password, TLSPrefer
		if maria {
			s.Greeting.Caps = s.Greeting.Caps&^ClientLongPassword | MariaDBProgress | MariaDBBulk | MariaDBCacheMetadata
			c.Caps |= MariaDBBulk | MariaDBCacheMetadata
		}
	})
	if err := p.login(); err != nil {
		t.Fatalf("%v: hidden %v, user %s, default %s, MariaDB %t, TLS %t, password %q", err, hide, user, defaultPlugin, maria, tls, password)
	}
	plugin := map[string]string{"native": PluginNative, "sha2": PluginSHA2, "ed25519": PluginEd25519,
		"clear": PluginClear, "odd": PluginSHA256}[user]
	if plugin == "" {
		plugin = defaultPlugin
	}
	want := uint16(0)
	switch {
	case plugin == PluginSHA256:
		want = 1524
	case hide.Has(ClientPluginAuth) && plugin != PluginNative:
		want = 1251
	case plugin == PluginClear && !tls:
		want = 3159
	case user == "open" && password != "", user != "open" && password != "old" && password != "new", user == "nobody":
		want = 1045
	}
	var server *ServerError
	var refused *LoginError
	switch {
	case want == 0:
		p.agree(t)
		if got := p.client.Caps()&MariaDBCaps == MariaDBBulk|MariaDBCacheMetadata; got != maria {
			t.Errorf("MariaDB %t, agreed on %v", maria, p.client.Caps())
		}
		if p.secure != tls {
			t.Errorf("TLS up: %t, want %t", p.secure, tls)
		}
	case !errors.As(p.clientErr, &server) || server.Code != want || !errors.As(p.serverErr, &refused) || refused.Code != want:
		t.Errorf("client: %v, server: %v, want %d", p.clientErr, p.serverErr, want)
	}
	if t.Failed() {
		t.Fatalf("hidden %v, user %s, default %s, MariaDB %t, TLS %t, password %q", hide, user, defaultPlugin, maria, tls, password)
	}
}

// TestFullSHA2 goes through the ways of the full form.
func TestFullSHA2(t *testing.T) {
	for _, c := range []struct {
		name                               string
		tls, serverRSA, knowsKey, retrieve bool
		password, wantClient, wantServer   string
	}{
		{name: "tls", tls: true, password: "old"},
		{name: "tls wrong", tls: true, password: "x", wantClient: "ERROR 1045", wantServer: "wrong password"},
		{name: "tls and rsa", tls: true, serverRSA: true, retrieve: true, password: "new"},
		{name: "known key", serverRSA: true, knowsKey: true, password: "new"},
		{name: "known key wrong", serverRSA: true, knowsKey: true, password: "x", wantClient: "ERROR 1045", wantServer: "wrong password"},
		{name: "retrieved key", serverRSA: true, retrieve: true, password: "new"},
		{name: "retrieved key wrong", serverRSA: true, retrieve: true, password: "x", wantClient: "ERROR 1045", wantServer: "wrong password"},
		{name: "no way to the key", serverRSA: true, password: "new", wantClient: "allow to retrieve the key"},
		{name: "no key", retrieve: true, password: "new", wantClient: "ERROR 1045", wantServer: "needs TLS or an RSA key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPair(func(p *pair, s *ServerConfig, cc *ClientConfig) {
				s.FullAuth, s.TLS = true, c.tls
				if c.serverRSA {
					s.RSA = testKey()
				}
				if c.knowsKey {
					cc.ServerKey = &testKey().PublicKey
				}
				cc.User, cc.Password, cc.TLS, cc.AllowPublicKeyRetrieval = "sha2", c.password, TLSPrefer, c.retrieve
			})
			if err := p.login(); err != nil {
				t.Fatal(err)
			}
			if c.wantClient == "" {
				p.agree(t)
				return
			}
			if p.clientErr == nil || !strings.Contains(p.clientErr.Error(), c.wantClient) {
				t.Errorf("client: %v, want %s", p.clientErr, c.wantClient)
			}
			if c.wantServer != "" && (p.serverErr == nil || !strings.Contains(p.serverErr.Error(), c.wantServer)) {
				t.Errorf("server: %v, want %s", p.serverErr, c.wantServer)
			}
		})
	}
}

// TestKeyOfAnother: a password sealed with another key than the server's is refused like a wrong one.
func TestKeyOfAnother(t *testing.T) {
	p := newPair(func(p *pair, s *ServerConfig, c *ClientConfig) {
		s.FullAuth, s.RSA, c.User = true, testKey(), "sha2"
		other := testKey().PublicKey
		other.E = 257
		c.ServerKey = &other
	})
	if err := p.login(); err != nil {
		t.Fatal(err)
	}
	var server *ServerError
	if !errors.As(p.clientErr, &server) || server.Code != 1045 {
		t.Errorf("client: %v, server: %v", p.clientErr, p.serverErr)
	}
}

// TestChangeUser goes from each user to each other one.
func TestChangeUser(t *testing.T) {
	users := []string{"native", "sha2", "ed25519", "clear"}
	for _, hide := range []Caps{0, ClientPluginAuth, ClientPluginAuthLenenc | ClientConnectAttrs} {
		for _, from := range users {
			if hide.Has(ClientPluginAuth) && from != "native" {
				continue
			}
			for _, to := range append(users, "nobody", "wrong") {
				p := newPair(func(p *pair, s *ServerConfig, c *ClientConfig) {
					p.hide, s.TLS, c.TLS, c.User = hide, true, TLSRequire, from
				})
				if err := p.login(); err != nil {
					t.Fatal(err)
				}
				p.agree(t)
				cfg := ClientConfig{User: to, Password: "new", Database: "other", Charset: 305, Attributes: AppendAttribute(nil, "a", "b")}
				want := uint16(0)
				if to == "wrong" {
					cfg.User, cfg.Password, want = from, "wrong", 1045
				} else if to == "nobody" {
					want = 1045
				} else if hide.Has(ClientPluginAuth) && to != "native" {
					want = 1251
				}
				if err := p.changeUser(cfg); err != nil {
					t.Fatalf("%s to %s: %v", from, to, err)
				}
				var server *ServerError
				if want == 0 {
					p.agree(t)
				} else if !errors.As(p.clientErr, &server) || server.Code != want {
					t.Errorf("%s to %s: client: %v, want %d", from, to, p.clientErr, want)
				}
			}
		}
	}
}

// TestChangeUserAtAnotherServerLogin: the scramble is all that has to be kept, and without it the client is asked again
// if that can be.
func TestChangeUserAtAnotherServerLogin(t *testing.T) {
	for _, hide := range []Caps{0, ClientPluginAuth} {
		for _, keep := range []bool{true, false} {
			p := newPair(func(p *pair, s *ServerConfig, c *ClientConfig) { p.hide = hide })
			if err := p.login(); err != nil {
				t.Fatal(err)
			}
			p.agree(t)
			caps := p.server.Response().Caps
			cfg := p.serverConfig() // with another scramble
			cfg.Greeting.Caps = caps
			if keep {
				cfg.Greeting.Scramble = p.server.Scramble()
			}
			p.server = NewServerLogin(cfg)
			p.server.resp.Caps = caps
			if err := p.changeUser(ClientConfig{User: "native", Password: "old", Database: "d", Charset: 45}); err != nil {
				t.Fatal(err)
			}
			if keep || hide == 0 {
				p.agree(t)
			} else if p.serverErr == nil {
				t.Error("an answer to a scramble that was never sent is accepted")
			}
		}
	}
}

// TestUnknownUserLooksLikeAWrongPassword: the same packets, but for the name in them.
func TestUnknownUserLooksLikeAWrongPassword(t *testing.T) {
	for _, plugin := range []string{PluginNative, PluginSHA2, PluginEd25519} {
		for _, full := range []bool{false, true} {
			talk := func(user string) string {
				var log strings.Builder
				p := newPair(func(p *pair, s *ServerConfig, c *ClientConfig) {
					s.DefaultPlugin, s.FullAuth, s.TLS = plugin, full, true
					s.Greeting.Scramble = [20]byte(testSalt)
					s.Lookup = func(name string) ([]string, string, bool) { return []string{"p"}, "", name == "known" }
					s.Rand = constantReader(5)
					c.User, c.Password, c.TLS = user, "wrong", TLSRequire
				})
				_ = p.server.Greet(nil)
				out := p.server.cfg.Greeting.Append(nil)
				for p.clientErr == nil {
					fmt.Fprintf(&log, "%x\n", out)
					answer, err := p.toClient(out)
					if err != nil {
						t.Fatal(err)
					}
					if answer == nil {
						break
					}
					if out, err = p.toServer(answer); err != nil {
						t.Fatal(err)
					}
				}
				return strings.ReplaceAll(log.String(), fmt.Sprintf("%x", user), "USER")
			}
			if known, unknown := talk("known"), talk("other"); known != unknown {
				t.Errorf("%s, full %t: known\n%s\nunknown\n%s", plugin, full, known, unknown)
			}
		}
	}
}

func TestLoginStateNames(t *testing.T) {
	for s, want := range map[LoginState]string{LoginMore: "more", LoginTLS: "tls", LoginDone: "done",
		LoginRefused: "refused", 9: "LoginState(9)"} {
		if s.String() != want {
			t.Errorf("%d: %s, want %s", uint8(s), s, want)
		}
	}
}

// TestVerifyCount: as many comparisons for a user that does not exist, or has one password, as for two; and no early end.
func TestVerifyCount(t *testing.T) {
	for _, c := range []struct {
		passwords []string
		found     bool
		want      int
		right     bool
	}{
		{nil, false, 2, false}, {[]string{"a"}, true, 2, false}, {[]string{"right", "b"}, true, 2, true},
		{[]string{"right"}, false, 2, false}, {[]string{"right", "b", "c"}, true, 3, true}, {[]string{string(decoy)}, true, 2, false},
	} {
		l, n := &ServerLogin{passwords: c.passwords, found: c.found}, 0
		right := l.match(func(p []byte) bool { n++; return string(p) == "right" })
		if n != c.want || right != c.right {
			t.Errorf("%q, found %t: %d comparisons, right %t", c.passwords, c.found, n, right)
		}
	}
}

// BenchmarkLogin is one login, both sides together.
func BenchmarkLogin(b *testing.B) {
	for _, user := range []string{"native", "sha2", "ed25519"} {
		b.Run(user, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p := newPair(func(_ *pair, _ *ServerConfig, c *ClientConfig) { c.User = user })
				if err := p.login(); err != nil || p.clientErr != nil {
					b.Fatal(err, p.clientErr)
				}
			}
		})
	}
}
