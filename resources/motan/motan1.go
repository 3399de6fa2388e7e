package motan

import (
	"errors"

	"github.com/sluice-mesh/sluice/protocols/motan1"
	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/resources"
)

// Motan1 is passed on as it is, with other ids: Java's servers take both versions and answer in the caller's. What its
// attachments say of the group stays too.

// status1 is the HTTP status in exceptions of Motan1, which nobody looks at.
const status1 = 503

// scan1 handles a request in Motan1. It returns how many bytes are done with; 0 when not all of it is there.
func (co *conn) scan1(b []byte, largest int) int {
	h, ok, err := motan1.Scan(b, largest)
	switch {
	case errors.Is(err, motan1.ErrTooLarge) && h.Kind == motan1.KindRequest:
		co.refuse(motan2.Head{ID: h.ID}, motan1.Plain, codes[resources.TooLarge], err.Error())
		co.conn.CloseAfterFlush()
		return len(b)
	case err != nil:
		co.conn.Close(err)
		return len(b)
	case !ok:
		return 0
	case h.Kind != motan1.KindRequest:
		co.conn.Close(errors.New("the client sent an answer"))
		return len(b)
	}
	co.request1(h, b[:h.Size])
	return h.Size
}

// request1 handles one whole request.
func (co *conn) request1(h motan1.Header, raw []byte) {
	q, head := &co.g.request1, motan2.Head{ID: h.ID}
	switch err := q.Parse(raw, h); {
	case err != nil:
		co.refuse(head, h.Version, motan2.CodeDecode, "a request cannot be read: "+err.Error())
		return
	case q.Sign != nil || q.Gzip:
		co.refuse(head, h.Version, motan2.CodeNotFound, "the names of service and method are not in this request: turn off the compression of Motan1 (codec motan-compatible), or use motan2")
		return
	case q.IsHeartbeat():
		co.g.out = motan1.AppendHeartbeatReply(co.g.out[:0], h.ID)
		co.conn.Write(co.g.out)
		return
	}
	desc := motan2.Call{Service: q.Interface, Method: q.Method, Desc: q.Desc}
	desc.Group, _ = q.Attachments.Get(motan2.KeyLongGroup)
	desc.Version, _ = q.Attachments.Get(motan2.KeyLongVersion)
	desc.Source, _ = q.Attachments.Get(motan2.KeyLongSource)
	co.g.request = incoming{head: head, v1: h.Version, raw: raw, desc: desc}
	co.call(&co.g.request)
}

// send1 writes a request in Motan1.
func (u *upstream) send1(c *call, raw []byte) {
	e := u.expect(c)
	u.append(e, len(raw), func(out []byte) []byte {
		at := len(out)
		out = append(out, raw...)
		motan1.SetID(out[at:], e.id)
		return out
	})
}

// scan1 handles a reply in Motan1. It returns how many bytes are done with; 0 when not all of it is there.
func (u *upstream) scan1(b []byte) int {
	h, ok, err := motan1.Scan(b, int(u.sh.r.set.MaxContent))
	switch {
	case errors.Is(err, motan1.ErrTooLarge):
		if c := u.expected(h.ID, h.Kind != motan1.KindRequest, true); c != nil {
			u.tooLarge(c, "the answer of "+u.ep.Address+" is too large: "+err.Error())
		}
		u.close(err)
		return len(b)
	case err != nil:
		u.garbled(err)
		return len(b)
	case !ok:
		return 0
	}
	if c := u.expected(h.ID, h.Kind != motan1.KindRequest, true); c != nil {
		sh := u.sh
		c.Now, c.RespBytes, c.Outcome = u.last, int64(h.Size), resources.OutcomeOK
		if h.Kind == motan1.KindException {
			c.Outcome = resources.OutcomeError
		}
		c.link.Conn.answer(c, b[:h.Size])
		sh.over(c)
		u.leaveIfGone()
	}
	return h.Size
}

func appendFault1(dst []byte, v motan1.Version, id uint64, f *resources.Fault) []byte {
	return motan1.AppendException(dst, v, id, 0, motan1.Exception{Class: motan1.ClassService, Status: status1, Code: int32(codes[f.Code]), Message: f.Text})
}

// appendFixed1 appends what a rule answers with. A text cannot be written, because nothing says how the caller writes values.
func appendFixed1(dst []byte, v motan1.Version, id uint64, st *resources.Stop) ([]byte, error) {
	if !st.Empty {
		return nil, errors.New("a request in Motan1 does not say in which serialization")
	}
	return motan1.AppendVoid(dst, v, id, 0), nil
}
