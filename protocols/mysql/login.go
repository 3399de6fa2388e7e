package mysql

import "fmt"

// LoginState says what the caller of a [ServerLogin] or [ClientLogin] does next, after it has sent what the step gave.
type LoginState uint8

// The states after a step.
const (
	LoginMore    LoginState = iota // read one packet and give it to Step
	LoginTLS                       // do the TLS handshake now, on the bytes behind the last packet; then go on
	LoginDone                      // logged in
	LoginRefused                   // over: close the connection; the step's error says why
)

func (s LoginState) String() string {
	switch s {
	case LoginMore:
		return "more"
	case LoginTLS:
		return "tls"
	case LoginDone:
		return "done"
	case LoginRefused:
		return "refused"
	}
	return fmt.Sprintf("LoginState(%d)", uint8(s))
}

// agreed is what holds after a greeting offered some capabilities and the response took some. MariaDB's upper half
// counts only if neither side set bit 0.
func agreed(offered, wanted Caps) Caps {
	both := offered & wanted
	if (offered | wanted).Has(ClientLongPassword) {
		both = both&^MariaDBCaps | ClientLongPassword
	}
	return both
}

// Errors that the agent sends as a server during a login, word for word those of the servers.
var (
	errBadHandshake = serverReply{1043, "08S01", "Bad handshake"}
	errOutOfOrder   = serverReply{1156, "08S01", "Got packets out of order"}
	errOldClient    = serverReply{1251, "08004",
		"Client does not support authentication protocol requested by server; consider upgrading MySQL client"}
	errInsecure = serverReply{3159, "HY000",
		"Connections using insecure transport are prohibited while --require_secure_transport=ON."}
	errInternal = serverReply{1105, "HY000", "Unknown error"}
)

type serverReply struct {
	code    uint16
	state   string
	message string
}

// LoginError says why a [ServerLogin] refused a client. The client was told Code and Message; Reason is for the log. No
// field holds a password or a scramble.
type LoginError struct {
	Code    uint16 // of the ERR packet, 1045 for wrong user names and passwords alike
	Message string // of the ERR packet
	User    string // as the client gave it; "" before that
	Reason  string // "wrong password", "no such user", "malformed: ..."
}

func (e *LoginError) Error() string {
	if e.User == "" {
		return fmt.Sprintf("login refused with error %d: %s", e.Code, e.Reason)
	}
	return fmt.Sprintf("login of user %.80q refused with error %d: %s", e.User, e.Code, e.Reason)
}
