package fault

import (
	"fmt"
	"time"
)

// Kind names a sort of fault.
type Kind uint8

const (
	KindLatency Kind = iota
	KindBandwidth
	KindSlice
	KindReset
	KindHalfClose
	KindBlackhole
	KindRefuse
	KindCorrupt
	KindStall
	KindCloseAfterAccept
	numKinds
)

var kindNames = [numKinds]string{"latency", "bandwidth", "slice", "reset", "half-close", "blackhole", "refuse", "corrupt",
	"stall", "close-after-accept"}

func (k Kind) String() string {
	if k < numKinds {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Direction is a set of directions; zero means both.
type Direction uint8

const (
	Up   Direction = 1 << iota // client to target
	Down                       // target to client
)

// Toxic is one fault. Make it with the functions below; the zero fields of the other kinds mean nothing.
type Toxic struct {
	Kind   Kind
	Dir    Direction
	Share  float64       // part of the connections that it acts on; 0 means all
	Delay  time.Duration // latency, or the pause between slices
	Jitter time.Duration // latency: up to this much more, at random
	Bytes  int64         // count, size of a slice, or bytes per second
}

// Latency delays what passes by d plus a random part of jitter.
func Latency(d, jitter time.Duration) Toxic {
	return Toxic{Kind: KindLatency, Delay: d, Jitter: jitter}
}

// Bandwidth lets perSecond bytes pass in a second.
func Bandwidth(perSecond int64) Toxic { return Toxic{Kind: KindBandwidth, Bytes: max(perSecond, 1)} }

// Slice writes at most n bytes at a time, with a pause after each write.
func Slice(n int, pause time.Duration) Toxic {
	return Toxic{Kind: KindSlice, Bytes: int64(max(n, 1)), Delay: pause}
}

// ResetAfter resets the connection, both sides, when n bytes have passed.
func ResetAfter(n int64) Toxic { return Toxic{Kind: KindReset, Bytes: n} }

// HalfCloseAfter ends the direction with a FIN when n bytes have passed; the other direction goes on.
func HalfCloseAfter(n int64) Toxic { return Toxic{Kind: KindHalfClose, Bytes: n} }

// Blackhole swallows all bytes.
func Blackhole() Toxic { return Toxic{Kind: KindBlackhole} }

// Refuse makes connecting fail at once: nothing listens.
func Refuse() Toxic { return Toxic{Kind: KindRefuse} }

// CorruptAt flips all bits of the byte at offset n.
func CorruptAt(n int64) Toxic { return Toxic{Kind: KindCorrupt, Bytes: n} }

// StallAfter lets n bytes pass and holds the rest.
func StallAfter(n int64) Toxic { return Toxic{Kind: KindStall, Bytes: n} }

// CloseAfterAccept accepts a connection and closes it at once.
func CloseAfterAccept() Toxic { return Toxic{Kind: KindCloseAfterAccept} }

// Up returns the toxic for the direction from client to target alone.
func (t Toxic) Up() Toxic { t.Dir = Up; return t }

// Down returns the toxic for the direction from target to client alone.
func (t Toxic) Down() Toxic { t.Dir = Down; return t }

// Chance returns the toxic for a random share (0 to 1) of the connections, chosen anew with each Set.
func (t Toxic) Chance(share float64) Toxic { t.Share = share; return t }

func (t Toxic) acts(d Direction) bool { return t.Dir == 0 || t.Dir&d != 0 }

func (t Toxic) String() string {
	s := t.Kind.String()
	switch t.Kind {
	case KindLatency:
		s += fmt.Sprintf(" %v+%v", t.Delay, t.Jitter)
	case KindSlice:
		s += fmt.Sprintf(" %d bytes every %v", t.Bytes, t.Delay)
	case KindBandwidth, KindReset, KindHalfClose, KindCorrupt, KindStall:
		s += fmt.Sprintf(" %d bytes", t.Bytes)
	}
	switch t.Dir {
	case Up:
		s += " up"
	case Down:
		s += " down"
	}
	if t.Share > 0 {
		s += fmt.Sprintf(" on %g of the connections", t.Share)
	}
	return s
}
