package report

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-mesh/sluice/metrics"
)

// Bounds of a message. A reader refuses what is over them, and an encoder stays below.
const (
	MaxPayload = 4 << 20        // bytes
	maxText    = 256            // bytes; label values are no longer than that
	maxTexts   = 1 << 16        // different ones in a message
	maxLabels  = 8              // of a counter or gauge
	maxLength  = 24 * time.Hour // of the interval
	maxNumber  = 1 << 53        // calls, bytes, values
	maxCached  = 1 << 16        // texts that a Decoder shares between messages

	reserve          = 64 << 10 // bytes, more than one record takes
	maxTextsOfRecord = 64       // likewise
)

// Visitor takes a message apart. Interval comes first; a Cell, Counter or Gauge belongs to the Resource before it.
type Visitor interface {
	// Interval says by the agent's clock when the interval ended, and how long it was.
	Interval(end time.Time, length time.Duration)
	Resource(name, kind string)
	// Cell is valid during the visit only. Its texts may be kept.
	Cell(c *Cell)
	// Counter says how much was added. labels are valid during the visit only.
	Counter(name string, labels []metrics.Label, added uint64)
	Gauge(name string, labels []metrics.Label, value int64)
}

// Cell is what one cell counted in the interval.
type Cell struct {
	Group, Op, Class string
	Outcomes         []Outcome // that occurred
	Slow             uint64    // calls that the policy calls slow
	BytesIn          uint64    // of requests
	BytesOut         uint64    // of answers
	Latency          []byte    // in the form of metrics.Snapshot.Append, checked
}

// Outcome is how many calls ended in one way.
type Outcome struct {
	Name  string // ok, error, or the word of a fault
	Calls uint64
}

// Decoder reads messages. Texts that messages have in common share their memory. It is for one goroutine at a time; the
// zero value is ready.
type Decoder struct {
	shared map[string]string

	// Of the message that is being read.
	src    []byte
	texts  []string
	cell   Cell
	labels []metrics.Label
}

// Decode shows a message to v, or says what is wrong with it, in which case v saw nothing.
func (d *Decoder) Decode(payload []byte, v Visitor) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("report of %d bytes, of at most %d", len(payload), MaxPayload)
	}
	if len(d.shared) > maxCached {
		clear(d.shared)
	}
	if err := d.read(payload, nothing{}); err != nil {
		return fmt.Errorf("report, %d bytes before its end: %w", len(d.src), err)
	}
	return d.read(payload, v)
}

// Decode is [Decoder.Decode] for a single message.
func Decode(payload []byte, v Visitor) error { return new(Decoder).Decode(payload, v) }

// nothing is the visitor of the first reading, which only checks.
type nothing struct{}

func (nothing) Interval(time.Time, time.Duration)       {}
func (nothing) Resource(string, string)                 {}
func (nothing) Cell(*Cell)                              {}
func (nothing) Counter(string, []metrics.Label, uint64) {}
func (nothing) Gauge(string, []metrics.Label, int64)    {}

var (
	errEnd     = errors.New("it ends early")
	errMore    = errors.New("more follows its end")
	errNowhere = errors.New("a record before the first resource")
)

func (d *Decoder) read(payload []byte, v Visitor) error {
	d.src, d.texts = payload, d.texts[:0]
	if len(payload) == 0 {
		return errEnd
	}
	if payload[0] != version {
		return fmt.Errorf("version %d, and only %d is known", payload[0], version)
	}
	d.src = payload[1:]
	end, err := d.number("end", 1<<48)
	if err != nil {
		return err
	}
	length, err := d.number("length", uint64(maxLength.Milliseconds()))
	if err != nil {
		return err
	}
	v.Interval(time.UnixMilli(int64(end)), time.Duration(length)*time.Millisecond)
	for first := true; ; first = false {
		if len(d.src) == 0 {
			return errEnd
		}
		tag := d.src[0]
		d.src = d.src[1:]
		if tag == tagEnd {
			if len(d.src) > 0 {
				return errMore
			}
			return nil
		}
		if first && tag != tagResource {
			return errNowhere
		}
		if err := d.record(tag, v); err != nil {
			return err
		}
	}
}

