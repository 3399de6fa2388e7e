package redis

import (
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/sluice-mesh/sluice/resources"
)

// Profiles.
const (
	profileMultiplexed = "multiplexed"
	profileTransparent = "transparent"
)

// Topologies.
const (
	topologyReplicated = "replicated"
	topologySentinel   = "sentinel"
	topologyCluster    = "cluster"
	topologyHashed     = "hashed"
)

// Settings are the `settings:` of a resource of kind redis.
type Settings struct {
	Profile     string         `yaml:"profile,omitempty" json:"profile" doc:"multiplexed: many clients share few pipelined connections, and one that needs a connection of its own gets it for as long as it does; transparent: each client has a connection of its own" default:"multiplexed" bounds:"multiplexed, transparent" reload:"drain"`
	Topology    string         `yaml:"topology,omitempty" json:"topology" doc:"replicated: a primary and replicas that tell their role; sentinel: the endpoints are sentinels; cluster: the endpoints are seeds of a Redis Cluster; hashed: independent servers, a key belongs to one of them" default:"replicated" bounds:"replicated, sentinel, cluster, hashed" reload:"drain"`
	Master      string         `yaml:"master,omitempty" json:"master,omitempty" doc:"topology sentinel: the name that the sentinels know the primary by" default:"mymaster" reload:"drain"`
	Login       *Credential    `yaml:"login,omitempty" json:"login,omitempty" doc:"how the agent logs in at the servers for clients that do not log in" reload:"drain"`
	Sentinel    *Credential    `yaml:"sentinel-login,omitempty" json:"sentinel-login,omitempty" doc:"how the agent logs in at the sentinels" reload:"drain"`
	Users       []User         `yaml:"users,omitempty" json:"users,omitempty" doc:"users of the agent; when there are any, clients must log in as one of them; without, logins are passed through" reload:"drain"`
	DB          int            `yaml:"db,omitempty" json:"db" doc:"database of clients that do not select one" default:"0" bounds:"0 to 1000000" reload:"drain"`
	HashTag     string         `yaml:"hash-tag,omitempty" json:"hash-tag,omitempty" doc:"topology hashed: two characters; only what stands between them in a key is hashed" bounds:"two characters, such as {}" reload:"drain"`
	MaxBulk     resources.Size `yaml:"max-bulk,omitempty" json:"max-bulk" doc:"longest argument of a request" default:"512MiB" bounds:"1MiB to 512MiB" reload:"drain"`
	Connections int            `yaml:"connections,omitempty" json:"connections" doc:"shared connections to one endpoint for each I/O loop and kind of session" default:"1" bounds:"1 to 64" reload:"drain"`
	Leases      int            `yaml:"leases,omitempty" json:"leases" doc:"most connections to one endpoint that are lent to single clients, for each I/O loop" default:"1000" bounds:"1 to 100000" reload:"drain"`
}

// Credential is a login at a server. An empty name is the server's default user.
type Credential struct {
	Name     string           `yaml:"name,omitempty" json:"name,omitempty" doc:"ACL user; empty: the default user" reload:"drain"`
	Password resources.Secret `yaml:"password,omitempty" json:"password,omitempty" doc:"a reference such as ${env:REDIS_PW} or ${file:/run/secrets/redis}" reload:"drain"`
}

// User is a login that the agent accepts and what it logs in as for it.
type User struct {
	Name     string           `yaml:"name" json:"name" doc:"as clients write it; AUTH with a password only means default" reload:"drain"`
	Password resources.Secret `yaml:"password" json:"password" doc:"as clients write it; a reference" reload:"drain"`
	Upstream Credential       `yaml:"upstream,omitempty" json:"upstream" doc:"login at the servers; empty: none" reload:"drain"`
}

func (s *Settings) fill() error {
	setDefault(&s.Profile, profileMultiplexed)
	setDefault(&s.Topology, topologyReplicated)
	setDefault(&s.Master, "mymaster")
	setDefault(&s.MaxBulk, 512<<20)
	setDefault(&s.Connections, 1)
	setDefault(&s.Leases, 1000)
	var errs []error
	refuse := func(field, format string, args ...any) {
		errs = append(errs, resources.At(field, fmt.Errorf(format, args...)))
	}
	if s.HashTag != "" && len(s.HashTag) != 2 {
		refuse("hash-tag", "%q is not two characters, such as {}", s.HashTag)
	}
	if s.Topology == topologyCluster && s.DB != 0 {
		refuse("db", "a cluster has only database 0")
	}
	if s.Profile == profileTransparent && (s.Topology == topologyCluster || s.Topology == topologyHashed) {
		refuse("profile", "transparent gives each client one server, but with topology %s its keys live on many; use multiplexed", s.Topology)
	}
	seen := map[string]bool{}
	for i := range s.Users {
		u := &s.Users[i]
		setDefault(&u.Name, "default")
		if seen[u.Name] {
			refuse(fmt.Sprintf("users[%d].name", i), "user %q is there twice", u.Name)
		}
		seen[u.Name] = true
	}
	return errors.Join(errs...)
}

// CheckPolicy implements resources.PolicyChecker: in a hashed pool nothing but the key may choose the server, or a key is
// looked for where it never was.
func (s *Settings) CheckPolicy(p *resources.Policy) error {
	if s.Topology == topologyHashed && p.Balance != "hash" {
		return resources.At("balance", fmt.Errorf("%q does not go with topology hashed, where the key says which server: write policy: { balance: hash }", p.Balance))
	}
	return nil
}

func setDefault[T comparable](at *T, v T) {
	var zero T
	if *at == zero {
		*at = v
	}
}

// login is a Credential with its secret revealed.
type login struct{ user, password string }

func (c *Credential) reveal() (login, error) {
	if c == nil {
		return login{}, nil
	}
	pw, err := c.Password.Reveal()
	return login{c.Name, pw}, err
}

// front is a user of the agent.
type front struct {
	name, password string
	upstream       login
}

func (s *Settings) fronts() ([]front, error) {
	var out []front
	for i := range s.Users {
		u := &s.Users[i]
		pw, err := u.Password.Reveal()
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", u.Name, err)
		}
		up, err := u.Upstream.reveal()
		if err != nil {
			return nil, fmt.Errorf("user %s: upstream: %w", u.Name, err)
		}
		out = append(out, front{u.Name, pw, up})
	}
	return out, nil
}

// authenticate finds the user with this name and password. It takes the same time for a wrong name and a wrong password.
func authenticate(users []front, name, password []byte) *front {
	var found *front
	for i := range users {
		u := &users[i]
		if subtle.ConstantTimeCompare([]byte(u.name), name)&subtle.ConstantTimeCompare([]byte(u.password), password) == 1 {
			found = u
		}
	}
	return found
}
