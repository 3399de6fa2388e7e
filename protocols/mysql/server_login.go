package mysql

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
)

// Lookup says what is known about a user: its passwords (any of them is right: the old and the new one while they
// rotate; an empty one lets the user in without), the plugin to ask for ("" for the default), and whether it exists.
// For a user that does not exist the passwords are not looked at, but the plugin is: whoever gives some accounts
// another plugin than the default can give it to unknown names too, so that it shows nothing.
type Lookup func(user string) (passwords []string, plugin string, found bool)

// ServerConfig is what a [ServerLogin] needs to know. Everything but Lookup and Rand has a useful zero value.
type ServerConfig struct {
	Greeting      Greeting        // Scramble from [NewScramble]. Login capabilities, ClientSSL and Plugin are set to fit
	Lookup        Lookup          // called once for each login or COM_CHANGE_USER
	DefaultPlugin string          // default: Greeting.Plugin, or mysql_native_password
	TLS           bool            // the connection can do TLS: it is offered
	RequireSecure bool            // refuse whoever did not choose TLS, unless Secure (error 3159)
	Secure        func() bool     // the connection is under TLS by now, or is a unix socket; nil: never
	RSA           *rsa.PrivateKey // for the full form of caching_sha2_password without TLS; nil: it is refused
	FullAuth      bool            // caching_sha2_password always asks for the full form, as a server with a cold cache
	Host          string          // of the client, for "Access denied for user 'x'@'host'"
	Rand          io.Reader       // crypto/rand.Reader
}

// ServerLogin is the agent as a server, while one client logs in: packets in, packets out, no I/O. Use:
//
//	send Greet; then for each packet of the client: Step, send what it gives, do what the state says
//
// At LoginDone the caller sends the OK itself, with sequence id Seq, as only it knows the status and the tracker's
// block. At LoginRefused the output is the ERR packet: send it, then close. A ServerLogin belongs to one goroutine.
//
// A user name that does not exist takes the same packets, and the same time, as a wrong password.
type ServerLogin struct {
	cfg      ServerConfig
	phase    serverPhase
	seq      byte              // of the next packet, whoever sends it
	scramble [ScrambleLen]byte // the last one sent
	nonce    []byte            // the last one sent for client_ed25519
	out      []byte

	resp      Response // without Auth
	change    bool     // a COM_CHANGE_USER, not a first login
	old       bool     // the client is from before 4.1: ERR packets without SQLSTATE
	plugin    string   // of the account
	passwords []string
	found     bool
	using     bool // "using password: YES"
}

type serverPhase uint8

const (
	serverGreeted   serverPhase = iota // the next packet is an SSLRequest or a Response
	serverSecured                      // after an SSLRequest: a Response
	serverSwitched                     // the answer to an AuthSwitch
	serverFull                         // caching_sha2_password: the password, or the request for the key
	serverEncrypted                    // caching_sha2_password: the encrypted password
	serverEnded
)

// rotation is how many passwords are tried at least, so that the time does not show how many an account has (more than
// two are rare), or that it does not exist.
const rotation = 2

// decoy is compared where there is no password; the result is not used.
var decoy = []byte("no account has this password")

// NewServerLogin makes a login that has not greeted yet.
func NewServerLogin(cfg ServerConfig) *ServerLogin {
	g := &cfg.Greeting
	if cfg.DefaultPlugin == "" {
		cfg.DefaultPlugin = g.Plugin
	}
	if cfg.DefaultPlugin == "" {
		cfg.DefaultPlugin = PluginNative
	}
	// A greeting carries 20 bytes for native or sha2; the plugins that need something else come by AuthSwitch.
	if g.Plugin = cfg.DefaultPlugin; g.Plugin != PluginSHA2 {
		g.Plugin = PluginNative
	}
	g.Caps |= ClientProtocol41 | ClientSecureConnection | ClientPluginAuth
	g.Caps &^= ClientSSL | ClientMultiFactorAuthentication
	if cfg.TLS {
		g.Caps |= ClientSSL
	}
	if cfg.Secure == nil {
		cfg.Secure = func() bool { return false }
	}
	return &ServerLogin{cfg: cfg, scramble: g.Scramble}
}

