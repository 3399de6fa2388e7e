package motan

import (
	"fmt"
	"strings"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
	"github.com/sluice-mesh/sluice/resources"
)

// codes are the errcodes of the agent's own answers. Those below 10020 are Java Motan's for the same thing.
var codes = [...]int{
	resources.Unavailable: motan2.CodeService,
	resources.Unknown:     10023,
	resources.Timeout:     motan2.CodeTimeout,
	resources.Limited:     motan2.CodeReject,
	resources.Degraded:    10021,
	resources.BreakerOpen: 10022,
	resources.Denied:      10024,
	resources.TooLarge:    motan2.CodeTooLong,
	resources.Draining:    10025,
}

// appendFault appends a fault as the exception that answers the request with head h. Its type is that of a service's
// failure, never of the service's own word.
func appendFault(dst []byte, h motan2.Head, f *resources.Fault) []byte {
	return motan2.AppendException(dst, h, motan2.Exception{
		Code: codes[f.Code], Type: motan2.Service, Text: f.Text,
		Unsent: f.Code == resources.Unavailable || f.Code == resources.Draining, Leaving: f.Code == resources.Draining,
	})
}

// AppendStop implements resources.Resource.
func (r *Resource) AppendStop(dst []byte, c *resources.Call, st *resources.Stop) []byte {
	own, ok := c.View.(*call)
	if !ok {
		own = &call{}
	}
	if st.Fault != nil {
		return own.appendFault(dst, st.Fault)
	}
	out, err := own.appendFixed(dst, st)
	if err != nil {
		return own.appendFault(dst, resources.NewFault(resources.Degraded, resources.FromAgent, r.rt.Name(), "the answer that a rule gives cannot be written: "+err.Error()))
	}
	return out
}

// appendFault appends a fault as the answer to the call.
func (c *call) appendFault(dst []byte, f *resources.Fault) []byte {
	if c.v1 != 0 {
		return appendFault1(dst, c.v1, c.head.ID, f)
	}
	return appendFault(dst, c.head, f)
}

// jsonPrefix begins a reply that is a value of any type.
const jsonPrefix = "json:"

// fixed is the value that a rule answers with: null, a text, or what JSON says, whose numbers may have hints ({"$int32": 5}), because
// callers take no other type than that of the method.
func fixed(st *resources.Stop) (any, error) {
	text, isJSON := strings.CutPrefix(st.Reply, jsonPrefix)
	switch {
	case st.Empty:
		return nil, nil
	case isJSON:
		return serial.ParseJSON([]byte(text), serial.Limits{})
	}
	return st.Reply, nil
}

// appendFixed appends what a rule answers with, in the serialization of the caller.
func (c *call) appendFixed(dst []byte, st *resources.Stop) ([]byte, error) {
	if c.v1 != 0 {
		return appendFixed1(dst, c.v1, c.head.ID, st)
	}
	codec, ok := serial.For(serial.ID(c.head.Serialization))
	if !ok {
		return nil, fmt.Errorf("the caller's serialization is %s", serial.ID(c.head.Serialization))
	}
	v, err := fixed(st)
	if err != nil {
		return nil, err
	}
	body, err := codec.Append(nil, v)
	if err != nil {
		return nil, err
	}
	h := c.head
	h.Type = motan2.TypeResponse
	return motan2.Append(dst, h, nil, body), nil
}

// business reports whether an exception is the service's own word, and not that of a framework or an agent around it.
func business(answer *motan2.Frame) bool {
	_, kind := motan2.ParseException(answer.Meta.Get(motan2.KeyException))
	return kind == motan2.Biz
}

// unserved reports whether an exception says that the request which it answers was not served, and whether that is because no
// server executed it, or because nobody knows. No server did when it had no thread for it, when it does not have the service at
// all, and when an agent in between says so. An agent in between that lost the connection to the server does not know.
func unserved(answer *motan2.Frame) (fault resources.Code, code int, ok bool) {
	code, kind := motan2.ParseException(answer.Meta.Get(motan2.KeyException))
	switch {
	case kind == motan2.Biz:
		return 0, code, false
	case code == motan2.CodeReject, code == motan2.CodeNoProvider, code == motan2.CodeNotFound, answer.Meta.Get(motan2.KeyUnsent) != nil:
		return resources.Unavailable, code, true
	}
	return resources.Unknown, code, code == codes[resources.Unknown]
}
