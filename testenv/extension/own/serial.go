package own

import "github.com/sluice-mesh/sluice/protocols/serial"

// json is serialization 3 of Motan, of which this one knows values of JSON.
type json struct{}

// ID implements serial.Codec.
func (json) ID() serial.ID { return serial.IDJSON }

// Append implements serial.Codec.
func (json) Append(dst []byte, values ...any) ([]byte, error) {
	if len(values) == 1 {
		return serial.AppendJSON(dst, values[0])
	}
	return serial.AppendJSON(dst, values)
}

// Decode implements serial.Codec. The arguments of a request are an array, the value of a reply stands alone.
func (json) Decode(body []byte, kinds ...serial.Kind) ([]any, error) {
	if len(body) > 0 && body[0] == '[' {
		return serial.ParseJSONArgs(body, serial.Limits{}, kinds...)
	}
	v, err := serial.ParseJSON(body, serial.Limits{})
	if err != nil {
		return nil, err
	}
	return []any{v}, nil
}
