package mysql

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

const track41 = ClientProtocol41 | ClientTransactions | ClientSessionTrack | ClientDeprecateEOF

// TestParseOK: vectors from the protocol's documents and from MariaDB 10.11.
func TestParseOK(t *testing.T) {
	for _, c := range []struct {
		name string
		in   string
		caps Caps
		want OK
	}{
		{"plain", "\x00\x00\x00\x02\x00\x00\x00", ClientProtocol41, OK{Status: StatusAutocommit}},
		{"numbers", "\x00\xfc\x00\x01\xfd\x01\x00\x01\x03\x00\x05\x01", ClientProtocol41,
			OK{AffectedRows: 256, InsertID: 65537, Status: 3, Warnings: 261}},
		{"info with its length", "\x00\x01\x00\x02\x00\x00\x00\x05hello", ClientProtocol41, OK{AffectedRows: 1, Status: 2, Info: []byte("hello")}},
		{"info without", "\x00\x01\x00\x02\x00\x00\x00hello", ClientProtocol41, OK{AffectedRows: 1, Status: 2, Info: []byte("hello")}},
		{"before 4.1", "\x00\x01\x00\x02\x00", ClientTransactions, OK{AffectedRows: 1, Status: 2}},
		{"before transactions", "\x00\x01\x02", 0, OK{AffectedRows: 1, InsertID: 2}},
		{"session state", "\x00\x00\x00\x02\x40\x00\x00\x00\x04\x01\x02\x01d", track41,
			OK{Status: 0x4002, Info: []byte{}, Track: []byte("\x01\x02\x01d")}},
		{"session state and info", "\x00\x01\x00\x02\x40\x00\x00\x02hi\x03\x02\x01\x31", track41,
			OK{AffectedRows: 1, Status: 0x4002, Info: []byte("hi"), Track: []byte("\x02\x01\x31")}},
		{"info, no session state", "\x00\x01\x00\x02\x00\x00\x00\x02hi", track41, OK{AffectedRows: 1, Status: 2, Info: []byte("hi")}},
		{"end of rows", "\xfe\x00\x00\x22\x00\x01\x00", track41, OK{Status: 0x22, Warnings: 1}},
		{"EOF", "\xfe\x01\x00\x22\x00", track41, OK{Status: 0x22, Warnings: 1}},
	} {
		got, err := ParseOK([]byte(c.in), c.caps)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v (%v)\nwant %+v", c.name, got, err, c.want)
		}
	}
	for _, c := range []struct {
		in   string
		caps Caps
		err  string
	}{
		{"", 0, "no OK packet"},
		{"\x01", 0, "no OK packet"},
		{"\x00", 0, "without affected rows"},
		{"\x00\xfb\x00\x02\x00\x00\x00", 0, "without affected rows"},
		{"\x00\x00\xfc\x00", 0, "without insert id"},
		{"\x00\x00\x00\x02\x00\x00", ClientProtocol41, "within status"},
		{"\x00\x00\x00\x02", ClientTransactions, "within its status"},
		{"\x00\x00\x00\x02\x00\x00\x00\x05hi", track41, "information"},
		{"\x00\x00\x00\x02\x40\x00\x00\x00\x05hi", track41, "session state"},
		{"\x00\x00\x00\x02\x00\x00\x00\x00\x01x", track41, "behind its end"},
		{"\xfe\x00\x00\x22", ClientProtocol41, "within warnings"},
	} {
		if got, err := ParseOK([]byte(c.in), c.caps); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("% x: %+v, error %v, want one with %q", c.in, got, err, c.err)
		}
	}
}

