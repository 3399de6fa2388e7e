package main

import (
	"encoding/json"
	"testing"

	"github.com/sluice-mesh/sluice/protocols/control"
	sim "github.com/sluice-mesh/sluice/testenv/fleet"
)

// The specs that the fleet's bench sends are what agents would be sent, and the agents see all of them.
func TestFleetSource(t *testing.T) {
	o := fleetOrder{Agents: 10, Resources: 20, Apps: 10, Endpoints: 10_000}
	s := newFleetSource(o)
	if len(s.names) != 10*19+1 {
		t.Errorf("%d resources", len(s.names))
	}
	known, endpoints := newMemo(), 0
	for _, name := range s.names {
		spec, hash, revision, ok := s.Resource(name, nil)
		if !ok || !json.Valid(spec) || hash != control.Hash(spec) || known.hash(spec) != hash || known.hash(spec) != hash {
			t.Fatalf("%s: %s", name, spec)
		}
		state := sim.StateOf(&control.Resource{Name: name, Revision: uint64(revision), Hash: hash, Spec: spec})
		if len(state.Groups) != 2 || state.Detail != "" {
			t.Errorf("%s: %+v", name, state)
		}
		endpoints += len(state.Endpoints)
	}
	if endpoints < o.Endpoints || endpoints > o.Endpoints+len(s.names) {
		t.Errorf("%d endpoints", endpoints)
	}
	if wants := s.wants(3); len(wants) != o.Resources || s.docs[wants[19]] == nil || s.docs[wants[0]] == nil {
		t.Errorf("an agent wants %v", wants)
	}
	payload := []byte(`{"revision":7,"removed":["x"]}`)
	first, err := known.parse(payload)
	if err != nil || first.Revision != 7 {
		t.Errorf("%+v, %v", first, err)
	}
	if again, _ := known.parse(payload); again != first {
		t.Error("the same bytes were read twice")
	}
	if _, err := known.parse([]byte("{")); err == nil {
		t.Error("half an update was read")
	}
}
