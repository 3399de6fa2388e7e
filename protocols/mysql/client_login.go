package mysql

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ClientTLS says what a [ClientLogin] does about TLS.
type ClientTLS uint8

// The choices.
const (
	TLSNone    ClientTLS = iota // never
	TLSPrefer                   // if the server offers it; somebody on the network can take the offer away
	TLSRequire                  // or else fail
)

// ClientConfig is what a [ClientLogin] needs to know. Zero values are useful for everything but User, Password and Rand.
type ClientConfig struct {
	User       string
	Password   string
	Database   string // "" for none
	Caps       Caps   // wanted; those of the login itself (PROTOCOL_41, PLUGIN_AUTH, SSL ...) are added as needed
	MaxPacket  uint32 // largest packet taken; default 1 GiB, the protocol's limit
	Charset    uint16 // collation, at most 255 in a handshake; 0: the server's default
	Attributes []byte // raw block, see [AppendAttribute]; sent if the server offers ClientConnectAttrs
	ZstdLevel  byte   // 1 to 22, with ClientZstd; default 3
	TLS        ClientTLS
	Secure     bool           // the connection is private without TLS: a unix socket
	ServerKey  *rsa.PublicKey // of the server, for full caching_sha2_password without TLS; nil: unknown

	// AllowPublicKeyRetrieval asks the server for its key where ServerKey is nil. Whoever can change packets on the
	// way can then read the password.
	AllowPublicKeyRetrieval bool

	Rand io.Reader // crypto/rand.Reader
}

// maxSwitches is how often a server may change the plugin. Servers do it once; MariaDB once for each of an account's
// alternatives.
const maxSwitches = 8

// ClientLogin is the agent as a client, while it logs in at a server: packets in, packets out, no I/O. Use:
//
//	for each packet of the server, from the greeting on: Step, send what it gives, do what the state says
//
// At LoginTLS the output is the SSLRequest: send it, do the TLS handshake, then call Continue once and send what that
// gives. A ClientLogin belongs to one goroutine.
type ClientLogin struct {
	cfg      ClientConfig
	phase    clientPhase
	seq      byte // of the next packet, whoever sends it
	greeting Greeting
	caps     Caps
	secure   bool
	plugin   string
	scramble []byte            // for the current plugin
	salt     [ScrambleLen]byte // the last scramble of 20 bytes: what a COM_CHANGE_USER answers
	switches int
	sha2     sha2Step
	ok       OK
	out      []byte
}

// sha2Step is where a caching_sha2_password exchange is.
type sha2Step uint8

const (
	sha2Asked   sha2Step = iota // the scramble is answered: "fast" or "full" may follow
	sha2WantKey                 // the server's key is asked for
	sha2Said                    // nothing is left to say: OK or ERR follows
)

type clientPhase uint8

const (
	clientNew    clientPhase = iota // the next packet is the greeting
	clientTLS                       // TLS is being started: Continue comes next
	clientAuth                      // the response is sent
	clientLogged                    //
	clientFailed                    //
)

// NewClientLogin makes a login that waits for the greeting.
func NewClientLogin(cfg ClientConfig) *ClientLogin {
	if cfg.MaxPacket == 0 {
		cfg.MaxPacket = 1 << 30
	}
	if cfg.ZstdLevel == 0 {
		cfg.ZstdLevel = 3
	}
	return &ClientLogin{cfg: cfg, secure: cfg.Secure}
}

// Greeting is what the server sent first; complete after the first step.
func (l *ClientLogin) Greeting() *Greeting { return &l.greeting }

// Caps are those that both sides have: known after the first step. If ClientConnectWithDB is not among them although a
// database was wanted, the server cannot take it with the login, and COM_INIT_DB has to follow.
func (l *ClientLogin) Caps() Caps { return l.caps }

// OK is the server's last word at LoginDone.
func (l *ClientLogin) OK() *OK { return &l.ok }

// Seq is the sequence id of the next packet.
func (l *ClientLogin) Seq() byte { return l.seq }