func (d *Decoder) record(tag byte, v Visitor) error {
	switch tag {
	case tagResource:
		name, err := d.text("resource")
		if err != nil {
			return err
		}
		kind, err := d.text("kind")
		if err != nil {
			return err
		}
		if name == "" {
			return errors.New("a resource without a name")
		}
		v.Resource(name, kind)
		return nil
	case tagCell:
		return d.readCell(v)
	case tagCounter:
		name, err := d.series()
		if err != nil {
			return err
		}
		n, err := d.number("counter", maxNumber)
		if err != nil {
			return err
		}
		v.Counter(name, d.labels, n)
		return nil
	case tagGauge:
		name, err := d.series()
		if err != nil {
			return err
		}
		n, w := binary.Varint(d.src)
		if w <= 0 || n > maxNumber || n < -maxNumber {
			return errors.New("a gauge without a legal value")
		}
		d.src = d.src[w:]
		v.Gauge(name, d.labels, n)
		return nil
	}
	return fmt.Errorf("a record of unknown tag %d", tag)
}

func (d *Decoder) readCell(v Visitor) (err error) {
	c := &d.cell
	for _, t := range []struct {
		what string
		into *string
	}{{"group", &c.Group}, {"op", &c.Op}, {"class", &c.Class}} {
		if *t.into, err = d.text(t.what); err != nil {
			return err
		}
	}
	n, err := d.number("outcomes", metrics.MaxOutcomes)
	if err != nil {
		return err
	}
	c.Outcomes = c.Outcomes[:0]
	for range n {
		name, err := d.text("outcome")
		if err != nil {
			return err
		}
		calls, err := d.number("calls", maxNumber)
		if err != nil {
			return err
		}
		c.Outcomes = append(c.Outcomes, Outcome{name, calls})
	}
	for _, t := range []struct {
		what string
		into *uint64
	}{{"slow", &c.Slow}, {"bytes in", &c.BytesIn}, {"bytes out", &c.BytesOut}} {
		if *t.into, err = d.number(t.what, maxNumber); err != nil {
			return err
		}
	}
	size, err := metrics.CheckEncoded(d.src)
	if err != nil {
		return err
	}
	c.Latency, d.src = d.src[:size:size], d.src[size:]
	v.Cell(c)
	return nil
}

// series reads a name, and labels into d.labels.
func (d *Decoder) series() (name string, err error) {
	if name, err = d.text("name"); err != nil {
		return "", err
	}
	n, err := d.number("labels", maxLabels)
	if err != nil {
		return "", err
	}
	d.labels = d.labels[:0]
	for range n {
		key, err := d.text("label")
		if err != nil {
			return "", err
		}
		value, err := d.text("value")
		if err != nil {
			return "", err
		}
		d.labels = append(d.labels, metrics.Label{Key: key, Value: value})
	}
	return name, nil
}

func (d *Decoder) number(what string, most uint64) (uint64, error) {
	n, w := binary.Uvarint(d.src)
	if w <= 0 {
		return 0, fmt.Errorf("no %s: %w", what, errEnd)
	}
	if n > most {
		return 0, fmt.Errorf("%s %d, of at most %d", what, n, most)
	}
	d.src = d.src[w:]
	return n, nil
}

func (d *Decoder) text(what string) (string, error) {
	at, err := d.number(what, maxTexts)
	if err != nil {
		return "", err
	}
	if at > 0 {
		if at > uint64(len(d.texts)) {
			return "", fmt.Errorf("%s is text %d, of %d", what, at, len(d.texts))
		}
		return d.texts[at-1], nil
	}
	n, err := d.number(what, maxText)
	if err != nil {
		return "", err
	}
	if n > uint64(len(d.src)) {
		return "", fmt.Errorf("%s: %w", what, errEnd)
	}
	raw := d.src[:n]
	if !utf8.Valid(raw) {
		return "", fmt.Errorf("%s %q is not UTF-8", what, raw)
	}
	if len(d.texts) == maxTexts {
		return "", fmt.Errorf("more than %d texts", maxTexts)
	}
	s := d.share(raw)
	d.texts = append(d.texts, s)
	d.src = d.src[n:]
	return s, nil
}

// share returns the text, in the memory that it had in an earlier message.
func (d *Decoder) share(raw []byte) string {
	if s, ok := d.shared[string(raw)]; ok {
		return s
	}
	if d.shared == nil {
		d.shared = map[string]string{}
	}
	s := string(raw)
	if len(d.shared) <= maxCached {
		d.shared[s] = s
	}
	return s
}

// legal makes any text one that a reader takes.
func legal(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
		for len(s) > 0 {
			if r, w := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || w != 1 {
				break
			}
			s = s[:len(s)-1]
		}
	}
	if utf8.ValidString(s) {
		return s
	}
	s = strings.ToValidUTF8(s, "?")
	return s
}
