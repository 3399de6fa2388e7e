package main

import (
	motan "github.com/weibocom/motan-go"
	"github.com/weibocom/motan-go/core"
	"github.com/weibocom/motan-go/server"
)

// extensions are motan-go's own, but for servers, which listen on their URL's host alone. A MotanServer does so for an
// agent's URL only, and listens on every interface for any other; so it gets a copy of its URL that looks like an agent's.
// What is registered is the URL itself.
func extensions() core.ExtensionFactory {
	f := motan.GetDefaultExtFactory()
	for _, name := range []string{server.Motan, server.Motan2} {
		f.RegistExtServer(name, func(u *core.URL) core.Server {
			local := u.Copy()
			local.Host = "127.0.0.1"
			local.PutParam(core.NodeTypeKey, core.NodeTypeAgent)
			return &server.MotanServer{URL: local}
		})
	}
	return f
}
