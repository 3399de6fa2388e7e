package discovery

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-mesh/sluice/resources"
)

// Address is where a registry is, as config writes it: KIND://HOST:PORT,HOST:PORT/ROOT, or KIND:///PATH.
type Address struct {
	Kind  string
	Hosts []string // host:port each; none of a local kind
	Root  string   // without slashes around it, "" for the kind's own; of a local kind the path, which begins with one
}

// ParseAddress reads an address that [resources.CheckRegistry] takes.
func ParseAddress(text string) (Address, error) {
	if err := resources.CheckRegistry(text); err != nil {
		return Address{}, err
	}
	kind, rest, _ := strings.Cut(text, "://")
	if resources.LocalRegistry(kind) {
		return Address{Kind: kind, Root: rest}, nil
	}
	hosts, root, _ := strings.Cut(rest, "/")
	return Address{Kind: kind, Hosts: strings.Split(hosts, ","), Root: strings.Trim(root, "/")}, nil
}

// Options are what a source is told of the agent that opens it.
type Options struct {
	Application string
	Log         *slog.Logger // nil: nowhere
}

// Opener opens a source, which connects in the background and for as long as it takes. The error is for an address that can
// never work.
type Opener func(Address, Options) (Source, error)

var openers struct {
	sync.Mutex
	byKind map[string]Opener
}

// RegisterKind adds a kind of registry that is made of servers, which config may name from then on. It is called from init functions
// and panics on a duplicate.
func RegisterKind(kind string, open Opener) { register(kind, open, false) }

// RegisterLocalKind is RegisterKind for one that is a place on this machine, such as a directory: KIND:///PATH.
func RegisterLocalKind(kind string, open Opener) { register(kind, open, true) }

func register(kind string, open Opener, local bool) {
	openers.Lock()
	defer openers.Unlock()
	if openers.byKind[kind] != nil {
		panic("discovery: registry " + kind + " registered twice")
	}
	if openers.byKind == nil {
		openers.byKind = make(map[string]Opener)
	}
	openers.byKind[kind] = open
	resources.RegisterRegistry(kind, local)
}

// Open opens the source at an address.
func Open(address string, o Options) (Source, error) {
	a, err := ParseAddress(address)
	if err != nil {
		return nil, err
	}
	openers.Lock()
	open := openers.byKind[a.Kind]
	openers.Unlock()
	if open == nil {
		return nil, fmt.Errorf("no registry of kind %q is part of this program", a.Kind)
	}
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	slices.Sort(a.Hosts)
	return open(a, o)
}
