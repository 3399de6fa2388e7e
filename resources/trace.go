package resources

import "encoding/hex"

// TraceParent is the name under which protocols with named fields carry a trace context.
const TraceParent = "traceparent"

// traceParentSize is the length of a traceparent of version 00: 00-TRACEID-SPANID-FLAGS.
const traceParentSize = 2 + 1 + 32 + 1 + 16 + 1 + 2

// ParseTraceParent reads a W3C traceparent (https://www.w3.org/TR/trace-context/#traceparent-header): of version 00, or what
// a later version has in common with it. What is malformed, or has an id of zeros, is no context.
func ParseTraceParent(b []byte) (t TraceContext, ok bool) {
	if len(b) < traceParentSize || b[2] != '-' || b[35] != '-' || b[52] != '-' || len(b) > traceParentSize && (b[55] != '-' || string(b[:2]) == "00") {
		return TraceContext{}, false
	}
	var version, flags [1]byte
	for _, part := range [...]struct{ dst, src []byte }{{version[:], b[:2]}, {t.TraceID[:], b[3:35]}, {t.SpanID[:], b[36:52]}, {flags[:], b[53:55]}} {
		for _, c := range part.src {
			if c >= 'A' && c <= 'F' { // the standard wants lower case
				return TraceContext{}, false
			}
		}
		if _, err := hex.Decode(part.dst, part.src); err != nil {
			return TraceContext{}, false
		}
	}
	if version[0] == 0xff || t.TraceID == [16]byte{} || t.SpanID == [8]byte{} {
		return TraceContext{}, false
	}
	t.Sampled = flags[0]&1 != 0
	return t, true
}

// AppendTraceParent appends t as a traceparent of version 00.
func AppendTraceParent(dst []byte, t *TraceContext) []byte {
	dst = append(dst, "00-"...)
	dst = append(hex.AppendEncode(dst, t.TraceID[:]), '-')
	dst = append(hex.AppendEncode(dst, t.SpanID[:]), '-')
	if t.Sampled {
		return append(dst, "01"...)
	}
	return append(dst, "00"...)
}
