package load

import (
	"crypto/tls"
	"fmt"
	"time"
)

// Config describes a load. Only Address and one of Duration and Requests are required.
type Config struct {
	Address        string // "127.0.0.1:6380" or "unix:/path"
	TLS            *tls.Config
	User, Password string // AUTH after connecting; User may be empty

	Clients  int           // connections; default 10
	Pipeline int           // requests per write, 1 to 1024, fewer if values are large; default 1
	Rate     float64       // requests per second of all clients together; 0: closed loop
	Duration time.Duration // how long requests are started; 0: until Requests
	Requests int64         // how many requests are started by all clients together; 0: until Duration

	Mix       Mix
	Keys      int           // string keys of each client; default 16
	ValueSize int           // bytes of a value; default 128; a value is longer if its header does not fit (about 45)
	Prefix    string        // of all keys; default "load"; each run adds a part of its own
	Seed      uint64        // of all random choices
	Timeout   time.Duration // for connecting, and for the replies of a batch; default 5 s

	// StaleReads allows reads to return older acknowledged values of their key, as replicas do.
	StaleReads bool
	// VerifyAddress is where the final check reads; default Address. Usually the Redis behind the agent.
	VerifyAddress string
	VerifyTLS     *tls.Config
	// VerifyTimeout bounds the final check, including waiting for the server to come back; default 10 s. Negative: no
	// final check.
	VerifyTimeout time.Duration
}

// Mix is the share of each operation, as weights. The zero Mix is 5 GET, 3 SET, 1 INCR, 1 APPEND.
type Mix struct {
	Get, Set, Del, Incr, Append, Echo int
	MGet                              int // of three keys of the client, which a cluster keeps in three slots
}

// ReadOnly is a mix of GET alone. Since nothing would be there to read, a mix without SET writes all string keys once
// before the load starts.
var ReadOnly = Mix{Get: 1}

func (c Config) withDefaults() (Config, error) {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.Clients, 10)
	def(&c.Pipeline, 1)
	def(&c.Keys, 16)
	def(&c.ValueSize, 128)
	if c.Mix == (Mix{}) {
		c.Mix = Mix{Get: 5, Set: 3, Incr: 1, Append: 1}
	}
	if c.Prefix == "" {
		c.Prefix = "load"
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.VerifyTimeout == 0 {
		c.VerifyTimeout = 10 * time.Second
	}
	if c.VerifyAddress == "" {
		c.VerifyAddress, c.VerifyTLS = c.Address, c.TLS
	}
	switch {
	case c.Address == "":
		return c, fmt.Errorf("load: Address is not set")
	case c.Duration <= 0 && c.Requests <= 0:
		return c, fmt.Errorf("load: neither Duration nor Requests is set")
	case c.Clients < 1 || c.Pipeline < 1 || c.Pipeline > 1024 || c.Keys < 1:
		return c, fmt.Errorf("load: %d clients, pipeline %d, %d keys: want 1 at least and a pipeline up to 1024", c.Clients, c.Pipeline, c.Keys)
	}
	return c, nil
}

// batchLimit is how many requests a client writes at once: Pipeline, or fewer when values are so large that it could
// still be writing while the other end waits for it to read replies.
func (c *Config) batchLimit() int {
	const bytes = 256 << 10
	return max(1, min(c.Pipeline, bytes/(2*c.ValueSize+128)))
}

// refused are the error words that promise that the request was not executed: the agent's own refusals and those of
// Redis, which checks before it executes. Every other word leaves the outcome unknown.
var refused = map[string]bool{
	"UNAVAILABLE": true, "LIMITED": true, "DEGRADED": true, "BREAKER": true, "NOPERM": true,
	"ERR": true, "OOM": true, "READONLY": true, "LOADING": true, "MASTERDOWN": true, "CLUSTERDOWN": true, "MOVED": true, "ASK": true,
	"TRYAGAIN": true, "WRONGTYPE": true, "NOREPLICAS": true, "BUSY": true, "NOAUTH": true, "WRONGPASS": true, "MISCONF": true,
}

// Words for failures that are no reply.
const (
	Connect = "CONNECT" // no connection, or no login
	Closed  = "CLOSED"  // the connection was lost with requests in flight
	NoReply = "NOREPLY" // no reply within Config.Timeout
)
