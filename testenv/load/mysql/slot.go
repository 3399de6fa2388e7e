package mysql

import (
	"fmt"
	"slices"
)

// This file is the model of what a key may hold: pure state, no I/O.

// finding is what a result says about the rules.
type finding uint8

const (
	fine finding = iota
	wrong
	lost
)

// slot is a key of one client and what its row may hold. Sequences rise with every write sent.
type slot struct {
	key     string
	next    uint64   // sequence of the newest write sent
	acked   uint64   // the newest acknowledged one; 0: none
	unknown uint64   // the write that ended without an answer; it is the last one of its key
	refused []uint64 // the newest of those that must never be seen
	checked bool     // had its last check, is to be deleted
	gone    bool     // was deleted
}

// keepRefused is how many refused writes a key remembers.
const keepRefused = 64

func (s *slot) write() uint64 {
	s.next++
	return s.next
}

func (s *slot) refuse(seq uint64) {
	if len(s.refused) >= keepRefused {
		s.refused = append(s.refused[:0], s.refused[1:]...)
	}
	s.refused = append(s.refused, seq)
}

// wrote judges the number of rows that the acknowledged write seq changed: 1 for a new row, 2 for one that was there.
func (s *slot) wrote(seq uint64, affected int64) finding {
	before := s.acked
	s.acked = seq
	switch {
	case before == 0 && affected == 1, before != 0 && affected == 2:
		return fine
	case before != 0 && affected == 1:
		return lost
	}
	return wrong
}

// missing judges a read that found no row.
func (s *slot) missing(stale bool) finding {
	if s.acked == 0 || stale {
		return fine
	}
	return lost
}

// saw judges a read of a value of this key.
func (s *slot) saw(seq uint64, stale bool) finding {
	switch {
	case seq == 0 || seq > s.next || slices.Contains(s.refused, seq):
		return wrong
	case seq == s.acked, seq == s.unknown:
		return fine
	case seq < s.acked && stale:
		return fine
	case seq < s.acked:
		return lost
	}
	return wrong
}

func (s *slot) String() string {
	return fmt.Sprintf("%s: acknowledged %d, unknown %d, sent %d, refused %v", s.key, s.acked, s.unknown, s.next, s.refused)
}
