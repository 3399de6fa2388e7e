package grpc

import (
	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/http2"
	"github.com/sluice-mesh/sluice/resources"
)

const (
	// maxList is the longest header list that is taken, as RFC 9113 counts it.
	maxList = 64 << 10
	// connWindow is how much a peer may send on a connection before some of it has gone on, in bytes.
	connWindow = 16 << 20
	// maxPending is how many bytes may wait for a peer to take them; then it gets no more.
	maxPending = 16 << 20
)

// side is what is behind a wire: a client or a server.
type side interface {
	settled(http2.Setting)                                 // the peer changed one of its settings
	headers(*http2.Block) error                            // a header list came
	data(id uint32, b []byte, charged int, end bool) error // bytes came, of which as many count against windows
	reset(id uint32, code http2.Code) error                // the peer gave a stream up
	opened(id uint32, n int64) error                       // the peer takes n more bytes on a stream
	widened()                                              // the peer takes more bytes on the connection, or on all streams
	goneAway(last uint32, code http2.Code, text []byte)
	ponged()
	held() bool       // nothing more is to be read now
	broken(err error) // the peer broke the rules
}

// wire is the HTTP/2 half of a connection, whoever is at its other end: framing, header blocks, windows of the connection,
// settings, and defence.
type wire struct {
	conn   *loop.Conn
	loop   *loop.Loop
	side   side
	blocks *http2.Blocks
	enc    *http2.Encoder
	block  http2.Block
	frame  http2.Frame

	maxFrame int        // largest payload that the peer takes
	initial  int64      // window of a new stream to the peer
	window   int64      // bytes that the peer takes on the connection
	left     int64      // bytes that it may still send
	credit   int64      // bytes that it sent and may send again, when it is told
	settled  bool       // its SETTINGS came
	calm     http2.Calm // what costs work and carries nothing
	pings    http2.Calm
	blocked  bool // something waits for the connection to take more
	ended    bool // nothing more is to be read
}

// begin says the first words.
func (w *wire) begin(c *loop.Conn, l *loop.Loop, s side, window int64, more ...http2.Setting) {
	w.conn, w.loop, w.side = c, l, s
	w.blocks, w.enc = http2.NewBlocks(maxList), http2.NewEncoder()
	w.maxFrame, w.initial, w.window, w.left = http2.DefaultFrame, http2.DefaultWindow, http2.DefaultWindow, connWindow
	w.calm = http2.Calm{Burst: 5000, Rate: 1000}
	w.pings = http2.Calm{Burst: 20000, Rate: 20000} // peers that measure the network send one each time they hear of the last
	all := append([]http2.Setting{{ID: http2.SettingWindow, Value: uint32(window)}, {ID: http2.SettingMaxHeaderList, Value: maxList}}, more...)
	out := http2.AppendSettings(c.Out(256), all...)
	c.SetOut(http2.AppendWindow(out, 0, connWindow-http2.DefaultWindow))
}

// read handles the frames at the beginning of b and returns how many bytes they have.
func (w *wire) read(b []byte) int {
	off := 0
	for off < len(b) && !w.conn.Closed() && !w.ended && !w.side.held() {
		n, err := w.frame.Scan(b[off:], http2.DefaultFrame)
		if err == nil && n == 0 {
			break
		}
		if err == nil {
			err = w.take(&w.frame)
		}
		if err != nil {
			w.ended = true
			w.side.broken(err)
			return len(b)
		}
		off += n
	}
	if w.ended {
		return len(b)
	}
	return off
}

func protocol(text string) error { return &http2.ConnError{Code: http2.ProtocolError, Text: text} }

var (
	errCalm = &http2.ConnError{Code: http2.EnhanceYourCalm, Text: "too many frames that carry nothing"}
	errFlow = &http2.ConnError{Code: http2.FlowControlError, Text: "more was sent than the window allows"}
)

// take handles one frame.
func (w *wire) take(f *http2.Frame) error {
	if !w.settled && f.Type != http2.TypeSettings {
		return protocol("the first frame is no SETTINGS")
	}
	if w.blocks.Open() || f.Type == http2.TypeHeaders || f.Type == http2.TypeContinuation {
		whole, err := w.blocks.Add(f, &w.block)
		if err != nil || !whole {
			return err
		}
		return w.side.headers(&w.block)
	}
	switch f.Type {
	case http2.TypeData:
		return w.data(f)
	case http2.TypeWindowUpdate:
		return w.opened(f)
	case http2.TypeRSTStream:
		return w.side.reset(f.Stream, http2.Code(f.Uint32()))
	case http2.TypeSettings:
		return w.settings(f)
	case http2.TypePing:
		return w.ping(f)
	case http2.TypeGoAway:
		last, code, text := f.GoAway()
		w.side.goneAway(last, code, text)
	case http2.TypePushPromise:
		return protocol("PUSH_PROMISE, which was forbidden")
	default: // PRIORITY means nothing any more, and other types are for others
		if !w.calm.Take(w.loop.Now()) {
			return errCalm
		}
	}
	return nil
}

