package resp

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecode(t *testing.T) {
	str := func(s string) Value { return Value{Kind: '$', Str: s} }
	for _, c := range []struct {
		in   string
		want Value
	}{
		{"+OK\r\n", Value{Kind: '+', Str: "OK"}},
		{"-ERR x\r\n", Value{Kind: '-', Str: "ERR x"}},
		{":-5\r\n", Value{Kind: ':', Str: "-5", Int: -5}},
		{":+5\r\n", Value{Kind: ':', Str: "+5", Int: 5}},
		{"$2\r\n\r\n\r\n", str("\r\n")},
		{"$-1\r\n", Value{Kind: '$', Null: true}},
		{"*-1\r\n", Value{Kind: '*', Null: true}},
		{"_\r\n", Value{Kind: '_', Null: true}},
		{"#t\r\n", Value{Kind: '#', Str: "t", Int: 1}},
		{"#f\r\n", Value{Kind: '#', Str: "f"}},
		{",1.5\r\n", Value{Kind: ',', Str: "1.5"}},
		{"(12345678901234567890\r\n", Value{Kind: '(', Str: "12345678901234567890"}},
		{"!5\r\nERR x\r\n", Value{Kind: '!', Str: "ERR x"}},
		{"=7\r\ntxt:abc\r\n", Value{Kind: '=', Str: "abc"}},
		{"*0\r\n", Value{Kind: '*', Elems: []Value{}}},
		{"*2\r\n$1\r\na\r\n~1\r\n:1\r\n", Value{Kind: '*', Elems: []Value{str("a"), {Kind: '~', Elems: []Value{{Kind: ':', Str: "1", Int: 1}}}}}},
		{"%1\r\n$1\r\nk\r\n$1\r\nv\r\n", Value{Kind: '%', Elems: []Value{str("k"), str("v")}}},
		{">1\r\n$1\r\nk\r\n", Value{Kind: '>', Elems: []Value{str("k")}}},
		{"|1\r\n+a\r\n*1\r\n+b\r\n*1\r\n|0\r\n$1\r\nv\r\n", Value{Kind: '*', Elems: []Value{str("v")}}},
	} {
		got, n, err := Decode([]byte(c.in + "+NEXT\r\n"))
		if diff := cmp.Diff(c.want, got); diff != "" || n != len(c.in) || err != nil {
			t.Errorf("Decode(%q): n %d, err %v, value (-want +got):\n%s", c.in, n, err, diff)
		}
		for cut := range len(c.in) {
			if _, n, err := Decode([]byte(c.in[:cut])); n != 0 || err != nil {
				t.Errorf("Decode(%q) = %d, %v, want 0 as it is not whole", c.in[:cut], n, err)
			}
		}
	}
	if _, n, err := Decode([]byte("*1\r\n?")); n != 0 || err == nil {
		t.Errorf("malformed bytes: %d, %v", n, err)
	}
}

func TestValueGet(t *testing.T) {
	for _, in := range []string{
		"%2\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$5\r\nproto\r\n:3\r\n",
		"*4\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$5\r\nproto\r\n:3\r\n",
	} {
		v, _, err := Decode([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		if role, ok := v.Get("role"); !ok || role.Str != "master" {
			t.Errorf("Get(role) = %v, %v", role, ok)
		}
		if proto, ok := v.Get("proto"); !ok || proto.Int != 3 {
			t.Errorf("Get(proto) = %v, %v", proto, ok)
		}
		if _, ok := v.Get("master"); ok || v.IsError() {
			t.Error("a value was taken for a key, or a map for an error")
		}
	}
}
