package motanurl

import (
	"encoding/hex"
	"strings"
	"testing"
	"unicode/utf8"
)

// java is what java.io.ObjectOutputStream of OpenJDK 17 wrote for each text.
var java = map[string]string{
	"":                                    "aced0005740000",
	"motan2://10.0.0.1:8002/a.B?group=g&": "aced00057400236d6f74616e323a2f2f31302e302e302e313a383030322f612e423f67726f75703d6726",
	"\x00é中😀":                             "aced000574000dc080c3a9e4b8adeda0bdedb880",
	"\uFFFD":                              "aced0005740003eda0bd", // a surrogate alone
}

func TestText(t *testing.T) {
	for want, wire := range java {
		data, err := hex.DecodeString(wire)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Text(data); err != nil || got != want {
			t.Errorf("%s: got %q and %v, want %q", wire, got, err, want)
		}
	}
	long := strings.Repeat("x", 70000)
	if got, err := Text([]byte("\xac\xed\x00\x05\x7c\x00\x00\x00\x00\x00\x01\x11\x70" + long)); err != nil || got != long {
		t.Errorf("a long string: %d bytes and %v", len(got), err)
	}
	for _, plain := range []string{"", "x", "\xac", "motan2://h:1/p?a=中"} {
		if got, err := Text([]byte(plain)); err != nil || got != plain {
			t.Errorf("plain text %q was read as %q and %v", plain, got, err)
		}
	}
	for _, bad := range []string{
		"\xac\xed", "\xac\xed\x00\x05", "\xac\xed\x00\x06\x74\x00\x00", "\xac\xed\x00\x05\x74\x00", "\xac\xed\x00\x05\x74\x00\x02a",
		"\xac\xed\x00\x05\x74\x00\x01ab", "\xac\xed\x00\x05\x73\x00\x01a", "\xac\xed\x00\x05\x7c\xff\xff\xff\xff\xff\xff\xff\xffa",
		"\xac\xed\x00\x05\x74\x00\x01\xff", "\xac\xed\x00\x05\x74\x00\x01\xc3", "\xac\xed\x00\x05\x74\x00\x02\xe4\xb8",
	} {
		if got, err := Text([]byte(bad)); err == nil {
			t.Errorf("%q was read as %q", bad, got)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, wire := range java {
		data, err := hex.DecodeString(wire)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("motan2://h:1/p"))
	f.Add([]byte("\xac\xed\x00\x05\x74\x00\x06\xed\xa0\xbd\xed\xa0\xbd"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text, err := Text(data)
		stream := len(data) > 1 && data[0] == 0xac && data[1] == 0xed
		switch {
		case !stream && (err != nil || text != string(data)):
			t.Fatalf("plain text %q was read as %q, %v", data, text, err)
		case stream && err == nil && !utf8.ValidString(text):
			t.Fatalf("%x was read as %q, which is no UTF-8", data, text)
		case len(text) > len(data):
			t.Fatalf("%d bytes became %d", len(data), len(text))
		}
	})
}
