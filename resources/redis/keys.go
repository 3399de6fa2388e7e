package redis

import (
	"bytes"

	"github.com/sluice-mesh/sluice/protocols/resp"
)

// keyRange is a run of key arguments: from, from+step ... not beyond last.
type keyRange struct{ from, last, step int }

// resolve finds the keys that one spec names in a request; an empty range when the request has none there.
func (k *keySpec) resolve(r *resp.Request, buf []byte) keyRange {
	begin := k.begin
	if k.keyword != "" {
		if begin = k.find(r, buf); begin < 0 {
			return keyRange{0, -1, 1}
		}
	}
	if k.counted {
		n, ok := atoi(r.Arg(buf, begin+k.count))
		if !ok || n < 0 || n > int64(r.Argc) {
			return keyRange{0, -1, 1}
		}
		from := begin + k.first
		return keyRange{from, min(from+int(n)*k.step-1, r.Argc-1), k.step}
	}
	last := begin + k.last
	if k.last < 0 {
		last = r.Argc + k.last
		if k.last == -1 && k.limit > 1 {
			last = begin + (r.Argc-begin)/k.limit - 1
		}
	}
	return keyRange{begin, min(last, r.Argc-1), k.step}
}

// find returns the index behind the spec's keyword, -1 when it is missing. A negative begin looks from the end.
func (k *keySpec) find(r *resp.Request, buf []byte) int {
	if k.begin < 0 {
		for i := r.Argc + k.begin; i > 0; i-- {
			if bytes.EqualFold(r.Arg(buf, i), []byte(k.keyword)) {
				return i + 1
			}
		}
		return -1
	}
	for i := k.begin; i < r.Argc; i++ {
		if bytes.EqualFold(r.Arg(buf, i), []byte(k.keyword)) {
			return i + 1
		}
	}
	return -1
}

// keyAt returns the i-th key of a request.
func (c *command) keyAt(r *resp.Request, buf []byte, i int) ([]byte, bool) {
	for n := range c.keys {
		kr := c.keys[n].resolve(r, buf)
		if kr.last < kr.from {
			continue
		}
		count := (kr.last-kr.from)/kr.step + 1
		if i < count {
			return r.Arg(buf, kr.from+i*kr.step), true
		}
		i -= count
	}
	return nil, false
}

// firstKey is keyAt(0) with a short cut for the common case.
func (c *command) firstKey(r *resp.Request, buf []byte) ([]byte, bool) {
	if at := c.only; at > 0 {
		return r.Arg(buf, at), at < r.Argc
	}
	if len(c.keys) == 0 {
		return nil, false
	}
	if k := &c.keys[0]; k.keyword == "" && !k.counted {
		if k.begin < r.Argc {
			return r.Arg(buf, k.begin), true
		}
		return nil, false
	}
	return c.keyAt(r, buf, 0)
}

// atoi reads a decimal integer as Redis does: no spaces, no plus sign, no leading zeros.
func atoi(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	neg := b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || b[0] == '0' && (len(b) > 1 || neg) {
		return 0, false
	}
	var n int64
	for _, c := range b {
		d := int64(c) - '0'
		if d < 0 || d > 9 || n > (1<<63-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	if neg {
		n = -n
	}
	return n, true
}
