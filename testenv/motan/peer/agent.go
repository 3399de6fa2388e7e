package main

import motan "github.com/weibocom/motan-go"

// serveAgent runs motan-go's agent as it is; the configuration says everything. It never returns.
func serveAgent() {
	motan.NewAgent(extensions()).StartMotanAgent()
}
