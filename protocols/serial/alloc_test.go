package serial

import "testing"

var allocValues = []any{
	"Ray", int32(5), int64(-1), nil, true, 1.5, []byte{1, 2}, []string{"a", "b"}, StringMap{{"k", "v"}}, []any{int32(1), Map{{"a", nil}}},
}

// Checking a body, and appending to a buffer with room, takes no memory.
func TestAllocs(t *testing.T) {
	simple, err := Simple{}.Append(nil, allocValues...)
	if err != nil {
		t.Fatal(err)
	}
	breeze, err := Breeze{}.Append(nil, append([]any{Message{"a.B", []Field{{1, "x"}}}}, allocValues...)...)
	if err != nil {
		t.Fatal(err)
	}
	scalars := []any{"Ray", int32(5), nil, true, 1.5, Proto{1}}
	dst := make([]byte, 0, 4096)
	for name, f := range map[string]func() error{
		"Simple.Check":    func() error { _, err := Simple{}.Check(simple); return err },
		"Breeze.Check":    func() error { _, err := Breeze{}.Check(breeze); return err },
		"Simple.Append":   func() error { _, err := Simple{}.Append(dst, allocValues...); return err },
		"Breeze.Append":   func() error { _, err := Breeze{}.Append(dst, allocValues...); return err },
		"Protobuf.Append": func() error { _, err := Protobuf{}.Append(dst, scalars...); return err },
	} {
		n := testing.AllocsPerRun(100, func() {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
