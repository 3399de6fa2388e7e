package mysql

import (
	"strings"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
)

// native returns the error number and SQLSTATE of a fault, as servers of the same family use them. Where drivers treat a
// number as a lost connection, the session is closed, and only there.
func native(f *resources.Fault, maria bool) (code uint16, state string) {
	switch f.Code {
	case resources.Unavailable, resources.Unknown:
		return 1158, "08S01"
	case resources.Timeout:
		if maria {
			return 1969, "70100"
		}
		return 3024, "HY000"
	case resources.Limited:
		return 1226, "42000"
	case resources.Denied:
		return 1142, "42000"
	case resources.TooLarge:
		return 1153, "08S01"
	case resources.Draining:
		return 1053, "08S01"
	}
	return 1105, "HY000" // degraded, breaker
}

// AppendStop implements resources.Resource.
func (r *Resource) AppendStop(dst []byte, c *resources.Call, st *resources.Stop) []byte {
	s, _ := c.View.(*session)
	if s == nil { // before a greeting
		code, state := native(st.Fault, r.maria())
		return mysql.AppendERR(dst, 0, code, state, st.Fault.Text)
	}
	switch {
	case st.Fault != nil:
		return s.appendFault(dst, st.Fault)
	case st.Empty && c.Class == resources.ClassRead:
		return s.appendRows(dst, "empty")
	case st.Empty:
		op := r.rt.Ops().Info(c.Op).Name
		return mysql.AppendERR(dst, 1, 1105, "HY000", "sluice: "+r.rt.Name()+": "+op+" is degraded and only reads have an empty answer")
	}
	if c.Class == resources.ClassRead {
		return s.appendRows(dst, "reply", st.Reply)
	}
	return mysql.AppendOK(dst, 1, 0, &mysql.OK{Status: s.status, Info: []byte(st.Reply)}, s.caps)
}

// appendFault appends a fault as an ERR packet. Injected faults bring their own text: "1205 HY000 Lock wait timeout
// exceeded" has number and SQLSTATE in front.
func (s *session) appendFault(dst []byte, f *resources.Fault) []byte {
	code, state := native(f, s.r.maria())
	text := f.Text
	if !strings.HasPrefix(text, "sluice: ") {
		if n, st, rest, ok := parseError(text); ok {
			code, state, text = n, st, rest
		}
	}
	return mysql.AppendERR(dst, 1, code, state, text)
}

// parseError reads "1205 HY000 text".
func parseError(text string) (code uint16, state, rest string, ok bool) {
	num, rest, ok1 := strings.Cut(text, " ")
	st, rest, ok2 := strings.Cut(rest, " ")
	if !ok1 || !ok2 || len(st) != 5 || len(num) > 5 {
		return 0, "", "", false
	}
	n := 0
	for _, c := range []byte(num) {
		if c < '0' || c > '9' {
			return 0, "", "", false
		}
		n = n*10 + int(c-'0')
	}
	return uint16(n), st, rest, n > 0 && n < 1<<16
}

// appendRows appends a result with one column of text and the given rows.
func (s *session) appendRows(dst []byte, column string, rows ...string) []byte {
	seq := byte(1)
	packet := func(payload []byte) {
		dst = mysql.AppendHeader(dst, len(payload), seq)
		dst = append(dst, payload...)
		seq++
	}
	count := []byte{1}
	if s.caps.Has(mysql.MariaDBCacheMetadata) && !s.caps.Has(mysql.ClientLongPassword) {
		count = append(count, 1)
	}
	packet(count)
	def := mysql.AppendLenencString(nil, "def")
	for _, name := range []string{"", "", "", column, column} {
		def = mysql.AppendLenencString(def, name)
	}
	if s.caps.Has(mysql.MariaDBExtMetadata) && !s.caps.Has(mysql.ClientLongPassword) {
		def = append(def, 0)
	}
	def = append(def, 0x0c, 45, 0, 0, 0, 1, 0, 0xfd, 0, 0, 0, 0, 0) // utf8mb4, VAR_STRING
	packet(def)
	eof := s.caps.Has(mysql.ClientDeprecateEOF)
	if !eof {
		dst = mysql.AppendEOF(dst, seq, mysql.EOF{Status: s.status}, s.caps)
		seq++
	}
	for _, r := range rows {
		var row []byte
		if s.cmd == mysql.ComStmtExecute {
			row = append(row, 0, 0)
		}
		packet(mysql.AppendLenencString(row, r))
	}
	if eof {
		return mysql.AppendOK(dst, seq, 0xfe, &mysql.OK{Status: s.status}, s.caps)
	}
	return mysql.AppendEOF(dst, seq, mysql.EOF{Status: s.status}, s.caps)
}

// stopped answers a call that a filter ended.
func (s *session) stopped(st *resources.Stop) bool {
	c := &s.call
	if s.skipRest() != nil {
		s.over = true
	}
	s.phase.Store(phaseSend)
	s.out = s.r.AppendStop(s.out[:0], c, st)
	c.RespBytes = int64(len(s.out))
	c.Now = clock.Now()
	if !s.over && s.sayStop() != nil {
		s.over = true
	}
	s.r.rt.End(c)
	s.count(c.Outcome)
	return !s.over && !(st.Fault != nil && st.Fault.Close)
}

// failed answers a call that ended with a fault.
func (s *session) failed(c *resources.Call) bool {
	f := c.Fault
	if c.Sent == resources.SentAnswered {
		return false // the client has part of a reply: only the end of the connection is true
	}
	if s.over || s.skipRest() != nil {
		return false
	}
	s.fault(f)
	return !f.Close && f.Code != resources.Unknown && !s.reopened // which the client does not know of
}

// fault answers with a fault.
func (s *session) fault(f *resources.Fault) {
	s.phase.Store(phaseSend)
	s.out = s.appendFault(s.out[:0], f)
	_ = s.client.write(s.out)
}
