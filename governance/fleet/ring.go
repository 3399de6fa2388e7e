package fleet

// ring remembers which names changed lately, so that an agent that this process does not know is not sent everything when
// nothing of it changed. It is guarded by Fleet.mu.
type ring struct {
	changes []nameChange // a circle once it is full
	next    int
	floor   int64 // changes up to this revision are not known
	all     int64 // at this revision everything may have changed
}

type nameChange struct {
	name     string
	revision int64
}

// add notes a change. Revisions must not fall.
func (r *ring) add(name string, revision int64) {
	c := nameChange{name, revision}
	if len(r.changes) < ringSize {
		r.changes = append(r.changes, c)
		return
	}
	r.floor = max(r.floor, r.changes[r.next].revision)
	r.changes[r.next] = c
	r.next = (r.next + 1) % ringSize
}

// untouched reports whether it is certain that none of an agent's names changed after a revision.
func (r *ring) untouched(a *Agent, since int64) bool {
	return since >= r.floor && r.quiet(a, since)
}

// fresh reports whether the ring holds all changes since the process started.
func (r *ring) fresh() bool { return len(r.changes) < ringSize }

// quiet reports whether none of the changes that are known, and came after a revision, concerns an agent.
func (r *ring) quiet(a *Agent, since int64) bool {
	if since < r.all {
		return false
	}
	for i := range r.changes { // from the newest on
		c := r.changes[(r.next+len(r.changes)-1-i)%len(r.changes)]
		if c.revision <= since {
			return true
		}
		if a.concerns(c.name) {
			return false
		}
	}
	return true
}