// Greet appends the greeting packet.
func (l *ServerLogin) Greet(dst []byte) []byte {
	l.seq = 1
	return l.cfg.Greeting.Append(dst)
}

// Response is what the client said, at LoginDone. Caps are those that both sides have; Auth is nil.
func (l *ServerLogin) Response() *Response { return &l.resp }

// Seq is the sequence id of the next packet: at LoginDone that of the caller's OK.
func (l *ServerLogin) Seq() byte { return l.seq }

// Scramble is the last one that the client got. A caller that drops the ServerLogin after the login keeps it, and gives
// it to the ServerLogin of a later COM_CHANGE_USER in Greeting.Scramble: clients without ClientPluginAuth, which cannot
// be asked again, answer it there.
func (l *ServerLogin) Scramble() [ScrambleLen]byte { return l.scramble }

// Step takes one packet of the client and gives the packets to send, which are valid until the next call. err is set
// exactly at LoginRefused, and is a [*LoginError].
func (l *ServerLogin) Step(payload []byte, seq byte) (out []byte, next LoginState, err error) {
	l.out = l.out[:0]
	if want := l.seq; seq != want {
		l.seq = seq + 1
		return l.refuse(errOutOfOrder, fmt.Sprintf("packet %d where %d comes next", seq, want))
	}
	l.seq++
	if len(payload) > MaxLoginPayload {
		return l.badHandshake(malformed("packet of %d bytes, at most %d are accepted", len(payload), MaxLoginPayload))
	}
	switch l.phase {
	case serverGreeted:
		if IsSSLRequest(payload) {
			return l.startTLS()
		}
		return l.first(payload)
	case serverSecured:
		return l.first(payload)
	case serverSwitched:
		return l.check(payload)
	case serverFull:
		return l.full(payload)
	case serverEncrypted:
		return l.encrypted(payload)
	}
	return l.badHandshake(malformed("a packet after the login's end"))
}

// ChangeUser starts a COM_CHANGE_USER of a client that is logged in with these capabilities; Step goes on with it. A
// client whose answer does not fit (most use the greeting's scramble, some an empty answer) gets an AuthSwitch with a
// fresh scramble. Refused means as for a login: send the ERR and close, as servers do.
func (l *ServerLogin) ChangeUser(payload []byte, caps Caps) (out []byte, next LoginState, err error) {
	l.out, l.seq, l.change, l.using = l.out[:0], 1, true, false
	resp, err := ParseChangeUser(payload, caps)
	if err != nil {
		return l.badHandshake(err)
	}
	return l.begin(resp)
}

func (l *ServerLogin) startTLS() ([]byte, LoginState, error) {
	if !l.cfg.TLS {
		return l.badHandshake(malformed("the client asks for TLS, which was not offered"))
	}
	l.phase = serverSecured
	return nil, LoginTLS, nil
}

// first takes the client's answer to the greeting.
func (l *ServerLogin) first(payload []byte) ([]byte, LoginState, error) {
	resp, err := ParseResponse(payload)
	if errors.Is(err, ErrOldProtocol) {
		l.old = true
		return l.refuse(errOldClient, err.Error())
	}
	if err != nil {
		return l.badHandshake(err)
	}
	resp.Caps = agreed(l.cfg.Greeting.Caps, resp.Caps)
	if resp.Caps&(ClientSecureConnection|ClientPluginAuth) == 0 {
		l.resp.User = resp.User
		return l.refuse(errOldClient, "the client has neither SECURE_CONNECTION nor PLUGIN_AUTH")
	}
	return l.begin(resp)
}

