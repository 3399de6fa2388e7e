package mysql

import (
	"reflect"
	"strings"
	"testing"
)

const attributes41 = ClientProtocol41 | ClientQueryAttributes

// Payloads of COM_STMT_EXECUTE for statement 7 with two parameters.
const (
	executeTypes = "\x17\x07\x00\x00\x00\x00\x01\x00\x00\x00" + "\x02" + "\x01" + "\x03\x00\xfd\x80" + "\x2a\x00\x00\x00"
	executeBare  = "\x17\x07\x00\x00\x00\x00\x01\x00\x00\x00" + "\x02" + "\x00" + "\x2a\x00\x00\x00"
	executeNamed = "\x17\x07\x00\x00\x00\x09\x01\x00\x00\x00" + "\x03" + "\x00" + "\x01" + "\x03\x00\x00\x08\x80\x00\xfe\x00\x05trace" +
		"\x2a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02ab"
)

func TestParseExecute(t *testing.T) {
	for _, c := range []struct {
		name    string
		in      string
		nparams int
		caps    Caps
		want    Execute
	}{
		{"types", executeTypes, 2, ClientProtocol41, Execute{ID: 7, Iterations: 1, Params: 2, Nulls: 10, NullsEnd: 11, NewTypes: true, Types: 12, TypesEnd: 16, Values: 16}},
		{"no types", executeBare, 2, ClientProtocol41, Execute{ID: 7, Iterations: 1, Params: 2, Nulls: 10, NullsEnd: 11, Types: 12, TypesEnd: 12, Values: 12}},
		{"no parameters", executeTypes[:10], 0, ClientProtocol41, Execute{ID: 7, Iterations: 1, Types: 10, TypesEnd: 10, Values: 10}},
		{"flag without the capability", "\x17\x07\x00\x00\x00\x08\x01\x00\x00\x00", 0, ClientProtocol41, Execute{ID: 7, Flags: 8, Iterations: 1, Types: 10, TypesEnd: 10, Values: 10}},
		{"capability without the flag", executeTypes, 2, attributes41, Execute{ID: 7, Iterations: 1, Params: 2, Nulls: 10, NullsEnd: 11, NewTypes: true, Types: 12, TypesEnd: 16, Values: 16}},
		{"attributes", executeNamed, 2, attributes41, Execute{ID: 7, Flags: 9, Iterations: 1, Params: 3, Nulls: 11, NullsEnd: 12, NewTypes: true, Types: 13, TypesEnd: 27, Values: 27, Named: true}},
		{"no attributes", "\x17\x07\x00\x00\x00\x08\x01\x00\x00\x00\x00", 0, attributes41, Execute{ID: 7, Flags: 8, Iterations: 1, Types: 11, TypesEnd: 11, Values: 11, Named: true}},
	} {
		got, err := ParseExecute([]byte(c.in), c.nparams, c.caps)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v (%v)\nwant %+v", c.name, got, err, c.want)
		}
	}
	for _, c := range []struct {
		in      string
		nparams int
		caps    Caps
		err     string
	}{
		{"", 0, 0, "no COM_STMT_EXECUTE"},
		{executeTypes[:9], 0, 0, "no COM_STMT_EXECUTE"},
		{"\x16" + executeTypes[1:], 0, 0, "no COM_STMT_EXECUTE"},
		{executeTypes[:11], 2, 0, "NULL bitmap"},
		{executeTypes, 200, 0, "NULL bitmap"},
		{executeTypes[:15], 2, 0, "types of 2"},
		{executeBare[:11] + "\x02", 2, 0, "want 0 or 1"},
		{executeNamed[:10], 2, attributes41, "number of values"},
		{executeNamed, 4, attributes41, "number of values"},
		{executeNamed[:10] + "\xfe\xff\xff\xff\xff\xff\xff\xff\xff", 0, attributes41, "number of values"},
		{executeNamed[:20], 2, attributes41, "types of 3"},
	} {
		if got, err := ParseExecute([]byte(c.in), c.nparams, c.caps); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("% x: %+v, error %v, want one with %q", c.in, got, err, c.err)
		}
	}
}

