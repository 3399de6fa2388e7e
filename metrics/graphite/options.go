package graphite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"
)

// The dialects.
const (
	Plaintext = "graphite" // NAME VALUE EPOCH, over TCP
	Statsd    = "statsd"   // NAME:VALUE|TYPE, over UDP, with the names that motan-go's agent gives
)

// Roles of an agent in the statsd dialect.
const (
	ClientAgent = "motan-client-agent" // calls that it sends on for applications
	ServerAgent = "motan-server-agent" // calls that it hands to a service beside it
)

// Name is what the calls of a group of a resource are called in the statsd dialect.
type Name struct {
	Role    string // ClientAgent or ServerAgent
	Group   string // as callers name it
	Service string
}

// Options configure a [Sink].
type Options struct {
	Address string        // host:port of the server
	Network string        // tcp or udp; default: tcp for graphite, udp for statsd
	Dialect string        // graphite (default) or statsd
	Every   time.Duration // length of an interval, from 1 s; default 10 s

	Prefix      string // levels put before each name, such as "mesh.prod"; default none
	Role        string // first level of the name; default sluice-agent; not of the statsd dialect
	Application string // who calls; default: Host
	Host        string // this machine; default: the system's host name, and in the statsd dialect the address that it sends from
	// Name is asked in the statsd dialect, from the sink's goroutine; default: ClientAgent, and the names as they are.
	Name func(resource, group string) Name

	Buffer int          // bytes of lines kept while the server is away; default 4 MiB
	Log    *slog.Logger // says when the connection is lost and when it is back; default: nowhere

	// Dial opens the connection; default: net.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Limits of the transport.
const (
	defaultBuffer = 4 << 20
	tcpBatch      = 64 << 10 // bytes of one write
	udpBatch      = 1400     // bytes of one datagram, to fit an Ethernet frame
	dialTimeout   = 3 * time.Second
	writeTimeout  = 10 * time.Second
	firstPause    = 500 * time.Millisecond // after the first failure; doubles
	longestPause  = 30 * time.Second
)

// fill checks the options and puts defaults where nothing is written.
func (o *Options) fill() error {
	if _, _, err := net.SplitHostPort(o.Address); err != nil {
		return fmt.Errorf("address %q: %w: write host:port, such as 127.0.0.1:2003", o.Address, err)
	}
	switch o.Dialect {
	case "":
		o.Dialect = Plaintext
	case Plaintext, Statsd:
	default:
		return fmt.Errorf("unknown dialect %q: use %s or %s", o.Dialect, Plaintext, Statsd)
	}
	switch o.Network {
	case "":
		o.Network = "tcp"
		if o.Dialect == Statsd {
			o.Network = "udp"
		}
	case "tcp", "udp":
	default:
		return fmt.Errorf("unknown network %q: use tcp or udp", o.Network)
	}
	if o.Every == 0 {
		o.Every = 10 * time.Second
	}
	if o.Every < time.Second || o.Every%time.Second != 0 {
		return fmt.Errorf("every %v: use whole seconds, at least 1s, because timestamps are seconds", o.Every)
	}
	if o.Buffer == 0 {
		o.Buffer = defaultBuffer
	}
	if o.Buffer < tcpBatch {
		return fmt.Errorf("buffer of %d bytes: use at least %d", o.Buffer, tcpBatch)
	}
	o.Prefix = strings.Trim(o.Prefix, ".")
	for _, level := range strings.Split(o.Prefix, ".") {
		if o.Prefix != "" && (level == "" || strings.Trim(level, prefixBytes) != "") {
			return fmt.Errorf("prefix %q: use letters, digits, hyphens and underscores, with single dots between levels", o.Prefix)
		}
	}
	if o.Host == "" && o.Dialect == Plaintext {
		host, err := os.Hostname()
		if err != nil || host == "" {
			return errors.Join(errors.New("the system has no host name: give one"), err)
		}
		o.Host = host
	}
	if o.Application == "" && o.Dialect == Plaintext {
		o.Application = o.Host
	}
	if o.Name == nil {
		o.Name = func(resource, group string) Name { return Name{ClientAgent, group, resource} }
	}
	if o.Role == "" {
		o.Role = "sluice-agent"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	return nil
}

const prefixBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// batch returns how many bytes go into one write.
func (o *Options) batch() int {
	if o.Network == "udp" {
		return udpBatch
	}
	return tcpBatch
}
