package mysql

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
)

// response is a whole Response packet of a client that knows nothing special.
func response(seq byte, change func(*Response)) []byte {
	r := Response{Caps: ClientLongPassword | ClientProtocol41 | ClientSecureConnection | ClientPluginAuth, User: "native",
		Plugin: PluginNative}
	change(&r)
	return r.Append(nil, seq)
}

// TestServerRefuses: what a client does wrong, the ERR packet that it gets, and the reason for the log.
func TestServerRefuses(t *testing.T) {
	ssl := (&Response{Caps: ClientProtocol41 | ClientSSL | ClientPluginAuth}).AppendSSLRequest(nil, 1)
	for _, c := range []struct {
		name          string
		config        func(*ServerConfig)
		packets       [][]byte
		reply, reason string
	}{
		{name: "nothing", packets: [][]byte{AppendHeader(nil, 0, 1)}, reply: "1043 08S01 Bad handshake", reason: "malformed"},
		{name: "wrong number", packets: [][]byte{response(0, func(r *Response) {})},
			reply: "1156 08S01 Got packets out of order", reason: "packet 0 where 1 comes next"},
		{name: "3.23", packets: [][]byte{append(AppendHeader(nil, 17, 1), "\x85\x24\x00\x00\x00old\x00GDSCQYR_"...)},
			reply: "1251  Client does not support authentication protocol requested by server", reason: "before MySQL 4.1"},
		{name: "no scramble of 20 bytes", packets: [][]byte{response(1, func(r *Response) { r.Caps = ClientProtocol41 })},
			reply: "1251 08004 Client does not", reason: "neither SECURE_CONNECTION nor PLUGIN_AUTH"},
		{name: "no plugins", packets: [][]byte{response(1, func(r *Response) { r.Caps, r.User = ClientProtocol41|ClientSecureConnection, "sha2" })},
			reply: "1251 08004 Client does not", reason: "the account needs caching_sha2_password"},
		{name: "TLS where there is none", packets: [][]byte{ssl}, reply: "1043 08S01 Bad handshake", reason: "TLS, which was not offered"},
		{name: "TLS twice", config: func(c *ServerConfig) { c.TLS = true }, packets: [][]byte{ssl, bytes.Replace(ssl, []byte{1}, []byte{2}, 1)},
			reply: "1043 08S01 Bad handshake", reason: "user without a NUL"},
		{name: "no TLS where there must be", config: func(c *ServerConfig) { c.TLS, c.RequireSecure = true, true },
			packets: [][]byte{response(1, func(r *Response) {})},
			reply:   "3159 HY000 Connections using insecure transport are prohibited", reason: "did not choose TLS"},
		{name: "no scramble was made", config: func(c *ServerConfig) { c.Greeting.Scramble = [20]byte{} },
			packets: [][]byte{response(1, func(r *Response) {})}, reply: "1105 HY000 Unknown error", reason: "this is a bug"},
		{name: "no random bytes", config: func(c *ServerConfig) { c.Rand = failingReader{errors.New("no entropy")} },
			packets: [][]byte{response(1, func(r *Response) { r.User = "sha2" })}, reply: "1105 HY000 Unknown error", reason: "no entropy"},
		{name: "empty password", packets: [][]byte{response(1, func(r *Response) {})},
			reply: "1045 28000 Access denied for user 'native'@'10.1.2.3' (using password: NO)", reason: "wrong password"},
		{name: "clear in the open", packets: [][]byte{response(1, func(r *Response) { r.User, r.Plugin, r.Auth = "clear", PluginClear, []byte("new\x00") })},
			reply: "3159 HY000", reason: "sent its password in clear"},
		{name: "full sha2 in the open", config: func(c *ServerConfig) { c.RSA = testKey() },
			packets: [][]byte{
				response(1, func(r *Response) { r.User, r.Plugin, r.Auth = "sha2", PluginSHA2, make([]byte, 32) }),
				append(AppendHeader(nil, 4, 3), "new\x00"...)},
			reply: "1045 28000 Access denied for user 'sha2'@'10.1.2.3' (using password: YES)", reason: "did not encrypt"},
		{name: "long packet", packets: [][]byte{append(AppendHeader(nil, MaxLoginPayload+1, 1), make([]byte, MaxLoginPayload+1)...)},
			reply: "1043 08S01 Bad handshake", reason: "at most 65536"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &pair{}
			s := p.serverConfig()
			if c.config != nil {
				c.config(&s)
			}
			l := NewServerLogin(s)
			_ = l.Greet(nil)
			var out []byte
			var next LoginState
			var err error
			for _, packet := range c.packets {
				if next == LoginRefused {
					t.Fatalf("refused too early: %v", err)
				}
				_, seq := Header(packet)
				out, next, err = l.Step(packet[HeaderLen:], seq)
			}
			checkRefusal(t, out, next, err, c.reply, c.reason)
			if out, next, err = l.Step(response(l.Seq(), func(*Response) {})[HeaderLen:], l.Seq()); next != LoginRefused {
				t.Errorf("after the end: %v, %v, %x", next, err, out)
			}
		})
	}
}

