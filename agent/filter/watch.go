package filter

import (
	"sync/atomic"

	"github.com/sluice-mesh/sluice/resources"
)

// The request behind a call can be read only while the call begins, and the filters that watch calls (access log,
// live calls) know only when it ended whether they want its text. So they keep the text of calls in flight here. They
// share the text and one slot of Call.Scratch:
//
//	bits 0..15   text: 0 none, else index+1 of a Texts entry
//	bits 16..47  subscribers of the tap that selected the call
const (
	textMask   = 1<<16 - 1
	maskShift  = 16
	maxTexts   = 2048
	textLength = 168
)

type watchSlot struct {
	slot  int
	texts *Texts
	owner bool // somebody owns the text
}

// Texts holds the readable text of calls in flight. Entries are claimed and released without locks; when too many
// calls are in flight some go without a text. The memory, some 350 KB, is made when the first text is kept.
type Texts struct {
	entries atomic.Pointer[[maxTexts]textEntry]
}

func (t *Texts) memory() *[maxTexts]textEntry {
	if m := t.entries.Load(); m != nil {
		return m
	}
	t.entries.CompareAndSwap(nil, new([maxTexts]textEntry))
	return t.entries.Load()
}

type textEntry struct {
	taken atomic.Bool
	n     uint8
	buf   [textLength]byte
}

// Texter is a filter's access to the text of its calls. It is made by Build with [Env.TakeText].
type Texter struct {
	slot  int
	owner bool
	texts *Texts
}

// TakeText gives access to the texts of calls. All filters of a chain that need them share one slot. The filter that
// comes first in the chain owns the text: it calls Capture or Skip for every call, and Release when it is done.
func (e *Env) TakeText() (Texter, error) {
	if e.watch == nil {
		slot, err := e.TakeSlot()
		if err != nil {
			return Texter{}, err
		}
		w := &watchSlot{slot: slot}
		if e.Tap != nil {
			w.texts = e.Tap.sharedTexts()
		} else {
			w.texts = new(Texts)
		}
		e.watch = w
	}
	t := Texter{slot: e.watch.slot, owner: !e.watch.owner, texts: e.watch.texts}
	e.watch.owner = true
	return t, nil
}

// Skip begins a call without a text. For a Texter that is not the owner it does nothing.
func (t *Texter) Skip(c *resources.Call) {
	if t.owner {
		c.Scratch[t.slot] = 0
	}
}

// Capture begins a call and keeps its text, unless an earlier filter did so.
func (t *Texter) Capture(c *resources.Call) {
	if t.owner {
		c.Scratch[t.slot] = 0
	} else if c.Scratch[t.slot]&textMask != 0 {
		return
	}
	if c.View == nil {
		return
	}
	// The start differs by session and call, so that sessions on different cores rarely meet in one entry.
	var seed uint64
	if c.Session != nil {
		seed = c.Session.ID*0x9e3779b97f4a7c15>>40 + c.Session.Calls.Load()
	}
	entries := t.texts.memory()
	for try := range uint64(4) {
		i := (seed + try*61) % maxTexts
		e := &entries[i]
		if !e.taken.Load() && e.taken.CompareAndSwap(false, true) {
			text := c.View.AppendText(e.buf[:0])
			// A text that outgrew the entry was moved to memory of its own: keep what fits.
			e.n = uint8(copy(e.buf[:], text))
			c.Scratch[t.slot] |= i + 1
			return
		}
	}
}

// Text returns the text of the call, nil when there is none. It is valid until Release.
func (t *Texter) Text(c *resources.Call) []byte {
	i := c.Scratch[t.slot] & textMask
	if i == 0 {
		return nil
	}
	e := &t.texts.memory()[i-1]
	return e.buf[:e.n]
}

// Release ends the use of a call's text. Only the owner's Release has an effect: by then the later filters are done.
func (t *Texter) Release(c *resources.Call) {
	if !t.owner {
		return
	}
	if i := c.Scratch[t.slot] & textMask; i != 0 {
		c.Scratch[t.slot] = 0
		t.texts.memory()[i-1].taken.Store(false)
	}
}

// subscribers returns which subscribers of the tap selected the call.
func (t *Texter) subscribers(c *resources.Call) uint32 { return uint32(c.Scratch[t.slot] >> maskShift) }

// setSubscribers notes them; the tap's filter calls it after Skip or Capture.
func (t *Texter) setSubscribers(c *resources.Call, mask uint32) {
	c.Scratch[t.slot] = c.Scratch[t.slot]&textMask | uint64(mask)<<maskShift
}