// TestExecuteWithTypes: what an execution without types becomes is the same execution with them.
func TestExecuteWithTypes(t *testing.T) {
	e, err := ParseExecute([]byte(executeTypes), 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := ParseExecute([]byte(executeBare), 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := AppendExecuteWithTypes([]byte("x"), []byte(executeBare), bare.Types, []byte(executeTypes[e.Types:e.TypesEnd]))
	if string(got) != "x"+executeTypes {
		t.Errorf("% x\nwant % x", got, executeTypes)
	}
}

func TestBulkExecute(t *testing.T) {
	const types = "\xfa\x07\x00\x00\x00\x80\x00\xfe\x00\x03\x80\x00\x01a\x00\x01\x00\x00\x00"
	const bare = "\xfa\x07\x00\x00\x00\x00\x00\x00\x01a\x00\x01\x00\x00\x00"
	e, err := ParseBulkExecute([]byte(types), 2)
	if want := (BulkExecute{ID: 7, Flags: BulkSendTypes, Types: 7, TypesEnd: 11}); err != nil || e != want {
		t.Errorf("%+v, %v", e, err)
	}
	b, err := ParseBulkExecute([]byte(bare), 2)
	if want := (BulkExecute{ID: 7, Types: 7, TypesEnd: 7}); err != nil || b != want {
		t.Errorf("%+v, %v", b, err)
	}
	if got := AppendBulkWithTypes([]byte("x"), []byte(bare), []byte(types[e.Types:e.TypesEnd])); string(got) != "x"+types {
		t.Errorf("% x\nwant % x", got, types)
	}
	for _, in := range []string{"", types[:6], types[:10], "\x17" + types[1:]} {
		if _, err := ParseBulkExecute([]byte(in), 2); err == nil {
			t.Errorf("% x is no error", in)
		}
	}
}

func TestStmtID(t *testing.T) {
	for _, in := range []string{executeTypes, "\x19\x07\x00\x00\x00", "\x1c\x07\x00\x00\x00\x01\x00\x00\x00", "\x18\x07\x00\x00\x00\x01\x00abc", prepareOK} {
		b := []byte(in)
		if id, ok := StmtID(b); !ok || id != 7 {
			t.Errorf("% x: %d, %v", in, id, ok)
		}
		PutStmtID(b, LastPrepared)
		if id, ok := StmtID(b); !ok || id != LastPrepared || string(b[:1])+string(b[5:]) != in[:1]+in[5:] {
			t.Errorf("% x becomes % x", in, b)
		}
	}
	if _, ok := StmtID([]byte("\x19\x07\x00\x00")); ok {
		t.Error("an id of 3 bytes is accepted")
	}
}

func TestPrepareOK(t *testing.T) {
	for _, c := range []struct {
		in   string
		caps Caps
		want PrepareOK
	}{
		{prepareOK, 0, PrepareOK{ID: 7, Columns: 1, Params: 2}},
		{"\x00\x01\x00\x00\x80\xff\xff\x00\x01\x00\x05\x01", 0, PrepareOK{ID: 0x80000001, Columns: 0xffff, Params: 256, Warnings: 261}},
		{prepareOK[:10], 0, PrepareOK{ID: 7, Columns: 1, Params: 2}},
		{prepareOK + "\x00", 0, PrepareOK{ID: 7, Columns: 1, Params: 2}},
		{prepareOK + "\x00", ClientOptionalResultsetMetadata, PrepareOK{ID: 7, Columns: 1, Params: 2, Bare: true}},
		{prepareOK + "\x01", ClientOptionalResultsetMetadata, PrepareOK{ID: 7, Columns: 1, Params: 2}},
	} {
		if got, err := ParsePrepareOK([]byte(c.in), c.caps); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("% x: %+v, %v", c.in, got, err)
		}
	}
	for _, in := range []string{"", prepareOK[:9], "\xff" + prepareOK[1:]} {
		if _, err := ParsePrepareOK([]byte(in), 0); err == nil {
			t.Errorf("% x is no error", in)
		}
	}
}

// queryAttributes has a value of each length, one of them NULL, in front of a statement.
const queryAttributes = "\x08\x01" + "\x08" + "\x01" +
	"\x01\x00\x01a" + "\x02\x00\x01b" + "\x03\x80\x00" + "\xfd\x00\x01d" + "\x08\x00\x01e" + "\x0c\x00\x01f" + "\xfe\x00\x05trace" + "\x06\x00\x01h" +
	"\x01" + "\x02\x03" + "\x04\x05\x06\x07" + "" + "12345678" + "\x07\xe8\x07\x01\x02\x03\x04\x05" + "\x04abcd" + ""

func TestParseQuery(t *testing.T) {
	for _, c := range []struct {
		in         string
		caps       Caps
		attrs, sql string
	}{
		{"\x03SELECT 1", ClientProtocol41, "", "SELECT 1"},
		{"\x03", ClientProtocol41, "", ""},
		{"\x03\x00\x01SELECT 1", attributes41, "\x00\x01", "SELECT 1"},
		{"\x03\x01\x01\x00\x01\xfe\x00\x01k\x01vSELECT 1", attributes41, "\x01\x01\x00\x01\xfe\x00\x01k\x01v", "SELECT 1"},
		{"\x03" + queryAttributes + "SELECT 1", attributes41, queryAttributes, "SELECT 1"},
	} {
		attrs, sql, err := ParseQuery([]byte(c.in), c.caps)
		if err != nil || string(attrs) != c.attrs || string(sql) != c.sql {
			t.Errorf("%q: %q, %q, %v", c.in, attrs, sql, err)
		}
	}
	for _, c := range []struct {
		in  string
		err string
	}{
		{"", "no COM_QUERY"},
		{"\x04", "no COM_QUERY"},
		{"\x03", "number of attributes"},
		{"\x03\xfbx", "number of attributes"},
		{"\x03\xfd\x01\x00\x02\x01", "number of attributes"},
		{"\x03\x00", "sets of attributes"},
		{"\x03\x00\x02", "2 sets of attributes"},
		{"\x03\x01\x01\x00\x00", "without types"},
		{"\x03\x01\x01\x00", "without types"},
		{"\x03\x01\x01\x00\x01\xfe\x00\x02k", "within the types"},
		{"\x03\x01\x01\x00\x01\xfe\x00\x01k\x05v", "attribute 0, of type 254"},
		{"\x03\x01\x01\x00\x01\x08\x00\x01k1234567", "attribute 0, of type 8"},
		{"\x03\x01\x01\x00\x01\x0b\x00\x01k", "attribute 0, of type 11"},
		{"\x03\x01\x01\x00\x01\x0b\x00\x01k\x08x", "attribute 0, of type 11"},
	} {
		if _, _, err := ParseQuery([]byte(c.in), attributes41); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: error %v, want one with %q", c.in, err, c.err)
		}
	}
	for i := range len(queryAttributes) {
		if _, sql, err := ParseQuery([]byte("\x03"+queryAttributes[:i]), attributes41); err == nil {
			t.Errorf("attributes cut at %d are accepted, with %q behind them", i, sql)
		}
	}
}