// Step takes one packet of the server and gives the packet to send, valid until the next call; at LoginDone there is
// none. err is set exactly at LoginRefused: it wraps a [*ServerError] if the server said no, else it says what was got.
func (l *ClientLogin) Step(payload []byte, seq byte) (out []byte, next LoginState, err error) {
	l.out = l.out[:0]
	if seq != l.seq {
		return l.fail(malformed("packet %d of the server where %d comes next", seq, l.seq))
	}
	l.seq++
	switch l.phase {
	case clientNew:
		return l.greeted(payload)
	case clientAuth:
		return l.answered(payload)
	case clientTLS:
		return l.fail(malformed("a packet in clear after TLS was asked for"))
	}
	return l.fail(errors.New("a packet after the login's end"))
}

// Continue gives the response to send under TLS, once TLS is up.
func (l *ClientLogin) Continue() (out []byte, next LoginState, err error) {
	l.out = l.out[:0]
	if l.phase != clientTLS {
		return l.fail(errors.New("no TLS handshake is under way"))
	}
	l.secure = true
	return l.respond()
}

// greeted takes the greeting and agrees on the capabilities.
func (l *ClientLogin) greeted(payload []byte) ([]byte, LoginState, error) {
	if err := l.cfg.check(); err != nil {
		return l.fail(err)
	}
	g, err := ParseGreeting(payload)
	if err != nil {
		return l.fail(err)
	}
	if l.cfg.Charset > 255 {
		return l.fail(fmt.Errorf("collation %d does not fit in a handshake: take one below 256, then SET NAMES", l.cfg.Charset))
	}
	l.greeting, l.plugin, l.salt = g, g.Plugin, g.Scramble
	l.scramble = l.salt[:]
	if !g.Caps.Has(ClientSecureConnection) {
		return l.fail(fmt.Errorf("server %.64q has no safe authentication: %w", g.ServerVersion, ErrOldProtocol))
	}
	l.caps = l.choose(g.Caps)
	if l.caps.Has(ClientSSL) {
		l.phase = clientTLS
		l.out = l.response().AppendSSLRequest(l.out, l.seq)
		l.seq++
		return l.out, LoginTLS, nil
	}
	if l.cfg.TLS == TLSRequire {
		return l.fail(fmt.Errorf("TLS is required, and server %.64q does not offer it", g.ServerVersion))
	}
	return l.respond()
}

// check finds what no packet can carry.
func (c *ClientConfig) check() error {
	switch {
	case strings.IndexByte(c.User, 0) >= 0 || strings.IndexByte(c.Database, 0) >= 0:
		return errors.New("a user or database name cannot have a NUL in it")
	case strings.IndexByte(c.Password, 0) >= 0:
		return errors.New("a password cannot have a NUL in it")
	case len(c.User) > MaxUser:
		return fmt.Errorf("user name of %d bytes, at most %d are possible", len(c.User), MaxUser)
	case len(c.Database) > MaxDatabase:
		return fmt.Errorf("database name of %d bytes, at most %d are possible", len(c.Database), MaxDatabase)
	case len(c.Attributes) > MaxLoginPayload-4096:
		return fmt.Errorf("connection attributes of %d bytes, at most %d are possible", len(c.Attributes), MaxLoginPayload-4096)
	}
	return nil
}

// loginCaps are those that only the login itself uses; they are chosen here, whatever the caller wants.
const loginCaps = ClientProtocol41 | ClientSecureConnection | ClientPluginAuth | ClientPluginAuthLenenc |
	ClientConnectWithDB | ClientConnectAttrs | ClientSSL | ClientMultiFactorAuthentication

// choose is what holds between a server that offers these capabilities and this client.
func (l *ClientLogin) choose(offered Caps) Caps {
	want := l.cfg.Caps&^loginCaps | ClientProtocol41 | ClientSecureConnection | ClientPluginAuth | ClientPluginAuthLenenc
	if l.cfg.Database != "" {
		want |= ClientConnectWithDB
	}
	if len(l.cfg.Attributes) > 0 {
		want |= ClientConnectAttrs
	}
	if l.cfg.TLS != TLSNone {
		want |= ClientSSL
	}
	if want&MariaDBCaps == 0 {
		want |= ClientLongPassword
	} else {
		want &^= ClientLongPassword
	}
	return agreed(offered, want)
}

