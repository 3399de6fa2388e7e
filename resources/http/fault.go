package http

import (
	"net/http"
	"strconv"

	"github.com/sluice-mesh/sluice/protocols/http1"
	"github.com/sluice-mesh/sluice/resources"
)

// statuses are those of the agent's own answers.
var statuses = [...]int{
	resources.Unavailable: 503,
	resources.Unknown:     502,
	resources.Timeout:     504,
	resources.Limited:     429,
	resources.Degraded:    503,
	resources.BreakerOpen: 503,
	resources.Denied:      403,
	resources.TooLarge:    413,
	resources.Draining:    503,
}

// appendFault appends a fault as the answer to a request. Its word is in the field Sluice-Fault, which tells it from an
// answer of the service.
func appendFault(dst []byte, f *resources.Fault, keep bool, m http1.Method) []byte {
	return appendText(dst, statuses[f.Code], f.Code.String(), f.Text, keep, m)
}

// appendText appends an answer of one line of text. fault is its word; "": none.
func appendText(dst []byte, status int, fault, text string, keep bool, m http1.Method) []byte {
	dst = appendOwn(dst, status)
	if fault != "" {
		dst = append(append(append(dst, "Sluice-Fault: "...), fault...), "\r\n"...)
	}
	return appendBody(dst, "text/plain; charset=utf-8", text, "\n", keep, m)
}

func appendOwn(dst []byte, status int) []byte {
	dst = strconv.AppendInt(append(dst, "HTTP/1.1 "...), int64(status), 10)
	return append(append(append(dst, ' '), http.StatusText(status)...), "\r\n"...)
}

// appendBody appends the rest of an answer of the agent: what is in it, unless the request was for the head alone.
func appendBody(dst []byte, kind, text, end string, keep bool, m http1.Method) []byte {
	dst = append(append(append(dst, "Content-Type: "...), kind...), "\r\nContent-Length: "...)
	dst = append(strconv.AppendInt(dst, int64(len(text)+len(end)), 10), "\r\n"...)
	if !keep {
		dst = append(dst, "Connection: close\r\n"...)
	} else {
		dst = append(dst, "Connection: keep-alive\r\n"...) // for HTTP/1.0
	}
	if dst = append(dst, "\r\n"...); m == http1.HEAD {
		return dst
	}
	return append(append(dst, text...), end...)
}

// AppendStop implements resources.Resource.
func (r *Resource) AppendStop(dst []byte, c *resources.Call, st *resources.Stop) []byte {
	own, ok := c.View.(*call)
	if !ok {
		own = &call{}
	}
	switch {
	case st.Fault != nil:
		return appendFault(dst, st.Fault, own.keep, own.method)
	case st.Empty:
		return append(appendKeep(appendOwn(dst, http.StatusNoContent), own.keep, own.minor), "\r\n"...)
	}
	kind := "text/plain; charset=utf-8"
	if st.Reply != "" && (st.Reply[0] == '{' || st.Reply[0] == '[') {
		kind = "application/json"
	}
	return appendBody(appendOwn(dst, http.StatusOK), kind, st.Reply, "", own.keep, own.method)
}
