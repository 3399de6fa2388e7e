package admin

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

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
	q, err := knownQuery(r, "dry-run")
	if err != nil {
		return err
	}
	dry, err := flag(q.Get("dry-run"), q.Has("dry-run"))
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
		reply(w, http.StatusOK, p)
		return nil
	}
	added, err := s.backend.AddCommand(c)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/commands/"+added.ID)
	reply(w, http.StatusCreated, added)
	return nil
}

// decodeCommand reads a command; what it asks of its resource is validated by the backend.
func decodeCommand(r *http.Request) (resources.Command, error) {
	body, err := readBody(r)
	if err != nil {
		return resources.Command{}, err
	}
	var o order
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o); err != nil {
		return o.Command, explainJSON(err)
	}
	if dec.More() {
		return o.Command, Invalid("", "more than one JSON value: send one command at a time")
	}
	c := o.Command
	if c.Resource == "" {
		return c, Invalid("resource", "a command needs the name of a resource")
	}
	if o.For > 0 && c.Expires != nil {
		return c, Invalid("for", "give either for or expires")
	}
	if len(c.Why) > maxWhy || len(c.Author) > maxWhy || strings.ContainsAny(c.Why+c.Author, "\r\n") {
		return c, Invalid("why", "why and author are one line of at most %d bytes", maxWhy)
	}
	if len(c.Reply) > maxReply || len(c.Error) > maxReply {
		return c, Invalid("reply", "a reply has at most %d bytes", maxReply)
	}
	if c.Author == "" {
		c.Author = "http@" + client(r)
	}
	c.ID, c.Created = "", time.Now().UTC() // the agent's to give
	if o.For > 0 {
		end := c.Created.Add(o.For.D())
		c.Expires = &end
	}
	return c, nil
}

var textual = reflect.TypeFor[encoding.TextUnmarshaler]()

// explainJSON names the field where the decoder knows it.
func explainJSON(err error) *Error {
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		field := strings.TrimPrefix(typ.Field, "Command.") // of the struct that order embeds
		hint := ""
		if typ.Value == "number" && reflect.PointerTo(typ.Type).Implements(textual) {
			hint = `: write a text with its unit, such as "50%", "200ms" or "100/s"`
		}
		return Invalid(field, "%s cannot be a JSON %s%s", quoted(field), typ.Value, hint)
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return Invalid(strings.Trim(field, `"`),
			"unknown key %s: a command has type, resource, match, percent, weights, reply, error, delay, rate, burst, endpoint, author, why, for, expires", field)
	}
	return Invalid("", "the body is no command: %s", strings.TrimPrefix(firstLine(err), "json: "))
}

func (s *Server) deleteCommand(w http.ResponseWriter, r *http.Request) error {
	q, err := knownQuery(r, "by")
	if err != nil {
		return err
	}
	by := q.Get("by")
	if by == "" {
		by = "http@" + client(r)
	}
	c, err := s.backend.Undo(r.PathValue("id"), by)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, c)
	return nil
}

// flag reads a boolean query parameter; one without a value is true.
func flag(value string, present bool) (bool, error) {
	if !present || value == "" {
		return present, nil
	}
	b, err := strconv.ParseBool(value)
	if err != nil {
		return false, Invalid("", "%s is neither true nor false", quoted(value))
	}
	return b, nil
}
