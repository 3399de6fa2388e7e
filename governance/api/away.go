package api

import "time"

// absent is a centre that lives and is not heard here. What an answer says of its agents is what was known of them then, and their
// calls since are not in it.
type absent struct {
	Center string     `json:"center"`
	Since  *time.Time `json:"since,omitempty"` // nil: it was not heard since this centre started
	Why    string     `json:"why"`
}

// away lists the centres that are absent now, by name. Answers about all agents have it, so that nobody takes a part for the whole.
func (s *Server) away() []absent {
	out := []absent{}
	for _, c := range s.centers() {
		if !c.Heard && !c.Gone {
			out = append(out, absent{c.Name, c.Since, c.Why})
		}
	}
	return out
}
