package http

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-mesh/sluice/protocols/http1"
	"github.com/sluice-mesh/sluice/resources"
)

// maxRoutes is how many routes a service may have, so that all of them with their methods are operations of their own.
const maxRoutes = 100

// route is a pattern of requests.
type route struct {
	method  string // "": any
	pattern string // of paths
}

// parseRoutes reads the routes of a field of the settings.
func parseRoutes(field string, texts []string) ([]route, error) {
	if len(texts) > maxRoutes {
		return nil, resources.At(field, fmt.Errorf("there are %d: at most %d", len(texts), maxRoutes))
	}
	var out []route
	var errs []error
	for i, text := range texts {
		r, err := parseRoute(text)
		out = append(out, r)
		errs = append(errs, resources.At(fmt.Sprintf("%s[%d]", field, i), err))
	}
	return out, errors.Join(errs...)
}

// parseRoute reads "METHOD /path" or "/path", in which * stands for anything.
func parseRoute(text string) (route, error) {
	method, pattern, two := strings.Cut(text, " ")
	if !two {
		method, pattern = "", text
	}
	if two && (!http1.IsToken(method) || strings.ToUpper(method) != method) || pattern == "" || pattern[0] != '/' && pattern != "*" ||
		!http1.IsTarget(pattern) || strings.Contains(pattern, "?") || len(text) > longest {
		return route{}, fmt.Errorf("%q is no route: write /PATH or METHOD /PATH, in which * stands for anything", text)
	}
	return route{method, pattern}, nil
}

func (r *route) matches(method, path []byte) bool {
	return (r.method == "" || r.method == string(method)) && resources.Glob(r.pattern, path)
}

// classes are what methods do (RFC 9110, 9.2.1).
var classes = [http1.NumMethods]resources.Class{
	http1.GET: resources.ClassRead, http1.HEAD: resources.ClassRead, http1.OPTIONS: resources.ClassRead, http1.TRACE: resources.ClassRead,
	http1.POST: resources.ClassWrite, http1.PUT: resources.ClassWrite, http1.PATCH: resources.ClassWrite, http1.DELETE: resources.ClassWrite,
	http1.CONNECT: resources.ClassStream,
}

// infoOf describes a method, at a route if the name says so.
func infoOf(m http1.Method, name string) resources.OpInfo {
	in := resources.OpInfo{Name: name, Class: classes[m], Retry: resources.RetryUnsent}
	if in.Class == resources.ClassRead {
		in.Retry = resources.RetryIdempotent
	}
	return in
}

// Ops implements resources.Driver: the methods. Routes are added when they are called.
func (d *Driver) Ops() []resources.OpInfo {
	var out []resources.OpInfo
	for m := http1.GET; m < http1.NumMethods; m++ {
		out = append(out, infoOf(m, m.String()))
	}
	return out
}

// methodOps are the operations of a route by their method; 0: not known yet, or other.
type methodOps [http1.NumMethods]resources.OpID

// describe says which operation a request is, what it does, and when it may be sent again.
func (sh *shard) describe(c *call, r *http1.Request) {
	c.Op = sh.operation(r)
	in := infoOf(r.Method, "")
	c.Class, c.Retry = in.Class, in.Retry
	if c.Class == resources.ClassRead {
		return
	}
	for i := range sh.r.set.idempotent {
		if sh.r.set.idempotent[i].matches(r.MethodText, c.path) {
			c.Class, c.Retry = resources.ClassRead, resources.RetryIdempotent
			return
		}
	}
}

func (sh *shard) operation(r *http1.Request) resources.OpID {
	if r.Method == http1.OtherMethod {
		return resources.OpOther
	}
	for i := range sh.r.set.routes {
		if t := &sh.r.set.routes[i]; t.matches(r.MethodText, r.Path()) {
			return sh.learn(&sh.routed[i], r.Method, t.pattern)
		}
	}
	return sh.learn(&sh.methods, r.Method, "")
}

// learn returns the operation of a method, and makes it one when it was not called before.
func (sh *shard) learn(at *methodOps, m http1.Method, pattern string) resources.OpID {
	if id := at[m]; id != resources.OpOther {
		return id
	}
	name := m.String()
	if pattern != "" {
		name += " " + pattern
	}
	id, grew := sh.rt.Ops().Intern(infoOf(m, name))
	if grew {
		sh.rt.OpsChanged()
	}
	at[m] = id
	return id
}
