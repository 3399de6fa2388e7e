package fleet

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync"
	"weak"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// update is a control.Update on its way. Specs and commands are the Source's own bytes.
type update struct {
	control.Update
	bytes int // of specs and commands
}

func (u *update) empty() bool {
	return len(u.Resources)+len(u.Removed)+len(u.Commands)+len(u.Undone) == 0
}

func (u *update) resource(r control.Resource) {
	u.Resources = append(u.Resources, r)
	u.bytes += len(r.Spec) + len(r.Name) + 96
}

func (u *update) command(c json.RawMessage) {
	u.Commands = append(u.Commands, c)
	u.bytes += len(c) + 1
}

// key is the same for updates that have the same bytes.
func (u *update) key() [sha256.Size]byte {
	h := sha256.New()
	var buf [1024]byte // most keys are short
	b := binary.BigEndian.AppendUint64(buf[:0], u.Revision)
	b = appendBool(b, u.Full)
	part := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	count := func(n int) { b = binary.AppendUvarint(b, uint64(n)) }
	count(len(u.Resources))
	for _, r := range u.Resources {
		part(r.Name)
		part(r.Hash)
		b = binary.BigEndian.AppendUint64(b, r.Revision)
	}
	count(len(u.Removed))
	for _, n := range u.Removed {
		part(n)
	}
	count(len(u.Undone))
	for _, id := range u.Undone {
		part(id)
	}
	h.Write(b)
	for _, c := range u.Commands {
		b = binary.AppendUvarint(b[:0], uint64(len(c)))
		h.Write(b)
		h.Write(c)
	}
	var key [sha256.Size]byte
	h.Sum(key[:0])
	return key
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// frame makes the bytes to send. Specs and commands go in as they are: encoding/json would scan and copy each of them again.
func (u *update) frame() ([]byte, error) {
	b := make([]byte, frameHead, frameHead+u.bytes+256)
	b = append(b, `{"revision":`...)
	b = appendUint(b, u.Revision)
	if u.Full {
		b = append(b, `,"full":true`...)
	}
	if len(u.Resources) > 0 {
		b = append(b, `,"resources":[`...)
		for i, r := range u.Resources {
			b = comma(b, i)
			b = append(b, `{"name":`...)
			b = appendText(b, r.Name)
			b = append(b, `,"revision":`...)
			b = appendUint(b, r.Revision)
			b = append(b, `,"hash":`...)
			b = appendText(b, r.Hash)
			b = append(b, `,"spec":`...)
			b = append(b, r.Spec...)
			if len(r.Secrets) > 0 {
				b = append(b, `,"secrets":`...)
				text, err := json.Marshal(r.Secrets)
				if err != nil {
					return nil, err
				}
				b = append(b, text...)
			}
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	b = appendTexts(b, "removed", u.Removed)
	if len(u.Commands) > 0 {
		b = append(b, `,"commands":[`...)
		for i, c := range u.Commands {
			b = comma(b, i)
			b = append(b, c...)
		}
		b = append(b, ']')
	}
	b = appendTexts(b, "undone", u.Undone)
	b = append(b, '}')
	if len(b)-frameHead > control.MaxToAgent {
		return nil, fmt.Errorf("an update of %d bytes is too large: agents take %d", len(b)-frameHead, control.MaxToAgent)
	}
	control.AppendFrame(b[:0], control.TypeUpdate, b[frameHead:])
	return b, nil
}

// frameHead is what AppendFrame puts before a payload: its length and its type. A payload that already stands where it
// belongs is copied onto itself.
const frameHead = 5

func comma(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return b
}

func appendUint(b []byte, v uint64) []byte { return fmt.Append(b, v) }

func appendText(b []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil { // cannot be: any string is one
		return append(b, `""`...)
	}
	return append(b, text...)
}

func appendTexts(b []byte, key string, list []string) []byte {
	if len(list) == 0 {
		return b
	}
	b = append(b, `,"`...)
	b = append(b, key...)
	b = append(b, `":[`...)
	for i, s := range list {
		b = comma(b, i)
		b = appendText(b, s)
	}
	return append(b, ']')
}

// frames shares the bytes of updates that many agents get. It holds them weakly: they live while a writer sends them and
// until the collector next looks, so that a storm of large updates leaves nothing behind.
type frames struct {
	mu       sync.Mutex
	revision uint64
	known    map[[sha256.Size]byte]weak.Pointer[shared]
}

// shared is made by the first who needs it; the others wait for him.
type shared struct {
	once  sync.Once
	bytes []byte
	err   error
}

func (f *frames) get(u *update) *shared {
	key := u.key()
	f.mu.Lock()
	if f.known == nil || u.Revision > f.revision {
		f.known, f.revision = make(map[[sha256.Size]byte]weak.Pointer[shared]), u.Revision
	}
	s := f.known[key].Value()
	if s == nil {
		s = new(shared)
		f.known[key] = weak.Make(s)
	}
	f.mu.Unlock()
	s.once.Do(func() { s.bytes, s.err = u.frame() })
	return s
}