func (l *ClientLogin) response() *Response {
	charset := l.cfg.Charset
	if charset == 0 {
		charset = uint16(l.greeting.Charset)
	}
	return &Response{
		Caps: l.caps, MaxPacket: l.cfg.MaxPacket, Charset: charset, User: l.cfg.User, Database: l.cfg.Database,
		Plugin: l.plugin, Attributes: l.cfg.Attributes, ZstdLevel: l.cfg.ZstdLevel,
	}
}

// respond answers the greeting. A default plugin that cannot be used on a greeting (unknown, needing another nonce, or
// the password itself where others can read it) is answered with mysql_native_password: if the account has another, the
// server asks for it.
func (l *ClientLogin) respond() ([]byte, LoginState, error) {
	if l.plugin != PluginSHA2 && !(l.plugin == PluginClear && l.secure) {
		l.plugin = PluginNative
	}
	r := l.response()
	var err error
	if r.Auth, err = l.answer(); err != nil {
		return l.fail(err)
	}
	l.out = r.Append(l.out, l.seq)
	l.seq++
	l.phase = clientAuth
	return l.out, LoginMore, nil
}

// ChangeUser starts a COM_CHANGE_USER on this connection, which is logged in: send what it gives, then Step. Of cfg it
// takes what a COM_CHANGE_USER can carry: user, password, database, charset and attributes.
func (l *ClientLogin) ChangeUser(cfg ClientConfig) (out []byte, next LoginState, err error) {
	l.out = l.out[:0]
	if l.phase != clientLogged {
		return l.fail(errors.New("COM_CHANGE_USER on a connection that is not logged in"))
	}
	to := &l.cfg
	to.User, to.Password, to.Database, to.Charset, to.Attributes =
		cfg.User, cfg.Password, cfg.Database, cfg.Charset, cfg.Attributes
	if err := to.check(); err != nil {
		return l.fail(err)
	}
	if l.plugin != PluginSHA2 {
		l.plugin = PluginNative // an answer is wanted at once; for the other plugins the server has to ask
	}
	l.scramble = l.salt[:]
	r := l.response()
	if r.Auth, err = l.answer(); err != nil {
		return l.fail(err)
	}
	l.out = r.AppendChangeUser(l.out, l.caps)
	l.seq, l.phase, l.switches, l.sha2 = 1, clientAuth, 0, sha2Asked
	return l.out, LoginMore, nil
}

// answered takes a packet behind the response.
func (l *ClientLogin) answered(payload []byte) ([]byte, LoginState, error) {
	if len(payload) == 0 {
		return l.fail(malformed("an empty packet instead of OK"))
	}
	switch payload[0] {
	case headOK:
		ok, err := ParseOK(payload, l.caps)
		if err != nil {
			return l.fail(err)
		}
		ok.Info, ok.Track = bytes.Clone(ok.Info), bytes.Clone(ok.Track)
		l.ok, l.phase, l.cfg.Password = ok, clientLogged, ""
		return nil, LoginDone, nil
	case headERR:
		return l.fail(serverError(payload))
	case headEOF:
		return l.switched(payload)
	case headAuthMore:
		data, err := ParseAuthMoreData(payload)
		if err != nil {
			return l.fail(err)
		}
		return l.more(data)
	case 0x02:
		return l.fail(errors.New("the account needs a second factor, which only a person can give"))
	}
	return l.fail(malformed("a packet that begins with 0x%02x instead of OK", payload[0]))
}

