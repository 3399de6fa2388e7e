package mysql

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
)

// Profiles.
const (
	profilePooled = "pooled"
	profileTunnel = "tunnel"
)

// Causal modes.
const (
	causalOff      = "off"
	causalSession  = "session"
	causalResource = "resource"
)

// Settings are the `settings:` of a resource of kind mysql.
type Settings struct {
	Profile     string             `yaml:"profile,omitempty" json:"profile" doc:"pooled: clients share connections to servers between statements and transactions; tunnel: each client has a connection of its own" default:"pooled" bounds:"pooled, tunnel" reload:"drain"`
	Users       []User             `yaml:"users,omitempty" json:"users,omitempty" doc:"users that clients log in as, and what the agent logs in as for them" reload:"drain"`
	Pool        Pool               `yaml:"pool,omitempty" json:"pool" doc:"connections to one endpoint" reload:"drain"`
	Probe       *Credential        `yaml:"probe,omitempty" json:"probe,omitempty" doc:"login for health checks, roles and lag; default: the first user's upstream login" reload:"drain"`
	MaxPacket   resources.Size     `yaml:"max-packet,omitempty" json:"max-packet" doc:"longest command of a client" default:"64MiB" bounds:"1MiB to 1GiB" reload:"drain"`
	LocalInfile bool               `yaml:"local-infile,omitempty" json:"local-infile" doc:"let servers ask clients for files (LOAD DATA LOCAL); the agent's own disk is never read" default:"false" reload:"drain"`
	MaxLag      resources.Duration `yaml:"max-lag,omitempty" json:"max-lag" doc:"a replica further behind its primary gets no reads; 0: any" default:"10s" bounds:"0 to 24h" reload:"drain"`
	Causal      string             `yaml:"causal,omitempty" json:"causal" doc:"what a read on a replica must see: off: nothing in particular; session: all writes of its session; resource: all writes through this agent" default:"off" bounds:"off, session, resource" reload:"drain"`
	CausalWait  resources.Duration `yaml:"causal-wait,omitempty" json:"causal-wait" doc:"longest wait of a read for a replica to catch up; then it goes to the primary" default:"1s" bounds:"1ms to 1m" reload:"drain"`
	Hold        resources.Duration `yaml:"hold,omitempty" json:"hold" doc:"how long a write waits, unsent, while the primary is being replaced; 0: not at all" default:"5s" bounds:"0 to 1m" reload:"drain"`
	MaxTxn      resources.Duration `yaml:"max-transaction,omitempty" json:"max-transaction" doc:"longest transaction; a longer one is rolled back and its client disconnected; 0: no limit" default:"0s" bounds:"0 to 24h" reload:"drain"`
	MaxTxnIdle  resources.Duration `yaml:"max-transaction-idle,omitempty" json:"max-transaction-idle" doc:"longest silence of a client inside a transaction; 0: no limit" default:"0s" bounds:"0 to 24h" reload:"drain"`
	RequireTLS  bool               `yaml:"require-tls,omitempty" json:"require-tls" doc:"refuse logins of clients without TLS (error 3159), except by unix sockets, as require_secure_transport of servers does; needs tls of the resource" default:"false" reload:"drain"`
	ClearKey    bool               `yaml:"allow-public-key-retrieval,omitempty" json:"allow-public-key-retrieval" doc:"log in at servers without TLS with a key that the server sends unprotected (caching_sha2_password)" default:"false" reload:"drain"`
	Version     string             `yaml:"server-version,omitempty" json:"server-version,omitempty" doc:"version that clients are greeted with before a server has told its own" reload:"drain"`
}

// User is a login that the agent accepts and what it logs in as for it.
type User struct {
	Name     string           `yaml:"name" json:"name" doc:"as clients write it" required:"true" reload:"drain"`
	Password resources.Secret `yaml:"password,omitempty" json:"password,omitempty" doc:"as clients write it; a reference such as ${env:APP_PW}" reload:"drain"`
	Previous resources.Secret `yaml:"previous-password,omitempty" json:"previous-password,omitempty" doc:"accepted as well, while clients change over to a new password" reload:"drain"`
	Plugin   string           `yaml:"plugin,omitempty" json:"plugin" doc:"how clients prove the password" default:"mysql_native_password" bounds:"mysql_native_password, caching_sha2_password, mysql_clear_password" reload:"drain"`
	Upstream Credential       `yaml:"upstream" json:"upstream" doc:"login at the servers" reload:"drain"`
}

// Credential is a login at a server.
type Credential struct {
	Name     string           `yaml:"name,omitempty" json:"name,omitempty" doc:"user; default: the name that clients use" reload:"drain"`
	Password resources.Secret `yaml:"password,omitempty" json:"password,omitempty" doc:"a reference such as ${file:/run/secrets/orders}" reload:"drain"`
	Previous resources.Secret `yaml:"previous-password,omitempty" json:"previous-password,omitempty" doc:"tried when the password is refused, while it is being changed" reload:"drain"`
}

