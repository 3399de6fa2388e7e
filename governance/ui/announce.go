package ui

import "net/http"

// data is what each page shows first, by its path. public/start.js asks for the same, and gets the answers to what was announced.
var data = map[string]string{
	"/":          "/v1/overview",
	"/resources": "/v1/resources?brief",
	"/rules":     "/v1/resources",
	"/traffic":   "/v1/resources",
	"/agents":    "/v1/agents",
	"/commands":  "/v1/commands",
}

// announce tells the browser in the header of a page (RFC 8288, and preload of the HTML standard) what its script will ask for, so
// that it asks before the script is there. Nothing is announced to whoever comes to log in.
func announce(head http.Header, path string) {
	if path == "/login" {
		return
	}
	head.Add("Link", link("/v1/me"))
	if d := data[path]; d != "" {
		head.Add("Link", link(d))
	}
}

// link is that of something that is asked for as fetch of a page's own origin does.
func link(path string) string { return "<" + path + ">; rel=preload; as=fetch; crossorigin" }
