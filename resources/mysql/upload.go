package mysql

import (
	"errors"
	"time"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
)

// gatherMax is the longest command that is looked at as a whole. Of a longer one the beginning is looked at, and the rest
// is passed on as it comes.
const gatherMax = 1 << 20

// nextLarge gathers the beginning of a command that is longer than may be gathered.
func (s *session) nextLarge() error {
	s.lenient(&s.rest)
	if err := s.client.need(gatherMax, gatherMax); err != nil {
		return err
	}
	n, err := s.rest.Next(s.client.buffered())
	if err != nil {
		s.refuse(1, 1156, "08S01", "Got packets out of order")
		return errNoCommand
	}
	if s.oversize() {
		return errNoCommand
	}
	s.req, s.size = s.client.buffered()[:n], n
	s.cmd = mysql.Command(s.req[mysql.HeaderLen])
	return nil
}

// lenient makes a request take sequence ids as they come where the client compresses: nobody checks those inside of
// compressed frames, and clients differ.
func (s *session) lenient(q *mysql.Request) {
	if s.zip != nil {
		q.Renumber()
	}
}

var errTooLarge = errors.New("the command is too large")

// upload passes the rest of a large command on, which is not tried again from here on.
func (s *session) upload(u *upstream) error {
	s.call.Retry = resources.RetryNever
	if s.frames == nil {
		return s.through(func(b []byte) error { return u.write(b) })
	}
	var out []byte
	return s.through(func(b []byte) (err error) {
		if out, err = s.frames.Append(out[:0], b); err != nil {
			return moreFrames(err)
		}
		return u.write(out)
	})
}

// skipRest reads the rest of a large command that goes nowhere.
func (s *session) skipRest() error { return s.through(func([]byte) error { return nil }) }

// through gives the rest of a large command to somebody, as it comes. A command that turns out to be longer than allowed is
// answered here, and ends with errTooLarge.
func (s *session) through(to func([]byte) error) error {
	if s.rest.Done() {
		return nil
	}
	w := &s.client
	s.consumed()
	for !s.rest.Done() {
		n, err := s.rest.Next(w.buffered())
		if err != nil {
			return clientError{err}
		}
		if s.oversize() {
			return errTooLarge
		}
		if n == 0 {
			if err := w.fill(bufferSize); err != nil {
				return clientError{err}
			}
			continue
		}
		if err := to(w.buffered()[:n]); err != nil {
			return err
		}
		w.use(n)
	}
	return nil
}

// consumed takes what is buffered of the command out of the buffer before its end. Nothing refers to it from here on.
func (s *session) consumed() {
	s.client.use(s.size)
	s.req, s.size = nil, 0
	if s.stmt == nil {
		s.text, s.scan.NTables = nil, 0
	}
}

// passed reports whether the command, or the beginning of it, has been taken out of the buffer: it cannot be sent again.
func (s *session) passed() bool { return s.req == nil }

// skip drops a command without an answer.
func (s *session) skip() bool { return s.skipRest() == nil }

// oversize answers a command that is longer than allowed, as far as its frames have said, and reports whether it is. Nothing
// was executed: a server waits for the end.
func (s *session) oversize() bool {
	if s.rest.Size() <= int64(s.r.set.MaxPacket) {
		return false
	}
	s.refuse(byte(s.rest.Frames()), 1153, "08S01", "sluice: "+s.r.rt.Name()+
		": Got a packet bigger than 'max_allowed_packet' bytes: at most "+s.r.set.MaxPacket.String()+" (settings.max-packet)")
	s.linger()
	s.over = true
	return true
}

// Bounds of what is read of a client that is told that it says too much.
const (
	lingerFor  = time.Second      // without a byte
	lingerMost = 10 * time.Second // altogether
	lingerSize = 256 << 20
)

// linger reads what a client still sends that was refused in the middle, until it pauses: a connection that is closed while
// something unread is there is reset, and the client may lose the answer before it has read it.
func (s *session) linger() { s.aside(s.lingerNow) }

func (s *session) lingerNow() {
	w := &s.client
	if w.surface() != nil {
		return
	}
	if s.size > 0 {
		s.consumed()
	}
	w.r = w.w
	w.release()
	end := time.Now().Add(lingerMost)
	if half, ok := w.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for read := 0; read < lingerSize; {
		left := time.Until(end)
		if left <= 0 {
			return
		}
		w.deadline(time.Now().Add(min(lingerFor, left)))
		n, err := w.nc.Read(*buf)
		if err != nil {
			return
		}
		read += n
	}
}

// localInfile passes the file on that a server asked the client for, by a packet with sequence id asked. The agent never
// reads one of its own.
func (s *session) localInfile(u *upstream, asked byte) error {
	var q mysql.Request
	w := &s.client
	s.consumed()
	for seq := asked + 1; ; {
		q.Start(seq)
		s.lenient(&q)
		for !q.Done() {
			n, err := q.Next(w.buffered())
			if err != nil {
				return clientError{err}
			}
			if n == 0 {
				s.phase.Store(phaseFile)
				err := w.fill(bufferSize)
				s.enter(phaseRun)
				if err != nil {
					return clientError{err}
				}
				continue
			}
			if err := u.write(w.buffered()[:n]); err != nil {
				return err
			}
			w.use(n)
		}
		seq += byte(q.Frames())
		if q.Size() == 0 {
			break
		}
	}
	s.reply.InfileDone()
	return nil
}

// tooLarge is the fault of a command that is longer than allowed, which the client was told already.
func (s *session) tooLarge() *resources.Fault {
	return resources.NewFault(resources.TooLarge, resources.FromClient, s.r.rt.Name(),
		"the command is longer than "+s.r.set.MaxPacket.String()+" (settings.max-packet)")
}
