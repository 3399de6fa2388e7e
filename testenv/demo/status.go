package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// status is what an agent says of itself, as far as it is shown.
type status struct {
	Center *struct {
		Connected bool
		Revision  uint64
		Stale     *time.Time
	}
	Commands []struct {
		ID, Type, Resource, Summary, Matching, Why string
		Expires                                    *time.Time
	}
}

// mesh is what is worth knowing of the centre and the agents, and the commands in force at the first agent, a line each. It
// is the agents that are asked: they know also when there is no centre.
func (d *demo) mesh() []string {
	links := []string{"centre serves"}
	if !d.runs(centerName) {
		links[0] = "centre is away"
	}
	var commands []string
	for i, s := range d.sites {
		st, err := s.status()
		switch {
		case !d.runs(s.name):
			links = append(links, s.name+" is away")
		case err != nil:
			links = append(links, s.name+" does not answer: "+err.Error())
		default:
			links = append(links, s.name+" "+st.link())
			if i == 0 {
				commands = st.commands()
			}
		}
	}
	return append([]string{strings.Join(links, "; ")}, commands...)
}

func (d *demo) runs(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.programs {
		if p.name == name {
			return !p.away
		}
	}
	return false
}

// status asks the agent.
func (s *site) status() (*status, error) {
	token, err := os.ReadFile(filepath.Join(s.data, "admin.token"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+"/v1/status", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, errors.Unwrap(err) // without the method and the URL
	}
	defer resp.Body.Close()
	st := new(status)
	if err := json.NewDecoder(resp.Body).Decode(st); err != nil {
		return nil, fmt.Errorf("%s: %w", resp.Status, err)
	}
	return st, nil
}

// link says how an agent stands with the centre.
func (s *status) link() string {
	switch c := s.Center; {
	case c == nil:
		return "knows of no centre"
	case c.Stale != nil:
		return "on its own copy for " + time.Since(*c.Stale).Round(time.Second).String()
	case !c.Connected:
		return "is not linked"
	default:
		return fmt.Sprintf("has revision %d", c.Revision)
	}
}

// commands are those that operators have given, a line each.
func (s *status) commands() []string {
	var lines []string
	for _, c := range s.Commands {
		parts := []string{c.ID, c.Type, c.Resource, c.Summary}
		if c.Matching != "" {
			parts = append(parts, "("+c.Matching+")")
		}
		if c.Expires != nil {
			parts = append(parts, "for another "+time.Until(*c.Expires).Round(time.Second).String())
		}
		if c.Why != "" {
			parts = append(parts, "- "+c.Why)
		}
		lines = append(lines, strings.Join(parts, " "))
	}
	return lines
}
