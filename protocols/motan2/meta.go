package motan2

import (
	"bytes"
	"encoding/binary"
)

// Keys of metadata.
const (
	KeyService     = "M_p"
	KeyMethod      = "M_m"
	KeyMethodDesc  = "M_md"
	KeyGroup       = "M_g"
	KeyVersion     = "M_v"
	KeySource      = "M_s"
	KeyTimeout     = "M_tmo" // ms
	KeyRequestID   = "M_rid" // the first caller's request id, signed and decimal
	KeyException   = "M_e"
	KeyFramework   = "M_fws"             // of a request to the framework of a server, not to a service
	KeyProcessTime = "M_pt"              // ms
	KeyUnsent      = "sluice_unsent"     // of an exception: no server got the request
	KeyTrace       = "traceparent"       // W3C trace context
	KeyHash        = "consistentHashKey" // motan-go: by what a hashing balance chooses the server

	// Names that Java clients use for the same things, besides the short ones or instead of them.
	KeyLongGroup   = "group"
	KeyLongVersion = "version"
	KeyLongSource  = "application"
)

// Meta is metadata as it is on the wire.
type Meta []byte

// Valid reports whether every key has a value.
func (m Meta) Valid() bool { return len(m) == 0 || bytes.Count(m, lf)%2 == 1 }

var lf = []byte{'\n'}

// Next returns the pair that begins at offset at, and the offset of the next one; ok is false at the end. A key without a
// value has an empty one.
func (m Meta) Next(at int) (key, value []byte, next int, ok bool) {
	if at >= len(m) {
		return nil, nil, at, false
	}
	i := bytes.IndexByte(m[at:], '\n')
	if i < 0 {
		return m[at:], nil, len(m), true
	}
	key, at = m[at:at+i], at+i+1
	if i = bytes.IndexByte(m[at:], '\n'); i < 0 {
		return key, m[at:], len(m), true
	}
	return key, m[at : at+i], at + i + 1, true
}

// Get returns the value of a key, the last if there are several; nil when there is none.
func (m Meta) Get(key string) (value []byte) {
	for at := 0; ; {
		k, v, next, ok := m.Next(at)
		if !ok {
			return value
		}
		if string(k) == key {
			value = v[:len(v):len(v)]
		}
		at = next
	}
}

// Call is what metadata says of a request. All of it points into the metadata; what is not there is nil.
type Call struct {
	Service, Method, Desc, Group, Version, Source, RequestID, Hash, Trace []byte
	LongGroup                                                             []byte // as KeyLongGroup has it, which Group is if there is no other
	Timeout                                                               int64  // ms; 0: none, or no number
}

// Call reads what is to be known of a request in one pass. The short names of keys count before the long ones.
func (m Meta) Call() (c Call) {
	var version, source []byte
	for at := 0; ; {
		k, v, next, ok := m.Next(at)
		if !ok {
			break
		}
		at = next
		switch len(k) {
		case 3:
			if k[0] != 'M' || k[1] != '_' {
				continue
			}
			switch k[2] {
			case 'p':
				c.Service = v
			case 'm':
				c.Method = v
			case 'g':
				c.Group = v
			case 'v':
				c.Version = v
			case 's':
				c.Source = v
			}
		case 4:
			if string(k) == KeyMethodDesc {
				c.Desc = v
			}
		case 5:
			switch string(k) {
			case KeyTimeout:
				c.Timeout = number(v)
			case KeyRequestID:
				c.RequestID = v
			case KeyLongGroup:
				c.LongGroup = v
			}
		case 7:
			if string(k) == KeyLongVersion {
				version = v
			}
		case 11:
			switch string(k) {
			case KeyLongSource:
				source = v
			case KeyTrace:
				c.Trace = v
			}
		case len(KeyHash):
			if string(k) == KeyHash {
				c.Hash = v
			}
		}
	}
	c.Group, c.Version, c.Source = first(c.Group, c.LongGroup), first(c.Version, version), first(c.Source, source)
	return c
}

func first(a, b []byte) []byte {
	if len(a) > 0 {
		return a
	}
	return b
}

// number reads a positive decimal number of at most nine digits; 0 when v is none.
func number(v []byte) int64 {
	if len(v) == 0 || len(v) > 9 {
		return 0
	}
	n := int64(0)
	for _, d := range v {
		if d < '0' || d > '9' {
			return 0
		}
		n = 10*n + int64(d-'0')
	}
	return n
}

// AppendPair appends a pair to metadata that is empty or whole.
func AppendPair[T string | []byte](m []byte, key string, value T) []byte {
	if len(m) > 0 {
		m = append(m, '\n')
	}
	return append(append(append(m, key...), '\n'), value...)
}

// Edit is a change of one pair of metadata.
type Edit struct {
	Key   string
	Value []byte // without a LF
	// Replace changes the pair only where it is there; otherwise it is appended where it is not.
	Replace bool
}

// AppendEdited appends the frame f with another head and with edits of its metadata. The body, and every pair that no
// edit names, is as it was, in the order in which it was. f.Meta must be valid. Of edits with the same key the first
// counts; at most 64 are taken.
func AppendEdited(dst []byte, f *Frame, h Head, edits ...Edit) []byte {
	at := len(dst)
	dst = appendHead(dst, h, 0)
	begin := len(dst)
	done := uint64(0) // edits whose key was there
	same := 0         // f.Meta up to here was copied
	for pos := 0; len(edits) > 0; {
		key, value, next, ok := f.Meta.Next(pos)
		if !ok {
			break
		}
		for i := range edits {
			if e := &edits[i]; string(key) == e.Key {
				from := pos + len(key) + 1
				dst = append(append(dst, f.Meta[same:from]...), e.Value...)
				same = from + len(value)
				done |= 1 << i
				break
			}
		}
		pos = next
	}
	dst = append(dst, f.Meta[same:]...)
	for i := range edits {
		if e := &edits[i]; done&(1<<i) == 0 && !e.Replace {
			if len(dst) > begin {
				dst = append(dst, '\n')
			}
			dst = append(append(append(dst, e.Key...), '\n'), e.Value...)
		}
	}
	binary.BigEndian.PutUint32(dst[at+headSize:], uint32(len(dst)-begin))
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(f.Body))), f.Body...)
}
