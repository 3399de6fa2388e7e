package admin

import (
	"net/http"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/resources"
)

// Bounds of a command's texts.
const (
	maxWhy   = 500
	maxReply = 64 << 10
)

func (s *Server) getCommands(w http.ResponseWriter, r *http.Request) error {
	return listOf(w, "commands", s.backend.Commands(), nil)
}

// order is a command as it is sent: its end may be given as a time from now, which needs no agreement of clocks.
type order struct {
	resources.Command
	For resources.Duration `json:"for"`
}

func (s *Server) postCommand(w http.ResponseWriter, r *http.Request) error {
	q, err := httpapi.Query(r, "dry-run")
	if err != nil {
		return err
	}
	dry, err := httpapi.Flag(q, "dry-run")
	if err != nil {
		return err
	}
	c, err := decodeCommand(r)
	if err != nil {
		return err
	}
	if dry {
		p, err := s.backend.Preview(c)
		if err != nil {
			return err
		}
		httpapi.Reply(w, http.StatusOK, p)
		return nil
	}
	added, err := s.backend.AddCommand(c)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/commands/"+added.ID)
	httpapi.Reply(w, http.StatusCreated, added)
	return nil
}

// decodeCommand reads a command; what it asks of its resource is validated by the backend.
func decodeCommand(r *http.Request) (resources.Command, error) {
	var o order
	if err := httpapi.Decode(r, &o, "command"); err != nil {
		return o.Command, err
	}
	c := o.Command
	if c.Resource == "" {
		return c, httpapi.Invalid("resource", "a command needs the name of a resource")
	}
	if o.For > 0 && c.Expires != nil {
		return c, httpapi.Invalid("for", "give either for or expires")
	}
	if len(c.Why) > maxWhy || len(c.Author) > maxWhy || strings.ContainsAny(c.Why+c.Author, "\r\n") {
		return c, httpapi.Invalid("why", "why and author are one line of at most %d bytes", maxWhy)
	}
	if len(c.Reply) > maxReply || len(c.Error) > maxReply {
		return c, httpapi.Invalid("reply", "a reply has at most %d bytes", maxReply)
	}
	if c.Author == "" {
		c.Author = "http@" + httpapi.Client(r)
	}
	c.ID, c.Created = "", time.Now().UTC() // the agent's to give
	if o.For > 0 {
		end := c.Created.Add(o.For.D())
		c.Expires = &end
	}
	return c, nil
}

func (s *Server) deleteCommand(w http.ResponseWriter, r *http.Request) error {
	q, err := httpapi.Query(r, "by")
	if err != nil {
		return err
	}
	by := q.Get("by")
	if by == "" {
		by = "http@" + httpapi.Client(r)
	}
	c, err := s.backend.Undo(r.PathValue("id"), by)
	if err != nil {
		return err
	}
	httpapi.Reply(w, http.StatusOK, c)
	return nil
}