func (w *wire) data(f *http2.Frame) error {
	if w.left -= int64(f.Charged); w.left < 0 {
		return errFlow
	}
	if len(f.Payload) == 0 && !f.Has(http2.FlagEndStream) && !w.calm.Take(w.loop.Now()) {
		return errCalm
	}
	return w.side.data(f.Stream, f.Payload, f.Charged, f.Has(http2.FlagEndStream))
}

// passed lets the peer send n more bytes on the connection. It is told in large steps.
func (w *wire) passed(n int) {
	if w.credit += int64(n); w.credit >= connWindow/2 && !w.conn.Closed() {
		w.conn.SetOut(http2.AppendWindow(w.conn.Out(16), 0, uint32(w.credit)))
		w.left += w.credit
		w.credit = 0
	}
}

func (w *wire) opened(f *http2.Frame) error {
	n := int64(f.Uint32() & http2.MaxWindow)
	switch {
	case f.Stream != 0 && n == 0:
		return w.side.reset(f.Stream, http2.ProtocolError)
	case f.Stream != 0:
		return w.side.opened(f.Stream, n)
	case n == 0:
		return protocol("WINDOW_UPDATE by 0")
	}
	if w.window += n; w.window > http2.MaxWindow {
		return errFlow
	}
	if w.blocked {
		w.side.widened()
	}
	return nil
}

func (w *wire) settings(f *http2.Frame) error {
	if f.Has(http2.FlagAck) {
		return nil
	}
	if !w.calm.Take(w.loop.Now()) {
		return errCalm
	}
	w.settled = true
	err := f.EachSetting(func(s http2.Setting) {
		switch s.ID {
		case http2.SettingTableSize:
			w.enc.SetTableSize(s.Value)
		case http2.SettingMaxFrame:
			w.maxFrame = int(s.Value)
		}
		w.side.settled(s)
		if s.ID == http2.SettingWindow {
			w.initial = int64(s.Value)
		}
	})
	if err != nil {
		return err
	}
	w.conn.SetOut(http2.AppendSettingsAck(w.conn.Out(16)))
	w.side.widened()
	return nil
}

func (w *wire) ping(f *http2.Frame) error {
	if f.Has(http2.FlagAck) {
		w.side.ponged()
		return nil
	}
	if !w.pings.Take(w.loop.Now()) || w.conn.Pending() > maxPending {
		return errCalm
	}
	w.conn.SetOut(http2.AppendPing(w.conn.Out(32), [8]byte(f.Payload), true))
	return nil
}

// rst gives a stream up.
func (w *wire) rst(id uint32, code http2.Code) {
	w.conn.SetOut(http2.AppendRST(w.conn.Out(16), id, code))
}

// room is how many bytes of DATA may be written now on a stream with a window; 0 when something has to come first.
func (w *wire) room(window int64) int {
	if w.conn.Pending() > loop.HighWater {
		w.blocked = true
		w.conn.WantDrained()
		return 0
	}
	if w.window <= 0 {
		w.blocked = true
	}
	return int(max(0, min(window, w.window, int64(min(w.maxFrame, http2.DefaultFrame)))))
}

// write writes as much of b as the stream's window and the connection allow, and returns how many bytes that was. With the
// last of them goes, if end is set, the end of the stream.
func (w *wire) write(id uint32, window *int64, b []byte, end bool) int {
	n := 0
	for n < len(b) {
		k := min(w.room(*window), len(b)-n)
		if k == 0 {
			return n
		}
		last := end && n+k == len(b)
		w.conn.SetOut(http2.AppendData(w.conn.Out(k+http2.HeadSize), id, last, b[n:n+k]))
		*window -= int64(k)
		w.window -= int64(k)
		n += k
	}
	return n
}

// fault is a fault of the agent's own.
func fault(code resources.Code, resource, what string) *resources.Fault {
	return resources.NewFault(code, resources.FromAgent, resource, what)
}
