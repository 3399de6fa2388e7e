package http1

// Known is a field whose name means something to a proxy.
type Known uint8

// The fields. Those from Connection on are for the next hop alone.
const (
	Other Known = iota
	Host
	ContentLength
	Expect
	TraceParent
	XForwardedFor
	XForwardedProto
	XForwardedHost
	SluiceFault
	Connection
	KeepAlive
	ProxyConnection
	ProxyAuthorization
	ProxyAuthenticate
	TE
	Trailer
	TransferEncoding
	Upgrade
	firstHop = Connection
)

// known finds out which field a name is.
func known(name []byte) Known {
	switch len(name) {
	case 2:
		return either(name, "te", TE)
	case 4:
		return either(name, "host", Host)
	case 6:
		return either(name, "expect", Expect)
	case 7:
		switch name[0] | 0x20 {
		case 'u':
			return either(name, "upgrade", Upgrade)
		case 't':
			return either(name, "trailer", Trailer)
		}
	case 10:
		switch name[0] | 0x20 {
		case 'c':
			return either(name, "connection", Connection)
		case 'k':
			return either(name, "keep-alive", KeepAlive)
		}
	case 11:
		return either(name, "traceparent", TraceParent)
	case 12:
		return either(name, "sluice-fault", SluiceFault)
	case 14:
		return either(name, "content-length", ContentLength)
	case 15:
		return either(name, "x-forwarded-for", XForwardedFor)
	case 16:
		switch name[0] | 0x20 {
		case 'p':
			return either(name, "proxy-connection", ProxyConnection)
		case 'x':
			return either(name, "x-forwarded-host", XForwardedHost)
		}
	case 17:
		switch name[0] | 0x20 {
		case 't':
			return either(name, "transfer-encoding", TransferEncoding)
		case 'x':
			return either(name, "x-forwarded-proto", XForwardedProto)
		}
	case 18:
		return either(name, "proxy-authenticate", ProxyAuthenticate)
	case 19:
		return either(name, "proxy-authorization", ProxyAuthorization)
	}
	return Other
}

func either(name []byte, want string, k Known) Known {
	if EqualFold(name, want) {
		return k
	}
	return Other
}
