package gateway

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"mime"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
)

// maxContent is the longest body that is taken from a Motan peer or given to one, in bytes, inflated.
const maxContent = motan2.DefaultMax

// Types of bodies.
const (
	typeJSON   = "application/json"
	typeForm   = "application/x-www-form-urlencoded"
	typeBytes  = "application/octet-stream"
	typeProto  = "application/x-protobuf"
	typeText   = "text/plain"
	typeIsUTF8 = "; charset=utf-8"
)

// arguments makes the arguments of a Motan call out of the body of an HTTP request, its type, and the query where there is
// no body:
//
//	JSON, an array           the arguments, with the hints of package serial
//	JSON, anything else      the only argument
//	form, or a query         one map of strings
//	application/x-protobuf   one message
//	application/octet-stream bytes
//	any other type           a string, which must be UTF-8
//	nothing                  no arguments
//
// With kinds, of which there are as many as arguments, each becomes one of its kind. What the client wrote wrong is an error.
func arguments(kind, query string, body []byte, kinds []serial.Kind) ([]any, error) {
	var args []any
	media := media(kind)
	switch {
	case len(body) == 0 && query == "":
	case len(body) == 0, media == typeForm:
		text := query
		if len(body) > 0 {
			text = string(body)
		}
		m, err := form(text)
		if err != nil {
			return nil, err
		}
		args = []any{m}
	case media == typeJSON || strings.HasSuffix(media, "+json") || media == "":
		body = bytes.TrimLeft(body, " \t\r\n")
		if len(body) > 0 && body[0] == '[' {
			return serial.ParseJSONArgs(body, serial.Limits{}, kinds...)
		}
		v, err := serial.ParseJSON(body, serial.Limits{})
		if err != nil {
			return nil, err
		}
		args = []any{v}
	case media == typeProto:
		args = []any{serial.Proto(body)}
	case media == typeBytes:
		args = []any{body}
	case !utf8.Valid(body):
		return nil, fmt.Errorf("the body is of type %s and not UTF-8: send bytes as %s", media, typeBytes)
	default:
		args = []any{string(body)}
	}
	if len(kinds) == 0 {
		return args, nil
	}
	if len(kinds) != len(args) {
		return nil, fmt.Errorf("%d arguments for %d parameters: send as many as %s names", len(args), len(kinds), fieldDesc)
	}
	for i, k := range kinds {
		var err error
		if args[i], err = serial.Convert(args[i], k); err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
	}
	return args, nil
}

// media returns a type of contents without its parameters, in lower case.
func media(kind string) string {
	m, _, err := mime.ParseMediaType(kind)
	if err != nil {
		m, _, _ = strings.Cut(kind, ";")
	}
	return strings.ToLower(strings.TrimSpace(m))
}

// form reads pairs in the order in which they are. Of a key that is there twice both stay.
func form(text string) (serial.StringMap, error) {
	var m serial.StringMap
	for pair := range strings.SplitSeq(text, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		if err = cmp.Or(err, err2); err != nil {
			return nil, fmt.Errorf("the form: %w", err)
		}
		m = append(m, serial.StringPair{Key: key, Value: value})
	}
	return m, nil
}

// content is the body of an HTTP request, or an addition to its query.
type content struct {
	kind  string // its type; "": there is none
	body  []byte
	query string
}

// contentOf makes contents out of the arguments of a Motan call, the other way round: a string or bytes as they are, a map of strings
// as a form, which is the query when the method is one without a body, and all else as JSON; several arguments as a JSON array.
func contentOf(args []any, bodiless bool) (content, error) {
	switch {
	case len(args) == 0 || len(args) == 1 && args[0] == nil:
		return content{}, nil
	case len(args) > 1:
		return jsonContent(args)
	}
	switch v := args[0].(type) {
	case string:
		kind := typeText + typeIsUTF8
		if t := strings.TrimLeft(v, " \t\r\n"); strings.HasPrefix(t, "{") || strings.HasPrefix(t, "[") {
			kind = typeJSON
		}
		return content{kind: kind, body: []byte(v)}, nil
	case []byte:
		return content{kind: typeBytes, body: v}, nil
	case serial.Proto:
		return content{kind: typeProto, body: v}, nil
	case serial.StringMap:
		text := formText(v)
		if bodiless {
			return content{query: text}, nil
		}
		return content{kind: typeForm, body: []byte(text)}, nil
	case serial.Map:
		if m, err := serial.Convert(v, serial.KindStringMap); err == nil && bodiless {
			return content{query: formText(m.(serial.StringMap))}, nil
		}
	}
	return jsonContent(args[0])
}

func jsonContent(v any) (content, error) {
	text, err := serial.AppendPlainJSON(nil, v)
	return content{kind: typeJSON, body: text}, err
}

func formText(m serial.StringMap) string {
	var b strings.Builder
	for i, p := range m {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(p.Key))
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(p.Value))
	}
	return b.String()
}

// valueOf makes the value of an answer out of the body of an HTTP response: a string if its type says that it is text, and it
// is, else bytes.
func valueOf(kind string, body []byte) any {
	m := media(kind)
	text := strings.HasPrefix(m, "text/") || strings.HasSuffix(m, "json") || strings.HasSuffix(m, "xml") || m == typeForm
	if text && utf8.Valid(body) {
		return string(body)
	}
	return body
}

// inflated returns the body of a frame as it was before its sender compressed it.
func inflated(f *motan2.Frame) ([]byte, error) {
	if f.Type&motan2.TypeGzip == 0 {
		return f.Body, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(f.Body))
	if err != nil {
		return nil, fmt.Errorf("the body is said to be compressed: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(z, maxContent+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the body is said to be compressed: %w", err)
	case len(b) > maxContent:
		return nil, errTooLarge
	}
	return b, nil
}

var errTooLarge = fmt.Errorf("the body has more than %d bytes when it is inflated", maxContent)

// convertible names the serializations that a gateway reads and writes, for errors.
const convertible = "simple, breeze, protobuf or grpc-pb"

// codecOf returns what reads and writes the values of a Motan peer.
func codecOf(id serial.ID) (serial.Codec, error) {
	c, ok := serial.For(id)
	if !ok {
		return nil, fmt.Errorf("calls whose arguments are in %s cannot be converted: use %s", id, convertible)
	}
	return c, nil
}

// decode reads the arguments of a Motan request.
func decode(f *motan2.Frame, desc []byte) ([]any, error) {
	codec, err := codecOf(serial.ID(f.Serialization))
	if err != nil {
		return nil, err
	}
	body, err := inflated(f)
	if err != nil {
		return nil, err
	}
	kinds := serial.ParseKinds(string(desc))
	if codec.ID() == serial.IDProtobuf && slices.Contains(kinds, serial.KindAny) {
		for i, k := range kinds { // the class of a message
			if k == serial.KindAny {
				kinds[i] = serial.KindProto
			}
		}
	}
	if len(body) == 0 && codec.ID() != serial.IDGRPC {
		return nil, nil
	}
	return codec.Decode(body, kinds...)
}