// begin looks the user up and decides what to do with the answer that the client has given unasked.
func (l *ServerLogin) begin(resp Response) ([]byte, LoginState, error) {
	answer := resp.Auth
	resp.Auth, resp.Attributes = nil, bytes.Clone(resp.Attributes)
	l.resp = resp
	l.using = !noPassword(answer)
	if l.scramble == ([ScrambleLen]byte{}) {
		return l.refuse(errInternal, "the greeting has no scramble: this is a bug")
	}
	if l.cfg.RequireSecure && !l.cfg.Secure() {
		return l.refuse(errInsecure, "the client did not choose TLS")
	}
	l.passwords, l.plugin, l.found = l.cfg.Lookup(resp.User)
	if l.plugin == "" {
		l.plugin = l.cfg.DefaultPlugin
	}
	if hint := unsupported(l.plugin); hint != "" {
		message := fmt.Sprintf("Plugin '%.64s' is not loaded", l.plugin)
		return l.refuse(serverReply{1524, "HY000", message}, "this plugin is not spoken: "+hint)
	}
	theirs := resp.Plugin
	if theirs == "" {
		theirs = PluginNative // what clients without plugins, or that name none, always did
	}
	switch canSwitch := resp.Caps.Has(ClientPluginAuth); {
	case !canSwitch && l.plugin != PluginNative:
		return l.refuse(errOldClient, "the account needs "+l.plugin+", and the client has no PLUGIN_AUTH")
	case canSwitch && (theirs != l.plugin || l.plugin == PluginEd25519 || l.change && !l.verify(answer)):
		return l.switchTo()
	}
	return l.check(answer)
}

// switchTo asks the client to go on with the account's plugin, and with a scramble that no answer was seen to yet.
func (l *ServerLogin) switchTo() ([]byte, LoginState, error) {
	if l.plugin == PluginClear && !l.cfg.Secure() {
		return l.refuse(errInsecure, "the account needs "+PluginClear+", and the connection is not under TLS")
	}
	var err error
	var data []byte
	if l.plugin == PluginEd25519 {
		// No NUL in it: clients cut off a last one (go-sql-driver does), as scrambles have one behind them.
		l.nonce = make([]byte, NonceLen)
		err = printable(l.cfg.Rand, l.nonce)
		data = l.nonce
	} else {
		l.scramble, err = NewScramble(l.cfg.Rand)
		data = append(l.scramble[:len(l.scramble):len(l.scramble)], 0)
	}
	if err != nil {
		return l.refuse(errInternal, fmt.Sprintf("random bytes: %v", err))
	}
	l.phase = serverSwitched
	l.out = (&AuthSwitch{Plugin: l.plugin, Data: data}).Append(l.out, l.seq)
	l.seq++
	return l.out, LoginMore, nil
}

// check decides on an answer of the account's plugin.
func (l *ServerLogin) check(answer []byte) ([]byte, LoginState, error) {
	l.using = !noPassword(answer)
	if l.plugin == PluginClear && !l.cfg.Secure() {
		return l.refuse(errInsecure, "the client sent its password in clear over a connection that is not under TLS")
	}
	right := l.verify(answer)
	if l.plugin == PluginSHA2 && l.using {
		return l.checkSHA2(right)
	}
	if !right {
		return l.denied()
	}
	return l.done()
}

// checkSHA2 goes on behind a scramble of caching_sha2_password. As in servers, a wrong one does not end the login if
// there is a way to send the password itself: it may come from a client that got the scramble wrong (PyMySQL 1.0.2,
// behind an AuthSwitch, takes the NUL behind it for a part of it).
func (l *ServerLogin) checkSHA2(right bool) ([]byte, LoginState, error) {
	switch {
	case right && !l.cfg.FullAuth:
		l.more(sha2FastOK)
		return l.done()
	case l.cfg.Secure() || l.cfg.RSA != nil:
		l.phase = serverFull
		l.more(sha2FullAuth)
		return l.out, LoginMore, nil
	case right:
		return l.deniedBecause("full " + PluginSHA2 + " needs TLS or an RSA key, and the connection has neither")
	}
	return l.denied()
}

