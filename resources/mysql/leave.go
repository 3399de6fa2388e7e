package mysql

import "github.com/sluice-mesh/sluice/resources"

// leave is asked when the session should not stay where its connection is. Transactions, and state that was made on
// purpose, are waited for. What remains is a session whose state nobody knows, because the profile is tunnel or the server
// has no tracker: only its client can make it anew. So the client is disconnected between two commands, and finds its new
// place when it connects again.
func (s *session) leave() resources.Move {
	if s.tied(s.up)&^resources.PinPaired != 0 {
		return resources.Stay
	}
	return resources.Drain
}
