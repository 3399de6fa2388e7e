package resp

import (
	"strings"
	"testing"
)

func TestAppend(t *testing.T) {
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"simple", AppendSimple(nil, "OK"), "+OK\r\n"},
		{"simple with line end", AppendSimple(nil, "a\r\n+b"), "+a  +b\r\n"},
		{"error", AppendError(nil, "ERR no"), "-ERR no\r\n"},
		{"error with line end", AppendError(nil, "ERR a\nb\rc\r\n"), "-ERR a b c  \r\n"},
		{"int", AppendInt(nil, -9223372036854775808), ":-9223372036854775808\r\n"},
		{"int of a digit", AppendInt(nil, 9), ":9\r\n"},
		{"int of two digits", AppendInt(nil, 10), ":10\r\n"},
		{"bulk", AppendBulk(nil, []byte("a\r\n")), "$3\r\na\r\n\r\n"},
		{"nil bulk", AppendBulk(nil, nil), "$0\r\n\r\n"},
		{"bulk string", AppendBulkString(nil, strings.Repeat("x", 12)), "$12\r\nxxxxxxxxxxxx\r\n"},
		{"null 2", AppendNull(nil, false), "$-1\r\n"},
		{"null 3", AppendNull(nil, true), "_\r\n"},
		{"null array 2", AppendNullArray(nil, false), "*-1\r\n"},
		{"null array 3", AppendNullArray(nil, true), "_\r\n"},
		{"array", AppendArray(nil, 12), "*12\r\n"},
		{"map 2", AppendMap(nil, 3, false), "*6\r\n"},
		{"map 3", AppendMap(nil, 3, true), "%3\r\n"},
		{"push 2", AppendPush(nil, 3, false), "*3\r\n"},
		{"push 3", AppendPush(nil, 3, true), ">3\r\n"},
		{"command", AppendCommand(nil, "GET", "k"), "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"},
		{"command of bytes", AppendCommandBytes(nil, []byte("GET"), []byte("k")), "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"},
		{"behind others", AppendError([]byte("+a\r\n"), "ERR b"), "+a\r\n-ERR b\r\n"},
	} {
		if string(c.got) != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 1024)
	value := []byte("value")
	if a := testing.AllocsPerRun(100, func() {
		b := AppendSimple(dst, "OK")
		b = AppendError(b, "ERR x")
		b = AppendInt(b, 123456)
		b = AppendBulk(b, value)
		b = AppendMap(b, 3, true)
		b = AppendCommand(b, "SET", "key", "value")
		b = AppendCommandBytes(b, value, value)
		_ = AppendNull(b, true)
	}); a != 0 {
		t.Errorf("appending allocates %v times", a)
	}
}

// TestSlot uses the values of the Redis Cluster specification and of CLUSTER KEYSLOT.
func TestSlot(t *testing.T) {
	for _, c := range []struct {
		key, tag string
		slot     uint16
	}{
		{"123456789", "123456789", 0x31c3},
		{"", "", 0},
		{"foo", "foo", 12182},
		{"bar", "bar", 5061},
		{"{user1000}.following", "user1000", 3443},
		{"{user1000}.followers", "user1000", 3443},
		{"foo{}{bar}", "foo{}{bar}", 8363},
		{"foo{{bar}}zap", "{bar", 4015},
		{"foo{bar}{zap}", "bar", 5061},
		{"foo{bar", "foo{bar", 15278},
		{"foo}bar{", "foo}bar{", 11073},
	} {
		if got := string(HashTag([]byte(c.key))); got != c.tag {
			t.Errorf("HashTag(%q) = %q, want %q", c.key, got, c.tag)
		}
		if got := Slot([]byte(c.key)); got != c.slot {
			t.Errorf("Slot(%q) = %d, want %d", c.key, got, c.slot)
		}
	}
}
