package otlp

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"
)

// Kind says which side of a call a span is.
type Kind uint8

// The kinds of spans, by their numbers in the protocol. The zero value is sent as Client.
const (
	Server Kind = 2
	Client Kind = 3
)

// Span is one traced call.
type Span struct {
	TraceID [16]byte
	SpanID  [8]byte
	Parent  [8]byte // zero: the span starts its trace
	Name    string
	Kind    Kind
	Start   time.Time
	End     time.Time

	Attributes []Attribute // must not be changed once the span was exported
	Failed     bool        // the status is error
	Message    string      // why it failed
}

// Attribute is a fact about a span or a process. String and Int make them.
type Attribute struct {
	key     string
	text    string
	number  int64
	numeric bool
}

// String makes an attribute that is a text.
func String(key, value string) Attribute { return Attribute{key: key, text: value} }

// Int makes an attribute that is a number.
func Int(key string, value int64) Attribute { return Attribute{key: key, number: value, numeric: true} }

// The messages of the protocol's JSON form: names in lowerCamelCase, ids in hexadecimal, 64-bit numbers as strings
// (opentelemetry-proto, trace/v1/trace.proto; https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
type (
	exportRequest struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   wireResource `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	wireResource struct {
		Attributes []wireAttribute `json:"attributes"`
	}
	scopeSpans struct {
		Scope wireScope  `json:"scope"`
		Spans []wireSpan `json:"spans"`
	}
	wireScope struct {
		Name string `json:"name"`
	}
	wireSpan struct {
		TraceID    string          `json:"traceId"`
		SpanID     string          `json:"spanId"`
		Parent     string          `json:"parentSpanId,omitempty"`
		Name       string          `json:"name"`
		Kind       Kind            `json:"kind"`
		Start      string          `json:"startTimeUnixNano"`
		End        string          `json:"endTimeUnixNano"`
		Attributes []wireAttribute `json:"attributes,omitempty"`
		Status     wireStatus      `json:"status"`
	}
	wireStatus struct {
		Code    int    `json:"code,omitempty"` // 0 unset, 2 error
		Message string `json:"message,omitempty"`
	}
	wireAttribute struct {
		Key   string    `json:"key"`
		Value wireValue `json:"value"`
	}
	wireValue struct {
		Text   *string `json:"stringValue,omitempty"`
		Number string  `json:"intValue,omitempty"`
	}
	exportResponse struct {
		PartialSuccess struct {
			RejectedSpans json.RawMessage `json:"rejectedSpans"` // a number, or one in a string
		} `json:"partialSuccess"`
	}
)

const statusError = 2

// scopeName says which code made the spans.
const scopeName = "github.com/sluice-mesh/sluice"

// encode returns the body of a request.
func encode(process []Attribute, spans []Span) ([]byte, error) {
	wire := make([]wireSpan, len(spans))
	for i := range spans {
		wire[i] = spans[i].wire()
	}
	return json.Marshal(exportRequest{[]resourceSpans{{
		Resource:   wireResource{wireAttributes(process)},
		ScopeSpans: []scopeSpans{{Scope: wireScope{scopeName}, Spans: wire}},
	}}})
}

func (s *Span) wire() wireSpan {
	w := wireSpan{
		TraceID:    hex.EncodeToString(s.TraceID[:]),
		SpanID:     hex.EncodeToString(s.SpanID[:]),
		Name:       s.Name,
		Kind:       s.Kind,
		Start:      strconv.FormatInt(s.Start.UnixNano(), 10),
		End:        strconv.FormatInt(s.End.UnixNano(), 10),
		Attributes: wireAttributes(s.Attributes),
	}
	if s.Parent != [8]byte{} {
		w.Parent = hex.EncodeToString(s.Parent[:])
	}
	if w.Kind == 0 {
		w.Kind = Client
	}
	if s.Failed {
		w.Status = wireStatus{Code: statusError, Message: s.Message}
	}
	return w
}

func wireAttributes(attributes []Attribute) []wireAttribute {
	wire := make([]wireAttribute, len(attributes))
	for i := range attributes {
		a := &attributes[i]
		wire[i].Key = a.key
		if a.numeric {
			wire[i].Value.Number = strconv.FormatInt(a.number, 10)
		} else {
			wire[i].Value.Text = &a.text
		}
	}
	return wire
}
