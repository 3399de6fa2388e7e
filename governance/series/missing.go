package series

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Span is a time, from From up to before To, Unix time in s.
type Span struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

const (
	// mostSpans bounds how many are told apart. Beyond it the two that are closest to each other become one.
	mostSpans = 200
	// longestKept is how long the history is that is kept at most.
	longestKept = 14 * 24 * time.Hour
	missingFile = "missing.json"
)

// Missing notes that reports of a time did not come and will not: points of it are Partial from now on. A from that is zero is the
// beginning of the history.
func (s *Store) Missing(from, to time.Time) {
	now := s.opt.Now()
	oldest := now.Add(-longestKept)
	if from.Before(oldest) {
		from = oldest
	}
	if !from.Before(to) {
		return
	}
	s.mu.Lock()
	s.missing = addSpan(slices.DeleteFunc(s.missing, func(m Span) bool { return m.To < oldest.Unix() }), Span{from.Unix(), to.Unix() + 1})
	list := slices.Clone(s.missing)
	s.mu.Unlock()
	if err := s.saveMissing(list); err != nil {
		s.opt.Log.Warn("which times are missing in the history is not known after a restart", "error", err)
	}
}

// addSpan adds a span to a list in order, in which none touches another.
func addSpan(list []Span, m Span) []Span {
	out := make([]Span, 0, len(list)+1)
	for _, o := range list {
		if o.To < m.From || m.To < o.From {
			out = append(out, o)
			continue
		}
		m.From, m.To = min(m.From, o.From), max(m.To, o.To)
	}
	out = append(out, m)
	slices.SortFunc(out, func(a, b Span) int { return int(a.From - b.From) })
	for len(out) > mostSpans {
		at := 1
		for i := range out[1:] {
			if out[i+1].From-out[i].To < out[at].From-out[at-1].To {
				at = i + 1
			}
		}
		out[at-1].To = out[at].To
		out = slices.Delete(out, at, at+1)
	}
	return out
}

// partial reports whether reports of a time are missing, from and to in Unix s. The caller holds mu.
func (s *Store) partial(from, to int64) bool {
	return slices.ContainsFunc(s.missing, func(m Span) bool { return m.From < to && from < m.To })
}

// loadMissing reads what saveMissing wrote.
func (s *Store) loadMissing() error {
	if s.opt.Dir == "" {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(s.opt.Dir, missingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("series: %w", err)
	}
	var list []Span
	if err := json.Unmarshal(data, &list); err != nil {
		s.opt.Log.Warn("which times are missing in the history cannot be read", "error", err)
		return nil
	}
	for _, m := range list {
		s.missing = addSpan(s.missing, m)
	}
	return nil
}

func (s *Store) saveMissing(list []Span) error {
	if s.opt.Dir == "" {
		return nil
	}
	data, err := json.Marshal(list)
	if err != nil {
		return err
	}
	s.saving.Lock()
	defer s.saving.Unlock()
	path := filepath.Join(s.opt.Dir, missingFile)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// KeptTo returns the end of the history that was there when the store was opened; zero when there was none.
func (s *Store) KeptTo() time.Time { return s.keptTo }
