// Package manage lets applications register their services with the agent and subscribe to those of others while it runs, by the
// requests that they send to motan-go's agent: Java's registry "weibomesh", motan-go's registry "mesh", and scripts of PHP.
//
//	POST /registry/register    {"protocol":"motan2","host":"10.0.0.9","port":8001,"path":"com.weibo.FeedService",
//	POST /registry/unregister   "group":"yf-feed","parameters":{"version":"1.0","proxyRegistry":"zk"}}
//	POST /registry/subscribe
//	GET  /registry/list        what is registered and subscribed
//	GET  /registry/info        {"mesh_port":9981}: where subscribed services are called
//
// Applications may also have the agent tell others something of itself, and so of the services beside it, while it runs; those
// who call them ask for the weight META_WEIGHT, 1 to 500. It is gone with the process, as motan-go's is.
//
//	POST /meta/update?META_WEIGHT=20   sets pairs, which may come as a form as well
//	POST /meta/delete?key=META_WEIGHT
//	GET  /meta/get?key=META_WEIGHT
//	GET  /meta/getAll                  {"result":"ok","data":{"meta":{"META_WEIGHT":"20"}}}
//
// An answer to the paths below /registry/ is {"code":200,"message":"ok"}, and its status is its code. motan-go's agent says so too of what failed; this one does
// not.
//
// The registry is one of those that the agent's configuration names, and nothing else: whoever may connect to a port of the
// loopback can ask, and must not make the agent connect to anywhere.
package manage
