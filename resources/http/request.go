package http

import (
	"github.com/sluice-mesh/sluice/protocols/http1"
	"github.com/sluice-mesh/sluice/resources"
)

// render writes a request as servers get it: without what is for the agent alone, and with who asks through it.
func (sh *shard) render(c *call, r *http1.Request, body []byte) {
	set, co := sh.r.set, c.co
	dst := r.AppendLine(c.req[:0])
	ownHost := set.Host != "" || r.Absolute || len(r.Host) == 0
	if ownHost {
		dst = sh.appendHost(dst, r)
	}
	forward := co.client != "" && set.Forwarded != forwardPass
	drop := func(f *http1.Field) bool {
		switch f.Known {
		case http1.Other, http1.ContentLength:
		case http1.Host:
			return ownHost
		case http1.Expect:
			return r.Continue // the agent says it, when the server is there
		case http1.TraceParent:
			return c.Trace.Sampled
		case http1.XForwardedFor:
			return forward
		case http1.XForwardedProto, http1.XForwardedHost:
			return forward && set.Forwarded == forwardReplace
		}
		return r.Hop(f)
	}
	dst = appendFields(dst, r.Whole, r.Fields, drop)
	if forward {
		dst = sh.appendForwarded(dst, co, r)
	}
	if c.Trace.Sampled {
		dst = append(append(append(append(dst, resources.TraceParent...), ": "...), resources.AppendTraceParent(sh.trace[:0], &c.Trace)...), "\r\n"...)
	}
	if set.Caller != "" && c.link.Caller == "" {
		dst = append(append(append(append(dst, set.Caller...), ": "...), c.link.Source...), "\r\n"...)
	}
	if c.wants {
		dst = append(append(append(dst, "Connection: Upgrade\r\nUpgrade: "...), r.Upgrade...), "\r\n"...)
	}
	if b := r.Body(); b.Framing() == http1.Chunked {
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	c.req = append(append(dst, "\r\n"...), body...)
}

// appendFields appends the lines of a head that are not dropped, whole runs of them at once.
func appendFields(dst, head []byte, fields []http1.Field, drop func(*http1.Field) bool) []byte {
	from, to := 0, 0
	for i := range fields {
		f := &fields[i]
		if drop(f) {
			continue
		}
		if f.Start != to {
			dst = append(dst, head[from:to]...)
			from = f.Start
		}
		to = f.End
	}
	return append(dst, head[from:to]...)
}

// appendHost appends the Host that servers get when it is not the client's own line.
func (sh *shard) appendHost(dst []byte, r *http1.Request) []byte {
	dst = append(dst, "Host: "...)
	switch {
	case sh.r.set.Host != "":
		dst = append(dst, sh.r.set.Host...)
	case len(r.Host) > 0:
		dst = append(dst, r.Host...)
	default: // HTTP/1.0 need not have one
		dst = append(dst, sh.r.set.service(sh.rt.Name())...)
	}
	return append(dst, "\r\n"...)
}

// appendForwarded appends for whom the agent asks.
func (sh *shard) appendForwarded(dst []byte, co *conn, r *http1.Request) []byte {
	replace := sh.r.set.Forwarded == forwardReplace
	dst = append(dst, "X-Forwarded-For: "...)
	proto, host := replace, replace // to be written
	if !replace {
		proto, host = true, true
		for i := range r.Fields {
			switch f := &r.Fields[i]; f.Known {
			case http1.XForwardedFor:
				dst = append(append(dst, f.Value...), ", "...)
			case http1.XForwardedProto:
				proto = false
			case http1.XForwardedHost:
				host = false
			}
		}
	}
	dst = append(append(dst, co.client...), "\r\n"...)
	if proto {
		dst = append(dst, "X-Forwarded-Proto: http"...)
		if co.secure {
			dst = append(dst, 's')
		}
		dst = append(dst, "\r\n"...)
	}
	if host && len(r.Host) > 0 {
		dst = append(append(append(dst, "X-Forwarded-Host: "...), r.Host...), "\r\n"...)
	}
	return dst
}
