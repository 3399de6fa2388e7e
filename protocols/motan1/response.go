package motan1

import "encoding/binary"

// Response is a response of any kind, found in a frame but not copied out of it. The zero value is ready, and the same
// Response may parse one frame after another.
type Response struct {
	Time int64 // milliseconds that the server took
	// Class is the Java class of the value or the exception, in Java's modified UTF-8; nil if there is none.
	Class []byte
	// Value is what another serialization wrote, nil for null and if there is none.
	Value []byte
	// Gzip: the body is compressed, and nothing is known of it.
	Gzip        bool
	Attachments Attachments // of KindAttachment

	spill []byte
}

// Parse reads a response at the start of frame that Scan has found, all of it. The error wraps ErrMalformed.
func (r *Response) Parse(frame []byte, h Header) error {
	*r = Response{spill: reuse(r.spill)}
	err := r.parse(frame, h)
	if err != nil {
		*r = Response{spill: r.spill}
	}
	return err
}

func (r *Response) parse(frame []byte, h Header) error {
	if h.Kind == KindRequest {
		return malformed("%s where a response is wanted", h.Kind)
	}
	var s stream
	gzip, err := s.open(frame, h)
	if err != nil || gzip {
		r.Gzip = gzip
		return err
	}
	var data []byte
	if data, r.spill, err = s.run(r.spill); err != nil {
		return err
	}
	if len(data) < 8 {
		return malformed("%d bytes of data in a response, its time alone has 8", len(data))
	}
	r.Time, data = int64(binary.BigEndian.Uint64(data)), data[8:]
	if h.Kind != KindVoid {
		if r.Class, data, err = cutUTF(data); err != nil {
			return err
		}
	}
	if len(data) > 0 {
		return malformed("%d bytes behind what a %s has", len(data), h.Kind)
	}
	if h.Kind != KindVoid {
		if r.Value, err = s.array(); err != nil {
			return err
		}
	}
	if h.Kind == KindAttachment {
		if data, r.spill, err = s.run(r.spill); err != nil {
			return err
		}
		if r.Attachments, err = cutAttachments(data, h.Version); err != nil {
			return err
		}
	}
	return s.end()
}
