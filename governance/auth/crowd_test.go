package auth

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/governance/audit"
	"github.com/sluice-mesh/sluice/protocols/control"
)

// Agents that start together join by one token, as many as it is for and no more, at two centres of one store at once; whoever comes
// too late hears that it is used up, and nobody of a conflict.
func TestManyJoinAtOnce(t *testing.T) {
	a, c, s, _ := opened(t)
	const agents, uses = 300, 290
	// A second centre of the store, of the same authority and key.
	b := *a
	b.joining = make(chan struct{}, 1)
	b.store, a.store = audit.Wrap(s, audit.Options{Center: "b", Now: c.now}), audit.Wrap(s, audit.Options{Center: "a", Now: c.now})
	j, token, err := a.AddJoin(t.Context(), "", uses, 0, "ann")
	if err != nil {
		t.Fatal(err)
	}
	_, request := csr(t, "any")
	start, errs := make(chan struct{}), make(chan error, agents)
	for i := range agents {
		at := a
		if i%2 == 1 {
			at = &b
		}
		go func() {
			<-start
			_, err := at.Join(t.Context(), token, control.JoinRequest{Name: fmt.Sprint("web-", i), CSR: request})
			errs <- err
		}()
	}
	close(start)
	joined := 0
	for range agents {
		switch err := <-errs; {
		case err == nil:
			joined++
		case !errors.Is(err, ErrUnauthorized) || !strings.Contains(err.Error(), "as often as it may be"):
			t.Errorf("an agent may not join: %v", err)
		}
	}
	left, err := get[Join](t.Context(), s, "joins/"+j.ID, func(*Join, int64) {})
	if err != nil || joined != uses || left.Left != 0 {
		t.Errorf("%d joined by a token for %d, of which %d are left, %v", joined, uses, left.Left, err)
	}
}
