package agent

import (
	"reflect"
	"time"

	"github.com/sluice-mesh/sluice/agent/gateway"
	"github.com/sluice-mesh/sluice/resources"
)

// converter is what of a resource is called in other protocols than its own. It calls the resource by an entrance that it has
// to itself. What of it is the same after a change stays, and so do its clients' connections.
type converter struct {
	entrance *entrance
	http     *gateway.HTTP // nil: not called over HTTP
	asked    gateway.HTTPOptions
	guest    *resources.Guest // nil: not called over Motan
	options  gateway.GuestOptions
}

// faces are the ways to call a resource. What is wrong with them was found when it was declared.
func (d *declared) faces() []resources.Face {
	faces, err := resources.Faces(d.Driver, resources.Declared{Spec: d.Spec, Settings: d.Settings})
	if err != nil {
		return nil
	}
	return faces
}

// innerKey is the key of the entrance by which a resource's converter calls it.
func innerKey(resource string) string { return "accept " + resource }

// converts takes over or makes the converter of a resource that accepts other protocols, and the entrance by which it calls.
func (p *plan) converts(d *declared) error {
	name := d.Spec.Name
	if err := p.entrance(innerKey(name), d.sharing(), name); err != nil {
		return err
	}
	e := p.entrances[innerKey(name)]
	e.inner = true
	old := p.set.gateways[name]
	if old == nil || old.entrance != e {
		old = &converter{}
	}
	c := &converter{entrance: e}
	service := resources.Service{Path: name}
	if r, ok := d.Settings.(resources.Registered); ok {
		service = r.RegisteredAs(name, "")
	}
	if a := d.Spec.Accept.HTTP; a != nil {
		c.asked = gateway.HTTPOptions{
			Resource: name, Service: service.Path, Version: service.Version, Serialization: a.Serialization, MaxBody: int64(a.MaxBody), Idle: time.Duration(d.Spec.Policy.IdleTimeout),
		}
		if c.http = old.http; c.http == nil || c.asked != old.asked {
			var err error
			if c.http, err = gateway.NewHTTP(c.asked, gateway.Dial(e.door.Serve), p.set.log); err != nil {
				return err
			}
			p.converted = append(p.converted, c.http)
		}
	}
	if d.Spec.Accept.Motan2 != nil {
		p.guest(c, old, d, service.Path)
	}
	p.gateways[name] = c
	return nil
}

// guest gives the converter of a resource what Motan clients call; path is what the service is called in registries.
func (p *plan) guest(c, old *converter, d *declared, path string) {
	name := d.Spec.Name
	o := gateway.GuestOptions{Resource: name, Authority: name, Errors: d.Spec.Accept.Motan2.Errors != "answer", Calls: &p.set.converting}
	for _, f := range d.faces() {
		if f.Path == "accept.motan2.listen" {
			o.As = f.Declared
		}
	}
	if called, ok := d.Settings.(resources.Called); ok {
		o.Authority = called.CalledAs(name)
	}
	open := gateway.NewHTTPGuest
	if d.Spec.Kind == "grpc" {
		open = gateway.NewGRPCGuest
		if path != name { // else it has none of its own
			o.Service = path
		}
	}
	if c.options = o; old.guest != nil && reflect.DeepEqual(o, old.options) {
		c.guest = old.guest
		return
	}
	c.guest = open(o, gateway.Dial(c.entrance.door.Serve))
}

// ended returns what serves clients of HTTP in one set of converters and not in another.
func ended(before, after map[string]*converter) (out []*gateway.HTTP) {
	for name, c := range before {
		if now := after[name]; c.http != nil && (now == nil || now.http != c.http) {
			out = append(out, c.http)
		}
	}
	return out
}