// verify tries all passwords of the account, in a time that depends on the plugin alone.
func (l *ServerLogin) verify(answer []byte) bool {
	switch l.plugin {
	case PluginNative:
		return l.match(func(p []byte) bool { return VerifyNative(l.scramble[:], answer, p) })
	case PluginSHA2:
		return l.match(func(p []byte) bool { return VerifySHA2(l.scramble[:], answer, p) })
	case PluginEd25519:
		return l.match(func(p []byte) bool { return VerifyEd25519(l.nonce, answer, p) })
	case PluginClear:
		return l.match(func(p []byte) bool { return VerifyClear(answer, p) })
	}
	return false
}

func (l *ServerLogin) match(verify func(password []byte) bool) bool {
	right := false
	for _, p := range l.passwords {
		if verify([]byte(p)) {
			right = true
		}
	}
	for n := len(l.passwords); n < rotation; n++ {
		verify(decoy)
	}
	return right && l.found
}

// full takes the packet behind "send the password itself": over TLS the password and a NUL; else the request for the key, or the password
// encrypted with a key that the client had already.
func (l *ServerLogin) full(payload []byte) ([]byte, LoginState, error) {
	if len(payload) == 1 && payload[0] == sha2KeyRequest && l.cfg.RSA != nil {
		return l.sendKey()
	}
	if !l.cfg.Secure() {
		return l.encrypted(payload)
	}
	if !l.match(func(p []byte) bool { return VerifyClear(payload, p) }) {
		return l.denied()
	}
	return l.done()
}

func (l *ServerLogin) sendKey() ([]byte, LoginState, error) {
	key, err := AppendPublicKey(nil, &l.cfg.RSA.PublicKey)
	if err != nil {
		return l.refuse(errInternal, err.Error())
	}
	l.phase = serverEncrypted
	l.more(key...)
	return l.out, LoginMore, nil
}

// encrypted takes the RSA form of the password.
func (l *ServerLogin) encrypted(payload []byte) ([]byte, LoginState, error) {
	if l.cfg.RSA == nil || len(payload) != l.cfg.RSA.Size() {
		return l.deniedBecause("the client did not encrypt its password for the key of this server")
	}
	password, err := DecryptSHA2Password(l.cfg.RSA, l.scramble[:], payload)
	if !l.match(func(p []byte) bool { return err == nil && VerifyClear(password, p) }) {
		return l.denied()
	}
	return l.done()
}

func (l *ServerLogin) more(data ...byte) {
	l.out = AppendAuthMoreData(l.out, l.seq, data...)
	l.seq++
}

func (l *ServerLogin) done() ([]byte, LoginState, error) {
	l.end()
	return l.out, LoginDone, nil
}

// denied refuses a wrong password or name. Only the log tells them apart.
func (l *ServerLogin) denied() ([]byte, LoginState, error) {
	if !l.found {
		return l.deniedBecause("no such user")
	}
	return l.deniedBecause("wrong password")
}

func (l *ServerLogin) deniedBecause(reason string) ([]byte, LoginState, error) {
	using := "NO"
	if l.using {
		using = "YES"
	}
	message := fmt.Sprintf("Access denied for user '%.80s'@'%.80s' (using password: %s)", l.resp.User, l.cfg.Host, using)
	return l.refuse(serverReply{1045, "28000", message}, reason)
}

func (l *ServerLogin) badHandshake(err error) ([]byte, LoginState, error) {
	return l.refuse(errBadHandshake, err.Error())
}

// refuse ends the login with an ERR packet.
func (l *ServerLogin) refuse(reply serverReply, reason string) ([]byte, LoginState, error) {
	l.end()
	state := reply.state
	if l.old {
		state = ""
	}
	l.out = AppendERR(l.out, l.seq, reply.code, state, reply.message)
	l.seq++
	err := &LoginError{Code: reply.code, Message: reply.message, User: l.resp.User, Reason: reason}
	return l.out, LoginRefused, err
}

// end forgets the secrets.
func (l *ServerLogin) end() {
	l.phase, l.passwords, l.found, l.nonce = serverEnded, nil, false, nil
}
