package httpapi

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Guard refuses what a browser sends on behalf of a foreign page. hosts are names, beside addresses and localhost, that are ours;
// what says who we are in messages: "this agent's".
//
// Host: a page of evil.example whose name is re-bound to 127.0.0.1 sends "Host: evil.example". An address cannot be
// re-bound, so addresses pass; of names, only those that are known to be ours.
//
// Origin: browsers send it with every request that is not same-origin, and with every one that changes state.
func Guard(r *http.Request, hosts []string, what string) *Error {
	if e := GuardHost(r, hosts, what); e != nil {
		return e
	}
	return GuardOrigin(r, what)
}

// GuardHost is the first half of [Guard].
func GuardHost(r *http.Request, hosts []string, what string) *Error {
	host := Hostname(r.Host)
	ours := net.ParseIP(host) != nil || strings.EqualFold(host, "localhost") ||
		slices.ContainsFunc(hosts, func(h string) bool { return strings.EqualFold(h, host) })
	if !ours {
		return &Error{http.StatusForbidden, "bad_host",
			"the Host " + Quoted(host) + " is not " + what + ": use its address, localhost, or a name that it was told is its own", "", nil}
	}
	return nil
}

// GuardOrigin is the second half of [Guard].
func GuardOrigin(r *http.Request, what string) *Error {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return &Error{http.StatusForbidden, "bad_origin", "the Origin " + Quoted(origin) + " is not " + what, "", nil}
		}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		return &Error{http.StatusForbidden, "bad_origin", "the request comes from another site's page", "", nil}
	}
	return nil
}

// Hostname cuts the port and the brackets off.
func Hostname(hostport string) string {
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		return h
	}
	return strings.Trim(hostport, "[]")
}

// Client names who is at the other end, for logs and authors.
func Client(r *http.Request) string {
	if r.RemoteAddr == "" || strings.HasPrefix(r.RemoteAddr, "@") {
		return "local"
	}
	return Hostname(r.RemoteAddr)
}

// Quoted shortens what a stranger sent, for messages.
func Quoted(s string) string {
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
