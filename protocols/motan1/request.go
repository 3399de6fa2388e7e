package motan1

// The names of a heartbeat.
const (
	HeartbeatInterface = "com.weibo.api.motan.rpc.heartbeat"
	HeartbeatMethod    = "heartbeat"
	heartbeatDesc      = "void"
)

// methodSign stands for the interface in a compressed request whose names are replaced by a signature.
const methodSign = "1"

// Request is a request, found in a frame but not copied out of it. The zero value is ready, and the same Request may
// parse one frame after another. Strings are in Java's modified UTF-8.
type Request struct {
	Interface []byte
	Method    []byte
	Desc      []byte // Java's names of the parameters' types with commas between; "void" or nothing if there are none
	// Sign is the signature that a compressed request has instead of its names, which are then nil.
	Sign []byte
	// Gzip: the body is compressed, and nothing is known of it.
	Gzip bool
	// Args is the number of arguments.
	Args        int
	Attachments Attachments

	args  stream // at the first argument
	spill []byte
}

// Parse reads a request at the start of frame that Scan has found: all of it, so that nothing that follows can fail. The
// error wraps ErrMalformed.
func (r *Request) Parse(frame []byte, h Header) error {
	*r = Request{spill: reuse(r.spill)}
	err := r.parse(frame, h)
	if err != nil {
		*r = Request{spill: r.spill}
	}
	return err
}

func (r *Request) parse(frame []byte, h Header) error {
	if h.Kind != KindRequest {
		return malformed("%s where a request is wanted", h.Kind)
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
	if data, err = r.names(data, h.Version); err != nil {
		return err
	}
	r.args = s
	if len(data) == 0 { // with arguments, the attachments are in data of their own
		for s.token() == tokenArray || s.token() == tokenNull {
			if _, err := s.array(); err != nil {
				return err
			}
			r.Args++
		}
		if data, r.spill, err = s.run(r.spill); err != nil {
			return err
		}
	}
	if r.Attachments, err = cutAttachments(data, h.Version); err != nil {
		return err
	}
	return s.end()
}

// names cuts the names off the data.
func (r *Request) names(data []byte, v Version) (rest []byte, err error) {
	if r.Interface, data, err = cutUTF(data); err != nil {
		return nil, err
	}
	if v == Compress && string(r.Interface) == methodSign {
		r.Interface = nil
		r.Sign, data, err = cutUTF(data)
		return data, err
	}
	if r.Method, data, err = cutUTF(data); err != nil {
		return nil, err
	}
	r.Desc, data, err = cutUTF(data)
	return data, err
}

// EachArg calls f for each argument until it returns false. An argument is what another serialization wrote; nil is null.
func (r *Request) EachArg(f func(i int, arg []byte) bool) {
	s := r.args
	for i := range r.Args {
		if arg, _ := s.array(); !f(i, arg) {
			return
		}
	}
}

// IsHeartbeat tells whether the request asks for nothing but a sign of life, as Java tells it.
func (r *Request) IsHeartbeat() bool {
	return string(r.Interface) == HeartbeatInterface && string(r.Method) == HeartbeatMethod &&
		(len(r.Desc) == 0 || string(r.Desc) == heartbeatDesc)
}