// switched takes an AuthSwitch.
func (l *ClientLogin) switched(payload []byte) ([]byte, LoginState, error) {
	s, err := ParseAuthSwitch(payload)
	if err != nil {
		return l.fail(err)
	}
	if l.switches++; l.switches > maxSwitches {
		return l.fail(fmt.Errorf("the server changed the plugin %d times, last to %.64q", l.switches, s.Plugin))
	}
	if hint := unsupported(s.Plugin); hint != "" {
		return l.fail(fmt.Errorf("the server asks for plugin %.64q: %s", s.Plugin, hint))
	}
	l.plugin, l.scramble, l.sha2 = s.Plugin, bytes.Clone(s.Data), sha2Asked
	switch l.plugin {
	case PluginNative, PluginSHA2:
		if l.scramble = cutNUL(l.scramble); len(l.scramble) != ScrambleLen {
			return l.fail(malformed("scramble of %d bytes for %s, want %d", len(l.scramble), l.plugin, ScrambleLen))
		}
		copy(l.salt[:], l.scramble)
	case PluginEd25519:
		if len(l.scramble) != NonceLen {
			return l.fail(malformed("nonce of %d bytes for %s, want %d", len(l.scramble), l.plugin, NonceLen))
		}
	}
	answer, err := l.answer()
	if err != nil {
		return l.fail(err)
	}
	return l.send(answer)
}

// answer is what the current plugin says to the current scramble.
func (l *ClientLogin) answer() ([]byte, error) {
	password := []byte(l.cfg.Password)
	switch l.plugin {
	case PluginNative:
		return ScrambleNative(l.scramble, password), nil
	case PluginSHA2:
		return ScrambleSHA2(l.scramble, password), nil
	case PluginEd25519:
		return SignEd25519(l.scramble, password)
	case PluginClear:
		if !l.secure {
			return nil, errors.New("the server asks for the password in clear: allowed over TLS or a unix socket only")
		}
		return append(password, 0), nil
	}
	return nil, fmt.Errorf("plugin %.64q is not spoken", l.plugin)
}

// more takes AuthMoreData, which only caching_sha2_password sends.
func (l *ClientLogin) more(data []byte) ([]byte, LoginState, error) {
	switch {
	case l.plugin != PluginSHA2:
		return l.fail(malformed("more data for %s, which takes none", l.plugin))
	case l.sha2 == sha2WantKey:
		return l.serverKey(data)
	case l.sha2 == sha2Said:
		return l.fail(malformed("more data where OK or an error should end %s", l.plugin))
	case len(data) == 1 && data[0] == sha2FastOK:
		l.sha2 = sha2Said
		return nil, LoginMore, nil
	case len(data) == 1 && data[0] == sha2FullAuth:
		l.sha2 = sha2Said
		return l.fullAuth()
	}
	return l.fail(malformed("%d bytes of more data that mean nothing in %s", len(data), l.plugin))
}

// fullAuth sends the password, by the safest way there is.
func (l *ClientLogin) fullAuth() ([]byte, LoginState, error) {
	switch {
	case l.secure:
		return l.send(append([]byte(l.cfg.Password), 0))
	case l.cfg.ServerKey != nil:
		return l.encrypt(l.cfg.ServerKey)
	case l.cfg.AllowPublicKeyRetrieval:
		l.sha2 = sha2WantKey
		return l.send([]byte{sha2KeyRequest})
	}
	return l.fail(errors.New("the server does not have this password in its cache, and wants it itself: " +
		"use TLS, give the server's RSA key, or allow to retrieve the key from the server (safe only on a trusted network)"))
}

// serverKey takes the key that was asked for.
func (l *ClientLogin) serverKey(data []byte) ([]byte, LoginState, error) {
	l.sha2 = sha2Said
	key, err := ParsePublicKey(data)
	if err != nil {
		return l.fail(fmt.Errorf("the server's RSA key: %w", err))
	}
	return l.encrypt(key)
}

func (l *ClientLogin) encrypt(key *rsa.PublicKey) ([]byte, LoginState, error) {
	sealed, err := EncryptSHA2Password(l.cfg.Rand, key, l.scramble, []byte(l.cfg.Password))
	if err != nil {
		return l.fail(err)
	}
	return l.send(sealed)
}

// send answers with a payload that is the plugin's alone.
func (l *ClientLogin) send(payload []byte) ([]byte, LoginState, error) {
	l.out, l.seq = AppendPacket(l.out, l.seq, payload)
	return l.out, LoginMore, nil
}

func (l *ClientLogin) fail(err error) ([]byte, LoginState, error) {
	l.phase, l.cfg.Password = clientFailed, ""
	return nil, LoginRefused, fmt.Errorf("login as user %.80q: %w", l.cfg.User, err)
}
