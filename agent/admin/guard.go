package admin

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// guard refuses what a browser sends on behalf of a foreign page.
//
// Host: a page of evil.example whose name is re-bound to 127.0.0.1 sends "Host: evil.example". An address cannot be
// re-bound, so addresses pass; of names, only those that are known to be ours.
//
// Origin: browsers send it with every request that is not same-origin, and with every one that changes state.
func (s *Server) guard(r *http.Request) *Error {
	host := hostname(r.Host)
	if !s.ourHost(host) {
		return &Error{http.StatusForbidden, "bad_host",
			"the Host " + quoted(host) + " is not this agent's: use its address, localhost, or the name in agent.admin", ""}
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return &Error{http.StatusForbidden, "bad_origin", "the Origin " + quoted(origin) + " is not this agent's", ""}
		}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		return &Error{http.StatusForbidden, "bad_origin", "the request comes from another site's page", ""}
	}
	return nil
}

func (s *Server) ourHost(host string) bool {
	if net.ParseIP(host) != nil || strings.EqualFold(host, "localhost") {
		return true
	}
	for _, h := range s.hosts {
		if strings.EqualFold(h, host) {
			return true
		}
	}
	return false
}

// hostname cuts the port and the brackets off.
func hostname(hostport string) string {
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		return h
	}
	return strings.Trim(hostport, "[]")
}

// quoted shortens what a stranger sent.
func quoted(s string) string {
	if len(s) > 80 {
		s = s[:80] + "..."
	}
	return `"` + strings.Map(func(r rune) rune {
		if r < ' ' || r == '"' || r == 0x7f {
			return '?'
		}
		return r
	}, s) + `"`
}
