package auth

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/governance/store"
)

// Nobody can be made whose name is an author of the system's own in the audit log. A user that has such a name from before stays, and
// can be changed and removed.
func TestNamesOfTheSystem(t *testing.T) {
	a, _, s, _ := opened(t)
	ctx := t.Context()
	viewer := []Grant{{Role: Viewer}}
	refused := func(t *testing.T, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "is reserved") || !strings.Contains(err.Error(), "use another name") {
			t.Errorf("got %v, want that the name is reserved", err)
		}
	}
	for _, name := range []string{"center", "admin.token", "Center", "ADMIN.TOKEN"} {
		for _, expect := range []int64{-1, 0} {
			_, err := a.PutUser(ctx, User{Name: name, Grants: viewer}, expect)
			refused(t, err)
		}
		_, _, err := a.AddToken(ctx, name, viewer, 0, "ann")
		refused(t, err)
		_, err = a.Link(ctx, name, viewer, "ann")
		refused(t, err)
		cookie, _ := a.Session(name, viewer)
		_, err = a.Cookie(ctx, cookie)
		mustRefuse(t, err, "is reserved")
	}
	if _, err := a.PutUser(ctx, User{Name: "center-ops", Grants: viewer}, 0); err != nil {
		t.Error(err)
	}

	old, _ := json.Marshal(User{Name: "center", Grants: viewer, Author: "ann"})
	if _, err := s.Commit(ctx, store.Txn{Then: []store.Op{{Key: "users/center", Value: old}}}); err != nil {
		t.Fatal(err)
	}
	cookie, _ := a.Session("center", nil)
	if id, err := a.Cookie(ctx, cookie); err != nil || !id.Can(View) {
		t.Errorf("a user from before: %+v, %v", id, err)
	}
	if u, err := a.PutUser(ctx, User{Name: "center", Grants: viewer, Disabled: true}, -1); err != nil || u.Revision == 0 {
		t.Errorf("it cannot be disabled: %v", err)
	}
	code, err := a.Link(ctx, "center", viewer, "ann")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.DeleteUser(ctx, "center"); err != nil {
		t.Fatal(err)
	}
	_, err = a.Login(ctx, code)
	mustRefuse(t, err, "is reserved")
	_, err = a.PutUser(ctx, User{Name: "center", Grants: viewer}, -1)
	refused(t, err)
}
