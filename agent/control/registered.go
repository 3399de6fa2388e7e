package control

import (
	"fmt"
	"log/slog"
	"time"
)

// Registered is a service that an application registered or subscribed to by itself.
type Registered struct {
	Serves   []int  `json:"serves,omitempty"` // ports of 127.0.0.1 at which it is served; none: somebody here calls it
	Group    string `json:"group"`
	Path     string `json:"path"`
	Version  string `json:"version,omitempty"`
	Registry string `json:"registry"` // its address
}

// Registrations keeps what applications registered, on disk. Its methods may not be called at once.
type Registrations struct {
	file     file
	revision uint64
}

// OpenRegistrations reads what was kept in dir, which exists. A broken file is said in the log and costs what was in it:
// applications register again when they start.
func OpenRegistrations(dir string, log *slog.Logger) (*Registrations, []Registered, error) {
	r := &Registrations{file: file{dir: dir, name: "registered.json"}}
	var list []Registered
	now := time.Now()
	revision, problems, err := r.file.load(now, &list)
	if err != nil {
		return nil, nil, fmt.Errorf("what applications registered: %w", err)
	}
	r.revision = revision
	for _, p := range problems {
		log.Error("what applications registered", "problem", p)
		r.revision = max(revision+1, uint64(max(0, now.Unix()))) // as in a Store
	}
	return r, list, nil
}

// Save replaces what is kept. An error leaves what was kept before.
func (r *Registrations) Save(list []Registered) error {
	if err := r.file.save(r.revision+1, time.Now(), list); err != nil {
		return fmt.Errorf("not done, since it cannot be kept: %w", err)
	}
	r.revision++
	return nil
}
