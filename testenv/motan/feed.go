package motan

import "github.com/sluice-mesh/sluice/testenv/server"

// Services of a Feed, in the group that is its place, version Version. Get of the first takes an int64 and answers with a
// map[string]string whose "place" is the server's; Timeline of the second takes one and answers with a []string whose first is.
const (
	UserService = "demo.UserService"
	FeedService = "demo.FeedService"
)

// Feed describes a motan-go server with two services as people write them, for the demo.
type Feed struct {
	Place   string // where it is
	Program string // that of motan-go; default built now
}

// ServeFeed starts the server on a free port, and waits until it serves.
func ServeFeed(t server.TB, f Feed) *ServerProcess {
	t.Helper()
	c := struct {
		Place   string `json:"place"`
		Address string `json:"address"`
	}{f.Place, server.FreeAddr(t)}
	p := &ServerProcess{Addr: c.Address, Name: c.Place}
	p.Process = server.Start(t, server.Program{
		Kind:    "motan-feed",
		Command: command(t, Go, f.Program, "feed", c),
		Ready:   func(p *server.Process) error { return ready(p, c.Address) },
	})
	return p
}