// TestAppendOK: an OK as it is written for clients of all sorts.
func TestAppendOK(t *testing.T) {
	ok := OK{AffectedRows: 1, InsertID: 300, Status: StatusAutocommit | StatusSessionStateChanged, Warnings: 2, Info: []byte("hi"), Track: []byte("\x02\x01\x31")}
	plain := OK{Status: StatusAutocommit | StatusSessionStateChanged}
	for _, c := range []struct {
		name   string
		ok     *OK
		header byte
		caps   Caps
		want   string
	}{
		{"all", &ok, 0, track41, "\x10\x00\x00\x07\x00\x01\xfc\x2c\x01\x02\x40\x02\x00\x02hi\x03\x02\x01\x31"},
		{"no session state", &ok, 0, ClientProtocol41, "\x0c\x00\x00\x07\x00\x01\xfc\x2c\x01\x02\x00\x02\x00\x02hi"},
		{"no status", &ok, 0, 0, "\x08\x00\x00\x07\x00\x01\xfc\x2c\x01\x02hi"},
		{"status only", &ok, 0, ClientTransactions, "\x0a\x00\x00\x07\x00\x01\xfc\x2c\x01\x02\x00\x02hi"},
		{"nothing to track", &plain, 0, track41, "\x07\x00\x00\x07\x00\x00\x00\x02\x00\x00\x00"},
		{"end of rows", &plain, 0xfe, track41, "\x07\x00\x00\x07\xfe\x00\x00\x02\x00\x00\x00"},
		{"EOF", &ok, 0xfe, ClientProtocol41, "\x05\x00\x00\x07\xfe\x02\x00\x02\x00"},
		{"EOF before 4.1", &ok, 0xfe, 0, "\x01\x00\x00\x07\xfe"},
	} {
		got := AppendOK([]byte("x"), 7, c.header, c.ok, c.caps)
		if string(got) != "x"+c.want {
			t.Errorf("%s: % x\nwant % x", c.name, got[1:], c.want)
		}
	}
	back, err := ParseOK(AppendOK(nil, 1, 0, &ok, track41)[HeaderLen:], track41)
	if err != nil || !reflect.DeepEqual(back, ok) {
		t.Errorf("there and back: %+v, %v", back, err)
	}
}

func TestEOF(t *testing.T) {
	e := EOF{Warnings: 258, Status: StatusCursorExists | StatusAutocommit}
	b := AppendEOF(nil, 5, e, ClientProtocol41)
	if string(b) != "\x05\x00\x00\x05\xfe\x02\x01\x42\x00" {
		t.Errorf("% x", b)
	}
	if got, err := ParseEOF(b[HeaderLen:], ClientProtocol41); got != e || err != nil {
		t.Error(got, err)
	}
	for _, in := range []string{"", "\x00", "\xfe\x00", "\xfe\x00\x00\x00\x00\x00\x00\x00\x00"} {
		if got, err := ParseEOF([]byte(in), ClientProtocol41); err == nil {
			t.Errorf("% x: %+v", in, got)
		}
	}
}

func TestERR(t *testing.T) {
	for _, c := range []struct {
		code           uint16
		state, message string
		want           string
		back           string
	}{
		{1046, "3D000", "No database selected", "\x1d\x00\x00\x01\xff\x16\x04#3D000No database selected", "ERROR 1046 (3D000): No database selected"},
		{1040, "", "Too many connections", "\x17\x00\x00\x01\xff\x10\x04Too many connections", "ERROR 1040 (HY000): Too many connections"},
		{1, "HY000", "", "\x09\x00\x00\x01\xff\x01\x00#HY000", "ERROR 1 (HY000): "},
	} {
		got := AppendERR(nil, 1, c.code, c.state, c.message)
		if string(got) != c.want {
			t.Errorf("%q: %q", c.want, got)
		}
		e, err := ParseERR(got[HeaderLen:], ClientProtocol41)
		if err != nil || e.Code != c.code || string(e.Message) != c.message || e.Error() != c.back {
			t.Errorf("%q: %+v, %v", c.want, e, err)
		}
		clone := e.Clone()
		clear(got)
		if clone.Error() != c.back {
			t.Errorf("the clone changed: %v", clone)
		}
	}
	if e, err := ParseERR([]byte("\xff\x10\x04#08S01x"), 0); err != nil || string(e.Message) != "#08S01x" {
		t.Error("without ClientProtocol41 a message may begin with '#':", e, err)
	}
	for _, in := range []string{"", "\xff", "\xff\x01", "\x00\x00\x00"} {
		if _, err := ParseERR([]byte(in), 0); err == nil {
			t.Errorf("% x is an ERR", in)
		}
	}
	long := AppendERR(nil, 1, 1, "HY000", strings.Repeat("x", MaxReplyPacket))
	if len(long) != HeaderLen+MaxReplyPacket || !bytes.HasSuffix(long, []byte("xx")) {
		t.Errorf("a long message makes %d bytes", len(long))
	}
}
