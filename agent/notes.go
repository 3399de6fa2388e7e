package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/sluice-mesh/sluice/agent/cluster"
	"github.com/sluice-mesh/sluice/agent/control"
)

// book is where the cluster of one resource keeps what it knows of its groups. The keys of its notes carry what the
// endpoints depend on besides their addresses: with other settings, a name of another primary say, the same sentinels
// tell of other servers, and a note about those must not be believed.
type book struct {
	notes  *control.Notes
	prefix string // of all keys
}

func (b book) key(group string) string { return b.prefix + group }

// Recall implements cluster.Book.
func (b book) Recall(group string) (m cluster.Memory, ok bool) {
	ok = b.notes.Get(b.key(group), &m)
	return m, ok
}

// Keep implements cluster.Book.
func (b book) Keep(group string, m cluster.Memory) {
	_ = b.notes.Put(b.key(group), m) // a Memory can always be encoded
}

// bookOf returns the book of a resource as it is declared now.
func (a *Agent) bookOf(d *declared) book {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(struct {
		Kind     string
		Settings any
	}{d.Spec.Kind, d.Spec.Settings}) // they were read from text: what cannot be encoded is not there
	return book{a.notes, d.Spec.Name + " " + hex.EncodeToString(h.Sum(nil)[:8]) + " "}
}

// forgetNotes drops what was known of resources that are not declared any more, or otherwise. Of those that wait for the
// centre everything is kept, and so are the documents of Motan's console that are followed.
func (a *Agent) forgetNotes(now map[string]*declared, waiting ...string) {
	var prefixes []string
	for _, d := range now {
		prefixes = append(prefixes, a.bookOf(d).prefix)
	}
	for _, name := range waiting {
		prefixes = append(prefixes, name+" ")
	}
	a.notes.Retain(func(key string) bool {
		if a.console.follows(key) {
			return true
		}
		for _, p := range prefixes {
			if strings.HasPrefix(key, p) {
				return true
			}
		}
		return false
	})
}