func checkRefusal(t *testing.T, out []byte, next LoginState, err error, reply, reason string) {
	t.Helper()
	var refused *LoginError
	if next != LoginRefused || !errors.As(err, &refused) || !strings.Contains(err.Error(), reason) {
		t.Fatalf("%v, %v, want %q", next, err, reason)
	}
	payloads, _, perr := splitPackets(out)
	if perr != nil || len(payloads) != 1 || payloads[0][0] != headERR {
		t.Fatalf("sent %x (%v)", out, perr)
	}
	code, rest, _ := strings.Cut(reply, " ")
	state, message, _ := strings.Cut(rest, " ")
	body := string(payloads[0][3:])
	if state != "" {
		state = "#" + state
	}
	if got := int(payloads[0][1]) | int(payloads[0][2])<<8; got != int(refused.Code) || !strings.HasPrefix(body, state+message) {
		t.Errorf("sent %d %q, want %s", got, body, reply)
	}
	if want := code; want != "" && !strings.Contains(err.Error(), "error "+want) {
		t.Errorf("%v, want error %s", err, want)
	}
}

// TestClientRefuses: what a server does wrong, and the client's error.
func TestClientRefuses(t *testing.T) {
	greet := func(change func(*Greeting)) []byte {
		g := Greeting{ServerVersion: "8.0.36", Scramble: [20]byte(testSalt), Plugin: PluginSHA2,
			Caps: ClientLongPassword | ClientProtocol41 | ClientSecureConnection | ClientPluginAuth | ClientConnectWithDB}
		change(&g)
		return g.Append(nil)
	}
	good := greet(func(*Greeting) {})
	native := greet(func(g *Greeting) { g.Plugin = PluginNative })
	for _, c := range []struct {
		name    string
		config  func(*ClientConfig)
		packets [][]byte
		want    string
	}{
		{name: "too many connections", packets: [][]byte{AppendERR(nil, 0, 1040, "", "Too many connections")}, want: "ERROR 1040 (HY000): Too many"},
		{name: "wrong number", packets: [][]byte{AppendERR(nil, 1, 1040, "", "")}, want: "packet 1 of the server where 0 comes next"},
		{name: "no scramble of 20 bytes", packets: [][]byte{greet(func(g *Greeting) { g.Caps = ClientProtocol41 })}, want: "no safe authentication"},
		{name: "no TLS", config: func(c *ClientConfig) { c.TLS = TLSRequire }, packets: [][]byte{good}, want: "TLS is required"},
		{name: "clear packet during TLS", config: func(c *ClientConfig) { c.TLS = TLSPrefer },
			packets: [][]byte{greet(func(g *Greeting) { g.Caps |= ClientSSL }), AppendOK(nil, 2, headOK, &OK{}, ClientProtocol41)},
			want:    "in clear after TLS"},
		{name: "denied", packets: [][]byte{good, AppendERR(nil, 2, 1045, "28000", "Access denied")}, want: "ERROR 1045 (28000): Access denied"},
		{name: "nothing", packets: [][]byte{good, AppendHeader(nil, 0, 2)}, want: "an empty packet"},
		{name: "half an OK", packets: [][]byte{good, append(AppendHeader(nil, 1, 2), 0)}, want: "malformed"},
		{name: "a row", packets: [][]byte{good, append(AppendHeader(nil, 2, 2), 0x21, 'a')}, want: "begins with 0x21"},
		{name: "second factor", packets: [][]byte{good, append(AppendHeader(nil, 2, 2), 2, 'a')}, want: "second factor"},
		{name: "old passwords", packets: [][]byte{good, append(AppendHeader(nil, 1, 2), 0xfe)}, want: "mysql_old_password"},
		{name: "clear", packets: [][]byte{good, (&AuthSwitch{Plugin: PluginClear}).Append(nil, 2)}, want: "over TLS or a unix socket only"},
		{name: "sha256", packets: [][]byte{good, (&AuthSwitch{Plugin: PluginSHA256}).Append(nil, 2)}, want: "give the account caching_sha2_password"},
		{name: "short scramble", packets: [][]byte{good, (&AuthSwitch{PluginNative, []byte("short\x00")}).Append(nil, 2)}, want: "scramble of 5 bytes"},
		{name: "short nonce", packets: [][]byte{good, (&AuthSwitch{PluginEd25519, make([]byte, 20)}).Append(nil, 2)}, want: "nonce of 20 bytes"},
		{name: "more data for native", packets: [][]byte{native, AppendAuthMoreData(nil, 2, 3)}, want: "which takes none"},
		{name: "more data that means nothing", packets: [][]byte{good, AppendAuthMoreData(nil, 2, 9)}, want: "mean nothing"},
		{name: "fast twice", packets: [][]byte{good, AppendAuthMoreData(nil, 2, 3), AppendAuthMoreData(nil, 3, 3)}, want: "where OK or an error should"},
		{name: "full in the open", packets: [][]byte{good, AppendAuthMoreData(nil, 2, 4)}, want: "allow to retrieve the key"},
		{name: "no key", config: func(c *ClientConfig) { c.AllowPublicKeyRetrieval = true },
			packets: [][]byte{good, AppendAuthMoreData(nil, 2, 4), AppendAuthMoreData(nil, 4, []byte("no PEM")...)}, want: "not PEM"},
		{name: "NUL in the user name", config: func(c *ClientConfig) { c.User = "a\x00b" }, packets: [][]byte{good}, want: "cannot have a NUL"},
		{name: "NUL in the password", config: func(c *ClientConfig) { c.Password = "a\x00b" }, packets: [][]byte{good}, want: "cannot have a NUL"},
		{name: "long user name", config: func(c *ClientConfig) { c.User = strings.Repeat("u", 600) }, packets: [][]byte{good}, want: "at most 512"},
		{name: "long database name", config: func(c *ClientConfig) { c.Database = strings.Repeat("u", 600) }, packets: [][]byte{good}, want: "at most 256"},
		{name: "large attributes", config: func(c *ClientConfig) { c.Attributes = make([]byte, MaxLoginPayload) }, packets: [][]byte{good}, want: "attributes of"},
		{name: "large collation", config: func(c *ClientConfig) { c.Charset = 309 }, packets: [][]byte{good}, want: "collation 309"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := ClientConfig{User: "u", Password: "pass-word", Rand: rand.Reader}
			if c.config != nil {
				c.config(&cfg)
			}
			l := NewClientLogin(cfg)
			var next LoginState
			var err error
			for _, packet := range c.packets {
				if next == LoginRefused {
					t.Fatalf("refused too early: %v", err)
				}
				_, seq := Header(packet)
				_, next, err = l.Step(packet[HeaderLen:], seq)
			}
			if next != LoginRefused || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, %v, want %q", next, err, c.want)
			}
			if strings.Contains(err.Error(), "pass-word") {
				t.Errorf("the error tells the password: %v", err)
			}
			if _, next, err := l.Step(good[HeaderLen:], l.Seq()); next != LoginRefused || err == nil {
				t.Errorf("after the end: %v, %v", next, err)
			}
			if _, next, err := l.Continue(); next != LoginRefused || err == nil {
				t.Errorf("Continue after the end: %v, %v", next, err)
			}
			if _, next, err := l.ChangeUser(cfg); next != LoginRefused || err == nil {
				t.Errorf("ChangeUser after the end: %v, %v", next, err)
			}
		})
	}
}

