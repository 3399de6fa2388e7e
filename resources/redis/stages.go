package redis

// Times of calls that are watched, see resources.Stages. All of this is for few calls: the others only find c.Stages nil.

// watch notes what is known of the request of a watched call, after Begin.
func (s *session) watch(c *call) {
	c.Stages.First, c.Stages.Out = s.partial, s.conn
}

// placed notes that the request of a watched call has a connection, once it has. whole says that it was appended as a whole.
func (u *upstream) placed(c *call, whole bool) {
	switch {
	case u.conn == nil: // attached does it
	case whole:
		c.Stages.Placed(u.conn)
	default:
		c.Stages.Placed(nil)
	}
}

// placedAll notes that a connection is there for those who waited for it.
func (u *upstream) placedAll() {
	for i := u.head; i < u.tail; i++ {
		if c := u.at(i).c; c != nil && c.Stages != nil {
			u.placed(c, c.s.upload == nil || c.s.upload.c != c)
		}
	}
}

// lent makes the times of a part those of the whole call.
func (p *call) lent(whole *call) {
	from, to := p.Stages, whole.Stages
	to.Ready, to.Written, to.Answered = from.Ready, from.Written, from.Answered
}
