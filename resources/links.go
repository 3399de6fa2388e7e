package resources

import "net"

// Link is a session of one client at one service, for one application that calls through it. A client of an address that services
// share (Sharing) has one for each service and application that it calls. S is what a driver has of the service on the client's
// loop, C what it has of the client; all of a link is used on that loop only.
type Link[S, C any] struct {
	Shard   S
	Conn    C
	Session *Session
	Caller  string // the application, as the client writes it; "" if it does not
	Source  []byte // who calls: the caller, or who the session says it is

	of       *Links[S, C]
	at       *Linked[S, C]
	inFlight int
	leaving  bool // it ends with the last call in flight
	left     bool

	next, prev *Link[S, C] // of the service
}

// Linked are the links of one service on one loop. Begin comes first.
type Linked[S, C any] struct {
	shard   S
	rt      Runtime
	life    *Lifetime
	first   *Link[S, C]
	closing bool
}

// Links are those of one client; the zero value is ready. The first one was used last.
type Links[S, C any] struct{ all []*Link[S, C] }

// maxLinks is how many sessions one client may have: it could call in the name of ever more applications.
const maxLinks = 256

// maxCaller is how much of what a client says who it is is kept, in bytes.
const maxCaller = 200

// Begin makes it ready. The service's sessions are counted in life.
func (a *Linked[S, C]) Begin(shard S, rt Runtime, life *Lifetime) {
	a.shard, a.rt, a.life = shard, rt, life
}

// Find returns the client's link at a service for an application, or nil, and then Enter makes it.
func (ls *Links[S, C]) Find(at *Linked[S, C], caller []byte) *Link[S, C] {
	for i, l := range ls.all {
		if l.at == at && string(caller) == l.Caller && !l.leaving {
			if i > 0 { // the next request is likely to be for the same
				ls.all[0], ls.all[i] = l, ls.all[0]
			}
			return l
		}
	}
	return nil
}

// Enter makes a link of a client, whose address is remote, at a service r. A client that has too many loses one that nothing is in
// flight of. It returns a fault when the service takes no more sessions.
func (ls *Links[S, C]) Enter(lobby Lobby, r Resource, at *Linked[S, C], conn C, remote net.Addr, caller string) (*Link[S, C], *Fault) {
	if at.closing {
		return nil, NewFault(Draining, FromAgent, at.rt.Name(), "the agent is closing the resource")
	}
	if len(ls.all) >= maxLinks {
		for i := len(ls.all) - 1; i > 0; i-- { // the first one was used last
			if ls.all[i].inFlight == 0 {
				ls.all[i].leave()
				break
			}
		}
	}
	var id *Identity
	if caller != "" {
		id = &Identity{Caller: caller[:min(len(caller), maxCaller)]}
	}
	s, fault := lobby.Enter(r, remote, id)
	if fault != nil {
		return nil, fault
	}
	l := &Link[S, C]{Shard: at.shard, Conn: conn, Session: s, Caller: caller, Source: []byte(s.Identity().Caller), of: ls, at: at}
	ls.all = append(ls.all, l)
	if l.next = at.first; l.next != nil {
		l.next.prev = l
	}
	at.first = l
	at.life.Sessions.Add(1)
	return l, nil
}

// Add counts a call, or what else keeps the session, as in flight.
func (l *Link[S, C]) Add() { l.inFlight++ }

// Done undoes Add. The session may end with it.
func (l *Link[S, C]) Done() {
	if l.inFlight--; l.leaving {
		l.leave()
	}
}

// leave ends a link, at once if it has nothing in flight, else with the last of that.
func (l *Link[S, C]) leave() {
	l.leaving = true
	if l.inFlight > 0 || l.left {
		return
	}
	l.left = true
	for i, m := range l.of.all {
		if m == l {
			last := len(l.of.all) - 1
			l.of.all[i] = l.of.all[last]
			l.of.all[last] = nil
			l.of.all = l.of.all[:last]
			break
		}
	}
	if l.prev != nil {
		l.prev.next = l.next
	} else {
		l.at.first = l.next
	}
	if l.next != nil {
		l.next.prev = l.prev
	}
	l.at.rt.Closed(l.Session)
	l.at.life.Sessions.Add(-1)
}

// Leave ends the links of a client that is gone. Nothing of it is in flight any more.
func (ls *Links[S, C]) Leave() {
	for len(ls.all) > 0 {
		l := ls.all[len(ls.all)-1]
		if l.leave(); !l.left {
			panic("resources: a client left that has calls in flight")
		}
	}
}

// Any says that the service has sessions on the loop.
func (a *Linked[S, C]) Any() bool { return a.first != nil }

// Closing says that the service takes no more sessions.
func (a *Linked[S, C]) Closing() bool { return a.closing }

// Drain ends each session as soon as nothing of it is in flight, and lets no more in.
func (a *Linked[S, C]) Drain() {
	a.closing = true
	for l := a.first; l != nil; {
		next := l.next
		l.leave()
		l = next
	}
}

// End ends all sessions: abandon ends what a link has in flight, so that Done is called for each Add.
func (a *Linked[S, C]) End(abandon func(*Link[S, C])) {
	a.closing = true
	for l := a.first; l != nil; l = a.first {
		abandon(l)
		if l.leave(); !l.left {
			panic("resources: a session has calls in flight that its connection does not know")
		}
	}
}