// TestEndlessSwitches: a server that asks for one plugin after the other is left.
func TestEndlessSwitches(t *testing.T) {
	l := NewClientLogin(ClientConfig{User: "u", Password: "p", Rand: rand.Reader})
	g := Greeting{ServerVersion: "x", Scramble: [20]byte(testSalt), Caps: ClientProtocol41 | ClientSecureConnection}
	if _, next, err := l.Step(g.Append(nil)[HeaderLen:], 0); next != LoginMore {
		t.Fatal(next, err)
	}
	again := AuthSwitch{PluginNative, append(bytes.Clone(testSalt), 0)}
	for i := range maxSwitches + 1 {
		_, next, err := l.Step(again.Append(nil, 0)[HeaderLen:], l.Seq())
		if want := i == maxSwitches; (next == LoginRefused) != want {
			t.Fatalf("switch %d: %v, %v", i+1, next, err)
		}
	}
}

// TestPluginOfGreetingIsNotTrusted: a greeting alone never gets the password in clear, nor an answer in a plugin that
// cannot be.
func TestPluginOfGreetingIsNotTrusted(t *testing.T) {
	for _, plugin := range []string{PluginClear, PluginEd25519, PluginSHA256, "", "invented"} {
		l := NewClientLogin(ClientConfig{User: "u", Password: "pass-word", Rand: rand.Reader})
		g := Greeting{ServerVersion: "x", Scramble: [20]byte(testSalt), Plugin: plugin,
			Caps: ClientProtocol41 | ClientSecureConnection | ClientPluginAuth | ClientLongPassword}
		out, next, err := l.Step(g.Append(nil)[HeaderLen:], 0)
		if next != LoginMore {
			t.Fatal(plugin, next, err)
		}
		r, err := ParseResponse(out[HeaderLen:])
		if err != nil || r.Plugin != PluginNative || !VerifyNative(testSalt, r.Auth, []byte("pass-word")) {
			t.Errorf("%s: %+v, %v", plugin, r, err)
		}
	}
}
