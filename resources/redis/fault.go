package redis

import (
	"strings"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
)

// words are the first words of the agent's own errors. A client library reads the first word as the kind of error.
var words = map[resources.Code]string{
	resources.Unavailable: "UNAVAILABLE",
	resources.Unknown:     "UNKNOWN",
	resources.Timeout:     "TIMEOUT",
	resources.Limited:     "LIMITED",
	resources.Degraded:    "DEGRADED",
	resources.BreakerOpen: "BREAKER",
	resources.Denied:      "NOPERM",
	resources.TooLarge:    "ERR",
	resources.Draining:    "UNAVAILABLE",
}

// appendFault appends a fault as an error reply. Injected faults bring their own text, whose first word they choose.
func appendFault(dst []byte, f *resources.Fault) []byte {
	if !strings.HasPrefix(f.Text, "sluice: ") {
		return resp.AppendError(dst, f.Text)
	}
	dst = append(dst, '-')
	dst = append(dst, words[f.Code]...)
	dst = append(dst, ' ')
	dst = append(dst, f.Text...)
	return append(dst, '\r', '\n')
}

// appendFixed appends an operator's text as a reply: a RESP value is sent as it is when it is exactly one, and any other
// text as a string.
func appendFixed(dst []byte, text string) []byte {
	raw := strings.NewReplacer(`\r`, "\r", `\n`, "\n").Replace(text)
	if len(raw) > 0 && strings.IndexByte("+-:$*_,#!=(%~", raw[0]) >= 0 {
		if !strings.HasSuffix(raw, "\r\n") {
			raw += "\r\n"
		}
		if _, n, err := resp.Decode([]byte(raw)); err == nil && n == len(raw) {
			return append(dst, raw...)
		}
	}
	return resp.AppendBulkString(dst, text)
}

// Kinds of empty answers. Reads that are not listed answer null.
const (
	emptyZero = iota + 1
	emptyArray
	emptyMap
	emptySet
	emptyNulls // one null for each element asked for
	emptyZeros
	emptyScan
	emptyMissing // -2, as TTL says of a key that is not there
	emptyNone    // +none
)

var empties = map[string]uint8{
	"STRLEN": emptyZero, "LLEN": emptyZero, "SCARD": emptyZero, "HLEN": emptyZero, "ZCARD": emptyZero, "EXISTS": emptyZero,
	"HEXISTS": emptyZero, "SISMEMBER": emptyZero, "ZCOUNT": emptyZero, "ZLEXCOUNT": emptyZero, "BITCOUNT": emptyZero,
	"GETBIT": emptyZero, "PFCOUNT": emptyZero, "XLEN": emptyZero, "TOUCH": emptyZero, "DBSIZE": emptyZero,
	"SINTERCARD": emptyZero, "ZINTERCARD": emptyZero, "HSTRLEN": emptyZero,
	"KEYS": emptyArray, "LRANGE": emptyArray, "HKEYS": emptyArray, "HVALS": emptyArray, "ZRANGE": emptyArray,
	"ZREVRANGE": emptyArray, "ZRANGEBYSCORE": emptyArray, "ZREVRANGEBYSCORE": emptyArray, "ZRANGEBYLEX": emptyArray,
	"ZREVRANGEBYLEX": emptyArray, "ZINTER": emptyArray, "ZUNION": emptyArray, "ZDIFF": emptyArray, "XRANGE": emptyArray,
	"XREVRANGE": emptyArray, "GEOSEARCH": emptyArray, "GEORADIUS_RO": emptyArray, "GEORADIUSBYMEMBER_RO": emptyArray,
	"SORT_RO": emptyArray, "HGETALL": emptyMap, "SMEMBERS": emptySet, "SINTER": emptySet, "SUNION": emptySet,
	"SDIFF": emptySet, "MGET": emptyNulls, "HMGET": emptyNulls, "ZMSCORE": emptyNulls, "GEOPOS": emptyNulls,
	"GEOHASH": emptyNulls, "SMISMEMBER": emptyZeros, "SCAN": emptyScan, "SSCAN": emptyScan, "HSCAN": emptyScan,
	"ZSCAN": emptyScan, "TTL": emptyMissing, "PTTL": emptyMissing, "EXPIRETIME": emptyMissing,
	"PEXPIRETIME": emptyMissing, "TYPE": emptyNone,
}

// appendEmpty appends what the operation answers when there is nothing. Only reads have such an answer: for anything
// else it would claim that something was done, so that is refused instead.
func appendEmpty(dst []byte, resource, op string, c *resources.Call, resp3 bool) []byte {
	if c.Class != resources.ClassRead {
		return resp.AppendError(dst, "DEGRADED sluice: "+resource+": "+op+" is degraded and only reads have an empty answer")
	}
	n := 0
	if s, ok := c.View.(*session); ok {
		n = max(0, s.req.Argc-2)
		if op == "MGET" {
			n = s.req.Argc - 1
		}
	}
	switch empties[op] {
	case emptyZero:
		return append(dst, ":0\r\n"...)
	case emptyArray:
		return append(dst, "*0\r\n"...)
	case emptyMap:
		return resp.AppendMap(dst, 0, resp3)
	case emptySet:
		if resp3 {
			return append(dst, "~0\r\n"...)
		}
		return append(dst, "*0\r\n"...)
	case emptyNulls:
		dst = resp.AppendArray(dst, n)
		for range n {
			dst = resp.AppendNull(dst, resp3)
		}
		return dst
	case emptyZeros:
		dst = resp.AppendArray(dst, n)
		for range n {
			dst = append(dst, ":0\r\n"...)
		}
		return dst
	case emptyScan:
		return append(dst, "*2\r\n$1\r\n0\r\n*0\r\n"...)
	case emptyMissing:
		return append(dst, ":-2\r\n"...)
	case emptyNone:
		return append(dst, "+none\r\n"...)
	}
	return resp.AppendNull(dst, resp3)
}
