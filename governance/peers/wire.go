package peers

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// Path of a centre that other centres call, with POST and `Upgrade: sluice-peer/1`.
const (
	Path    = "/v1/peer"
	Upgrade = "sluice-peer/1"
)

// version is that of the protocol: what a centre of another one tells is not understood.
const version = 1

// Types of frames. From the follower:
const (
	typeHello control.Type = 100 + iota
	typeAsk
	typeCancel
	typeTune
	typeBeat // of both
	typeWelcome
	typeAgent // a fleet.Record
	typeSynced
	typeReport // see appendReport
	typeLost
	typeAnswer // a control.Answer
	typeFailed
	typeBye
)

// maxFrame bounds a frame: an agent with all its resources.
const maxFrame = control.MaxToAgent

// hello begins a link.
type hello struct {
	Version int    `json:"version"`
	Name    string `json:"name"`
	Cluster string `json:"cluster"`
	Heard   cursor `json:"heard"` // of the reports of the centre that is called
}

// cursor is the last report that came from a centre.
type cursor struct {
	Boot string `json:"boot,omitempty"` // of the process that numbered it
	Seq  uint64 `json:"seq,omitempty"`  // 0: none
}

// welcome answers hello.
type welcome struct {
	Version int    `json:"version"`
	Name    string `json:"name"`
	Boot    string `json:"boot"`
	Cluster string `json:"cluster"`
}

// ask is a question to an agent, or to the centre itself.
type ask struct {
	ID     uint64      `json:"id"`
	Agent  string      `json:"agent,omitempty"` // "": the centre
	Ask    control.Ask `json:"ask"`
	Stream bool        `json:"stream,omitempty"`
	Wait   int64       `json:"wait,omitempty"` // ns until nobody waits for the answer any more; 0: until it is cancelled
}

// cancel ends an ask.
type cancel struct {
	ID uint64 `json:"id"`
}

// tune is fleet.Tune.
type tune struct {
	Report int64 `json:"report"` // ns, as is For
	For    int64 `json:"for"`
}

// lost says that reports that came before some time are not there any more.
type lost struct {
	Seq uint64 `json:"seq"` // of the last of them
	Age int64  `json:"age"` // ns: when it came
}

// failed is an ask that has no answer.
type failed struct {
	ID      uint64 `json:"id"`
	Code    string `json:"code"` // see codes
	Message string `json:"message"`
}

// bye ends a link.
type bye struct {
	Why string `json:"why"`
}

// frame makes a frame of a message of ours.
func frame(t control.Type, message any) ([]byte, error) {
	return control.AppendMessage(nil, t, message, maxFrame)
}

func decode(t control.Type, payload []byte, into any) error {
	if err := json.Unmarshal(payload, into); err != nil {
		return fmt.Errorf("%v: %w", t, err)
	}
	return nil
}

// report is what an agent reported, to its centre.
type report struct {
	seq                     uint64 // counted by the centre's process, from 1 on
	at                      time.Time
	agent, application, idc string
	payload                 []byte // as metrics/report makes it
}

// appendReport appends a frame with a report:
//
//	number, age in ns       uvarint each
//	agent, application, idc length as uvarint, and text each
//	what the agent sent     the rest
func appendReport(dst []byte, r *report, now time.Time) []byte {
	start := len(dst)
	dst = control.AppendFrame(dst, typeReport, nil)
	dst = binary.AppendUvarint(dst, r.seq)
	dst = binary.AppendUvarint(dst, uint64(max(now.Sub(r.at), 0)))
	for _, s := range []string{r.agent, r.application, r.idc} {
		dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	dst = append(dst, r.payload...)
	control.SetLength(dst[start:])
	return dst
}

// maxAge is more than a report waits in a log.
const maxAge = 24 * time.Hour

var errReport = errors.New("a report that is none")

// readReport reads the payload of such a frame; what the agent sent is not copied.
func readReport(payload []byte, now time.Time) (r report, err error) {
	number := func() uint64 {
		n, w := binary.Uvarint(payload)
		if w <= 0 {
			err, payload = errReport, nil
			return 0
		}
		payload = payload[w:]
		return n
	}
	text := func() string {
		n := number()
		if n > uint64(len(payload)) {
			err, payload = errReport, nil
			return ""
		}
		s := string(payload[:n])
		payload = payload[n:]
		return s
	}
	r.seq = number()
	age := number()
	r.agent, r.application, r.idc = text(), text(), text()
	if err == nil && (r.seq == 0 || r.agent == "" || age > uint64(maxAge)) {
		err = errReport
	}
	r.at, r.payload = now.Add(-time.Duration(min(age, uint64(maxAge)))), payload
	return r, err
}