// Pool bounds the connections to one endpoint.
type Pool struct {
	Max   int                `yaml:"max,omitempty" json:"max" doc:"most connections to one endpoint, idle ones included" default:"64" bounds:"1 to 10000" reload:"drain"`
	Idle  int                `yaml:"idle,omitempty" json:"idle" doc:"most of them that wait for work for more than a moment" default:"8" bounds:"0 to 10000" reload:"drain"`
	Wait  resources.Duration `yaml:"wait,omitempty" json:"wait" doc:"longest wait of a statement for a free one" default:"5s" bounds:"1ms to 10m" reload:"drain"`
	Age   resources.Duration `yaml:"max-idle-time,omitempty" json:"max-idle-time" doc:"close one that had no work this long; keep it below half of the server's wait_timeout" default:"5m" bounds:"1s to 24h" reload:"drain"`
	Stmts int                `yaml:"statements,omitempty" json:"statements" doc:"most prepared statements kept on one connection" default:"256" bounds:"1 to 16000" reload:"drain"`
}

func (s *Settings) fill() error {
	setDefault(&s.Profile, profilePooled)
	setDefault(&s.Causal, causalOff)
	setDefault(&s.CausalWait, resources.Duration(time.Second))
	setDefault(&s.MaxPacket, 64<<20)
	setDefault(&s.Pool.Max, 64)
	setDefault(&s.Pool.Idle, min(8, s.Pool.Max))
	setDefault(&s.Pool.Wait, resources.Duration(5*time.Second))
	setDefault(&s.Pool.Age, resources.Duration(5*time.Minute))
	setDefault(&s.Pool.Stmts, 256)
	var errs []error
	refuse := func(field, format string, args ...any) {
		errs = append(errs, resources.At(field, fmt.Errorf(format, args...)))
	}
	if len(s.Users) == 0 {
		refuse("users", "there is none: write users: [{ name: app, password: \"${env:APP_PW}\", upstream: { password: \"${env:DB_PW}\" } }]; "+
			"clients log in at the agent, and the agent at the servers")
	}
	if s.Pool.Idle > s.Pool.Max {
		refuse("pool.idle", "%d is more than pool.max, which is %d", s.Pool.Idle, s.Pool.Max)
	}
	seen := map[string]bool{}
	for i := range s.Users {
		u := &s.Users[i]
		setDefault(&u.Plugin, mysql.PluginNative)
		switch u.Plugin {
		case mysql.PluginNative, mysql.PluginSHA2, mysql.PluginClear:
		default:
			refuse(fmt.Sprintf("users[%d].plugin", i), "%q is not spoken with clients: use %s, %s or %s",
				u.Plugin, mysql.PluginNative, mysql.PluginSHA2, mysql.PluginClear)
		}
		setDefault(&u.Upstream.Name, u.Name)
		if u.Name == "" {
			refuse(fmt.Sprintf("users[%d].name", i), "it is missing: write the name that clients log in as")
		}
		if seen[u.Name] {
			refuse(fmt.Sprintf("users[%d].name", i), "user %q is there twice", u.Name)
		}
		seen[u.Name] = true
	}
	return errors.Join(errs...)
}

func setDefault[T comparable](at *T, v T) {
	var zero T
	if *at == zero {
		*at = v
	}
}

// login is a Credential with its secrets revealed. It is compared by address: one for each user of the agent.
type login struct {
	name      string
	passwords []string // the current one first
}

func (c *Credential) reveal() (*login, error) {
	l := &login{name: c.Name}
	for _, s := range []resources.Secret{c.Password, c.Previous} {
		if s.IsZero() && len(l.passwords) > 0 {
			continue
		}
		pw, err := s.Reveal()
		if err != nil {
			return nil, err
		}
		l.passwords = append(l.passwords, pw)
	}
	return l, nil
}

// front is a user of the agent.
type front struct {
	name      string
	passwords []string
	plugin    string
	upstream  *login
	calls     *tally
}

func (s *Settings) fronts() (map[string]*front, *login, error) {
	out := map[string]*front{}
	var first *login
	for i := range s.Users {
		u := &s.Users[i]
		own, err := (&Credential{Name: u.Name, Password: u.Password, Previous: u.Previous}).reveal()
		if err != nil {
			return nil, nil, fmt.Errorf("user %s: %w", u.Name, err)
		}
		up, err := u.Upstream.reveal()
		if err != nil {
			return nil, nil, fmt.Errorf("user %s: upstream: %w", u.Name, err)
		}
		if first == nil {
			first = up
		}
		out[u.Name] = &front{name: u.Name, passwords: own.passwords, plugin: u.Plugin, upstream: up, calls: newTally(metrics.UserCallsTotal, "user", u.Name)}
	}
	if s.Probe != nil {
		var err error
		if first, err = s.Probe.reveal(); err != nil {
			return nil, nil, fmt.Errorf("probe: %w", err)
		}
	}
	return out, first, nil
}
