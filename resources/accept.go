package resources

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// Accept says in which protocols, other than its own, a resource can be called. What comes in them is converted into calls
// of the resource: see agent/gateway.
type Accept struct {
	HTTP   *AcceptHTTP  `yaml:"http,omitempty" json:"http,omitempty" doc:"HTTP, for a resource of kind motan2: POST /METHOD with the arguments as JSON" reload:"live"`
	Motan2 *AcceptMotan `yaml:"motan2,omitempty" json:"motan2,omitempty" doc:"Motan, for a resource of kind http or grpc" reload:"live"`
}

// AcceptHTTP is HTTP for a service of Motan.
type AcceptHTTP struct {
	Listen        Addresses `yaml:"listen" json:"listen" doc:"where clients of HTTP connect, which nothing else can share" required:"true" reload:"drain"`
	Serialization string    `yaml:"serialization,omitempty" json:"serialization" doc:"how arguments are written for the servers of the service" default:"simple" bounds:"simple, breeze, grpc-pb" reload:"drain"`
	MaxBody       Size      `yaml:"max-body,omitempty" json:"max-body" doc:"longest body of a request" default:"10MiB" bounds:"1KiB to 256MiB" reload:"drain"`
}

// SetDefaults fills in what is not written.
func (a *AcceptHTTP) SetDefaults() { a.Serialization, a.MaxBody = "simple", 10<<20 }

// AcceptMotan is Motan for a service of another kind.
type AcceptMotan struct {
	Listen  Addresses `yaml:"listen" json:"listen" doc:"where Motan clients connect; resources of kind motan2 may have the same address" required:"true" reload:"drain"`
	Service string    `yaml:"service,omitempty" json:"service,omitempty" doc:"name of the service as Motan clients write it (M_p); default: what it is called in registries" reload:"live"`
	Version string    `yaml:"version,omitempty" json:"version,omitempty" doc:"version of the service (M_v); empty: whatever callers write" reload:"live"`
	Groups  []string  `yaml:"groups,omitempty" json:"groups,omitempty" doc:"groups that callers may ask for (M_g), which does not say where their calls go; default: those of the resource" reload:"live"`
	Errors  string    `yaml:"errors,omitempty" json:"errors" doc:"what a status of 400 and more becomes: an exception of the service with the status as its code, or an answer like any other; of a resource of kind http" default:"exception" bounds:"exception, answer" reload:"live"`
}

// SetDefaults fills in what is not written.
func (a *AcceptMotan) SetDefaults() { a.Errors = "exception" }

// The kinds whose names the conversions need.
const (
	kindMotan = "motan2"
	kindHTTP  = "http"
	kindGRPC  = "grpc"
)

// accepted are the kinds that can be called in another protocol.
var accepted = map[string][]string{kindHTTP: {kindMotan}, kindMotan: {kindHTTP, kindGRPC}}

// Check says what is wrong with a for a resource of a kind; nil when nothing is, or when there is none.
func (a *Accept) Check(kind string) error {
	if a == nil {
		return nil
	}
	refuse := func(protocol string, there bool) error {
		kinds := accepted[protocol]
		if !there || slices.Contains(kinds, kind) {
			return nil
		}
		return At("accept."+protocol, fmt.Errorf("calls that come as %s are converted for resources of kind %s, and this is one of kind %s", protocol, strings.Join(kinds, " or "), kind))
	}
	return errors.Join(refuse(kindHTTP, a.HTTP != nil), refuse(kindMotan, a.Motan2 != nil))
}

// Face is one way to call a resource: the protocol, and what tells its requests from those for others. There is the
// resource's own, and one for each protocol that it accepts besides.
type Face struct {
	Declared        // Spec.Listen are the addresses of this face
	Driver   Driver // of the protocol; nil: it shares addresses with nobody
	Path     string // where in the resource's declaration the addresses are: "listen", "accept.http.listen"
}

// Faces returns all ways to call a resource, its own first. It returns an error, with the field, for an Accept that makes
// no sense for it.
func Faces(d Driver, own Declared) ([]Face, error) {
	faces := []Face{{own, d, "listen"}}
	a := own.Spec.Accept
	if a == nil {
		return faces, nil
	}
	if err := a.Check(own.Spec.Kind); err != nil {
		return nil, err
	}
	if a.HTTP != nil {
		faces = append(faces, Face{Declared: Declared{Spec: own.Spec.as("", a.HTTP.Listen, nil), Settings: struct{}{}}, Path: "accept.http.listen"})
	}
	if a.Motan2 != nil {
		f, err := motanFace(a.Motan2, own)
		if err != nil {
			return nil, At("accept.motan2", err)
		}
		faces = append(faces, f)
	}
	return faces, nil
}

// motanFace is a resource as one of kind motan2 would be.
func motanFace(a *AcceptMotan, own Declared) (Face, error) {
	d, err := DriverOf(kindMotan)
	if err != nil {
		return Face{}, err
	}
	path := a.Service
	if r, ok := own.Settings.(Registered); ok && path == "" {
		path = r.RegisteredAs(own.Spec.Name, "").Path
	}
	text, err := json.Marshal(map[string]string{"service": path, "version": a.Version})
	if err != nil {
		return Face{}, err
	}
	set, err := d.Settings(func(into any) error { return json.Unmarshal(text, into) })
	if err != nil {
		return Face{}, err
	}
	groups := a.Groups
	if len(groups) == 0 {
		groups = own.Spec.GroupNames()
	}
	return Face{Declared{own.Spec.as(kindMotan, a.Listen, groups), set}, d, "accept.motan2.listen"}, nil
}

// as returns what of a spec callers in another protocol see.
func (s *Spec) as(kind string, listen Addresses, groups []string) *Spec {
	out := &Spec{Name: s.Name, Kind: kind, Listen: listen, Policy: s.Policy, TLS: s.TLS, Groups: make(map[string]Group, len(groups))}
	for _, g := range groups {
		out.Groups[g] = Group{}
	}
	return out
}

// Hosting is an optional capability of a [Door]: services of other kinds can be called at its address, in its protocol.
type Hosting interface {
	// Host says which guests there are from now on, besides the resources that Lead names. Requests that are under way stay
	// where they are.
	Host(guests []*Guest)
}

// Guest is a service of another kind, as a [Door] sees it. The same service stays the same Guest for as long as nothing about
// it changes.
type Guest struct {
	Declared // as one of the door's own kind would be
	// Enter begins with a client: it is called on the client's event loop and does not block.
	Enter func(client net.Addr) Visit
}

// Visit is one client at a [Guest]. Its methods are called on the client's event loop and do not block.
type Visit interface {
	// Ask takes a request, whole and in the door's protocol; the bytes are the door's again when it returns. answer is called
	// once, from any goroutine, with an answer in the door's protocol that has the request's id, unless the
	// request was canceled before. Whether anybody is to hear the answer is the door's business.
	Ask(request []byte, answer func([]byte)) (cancel func())
	// Close ends the visit when the client is gone. Requests that are under way are canceled.
	Close()
}

// Called is an optional capability of [Settings]: by which host or authority a resource is called by one that knows nothing else.
type Called interface {
	CalledAs(resource string) string
}
