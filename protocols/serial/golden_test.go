package serial

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// golden is a line of a file in testdata: what a peer wrote.
type golden struct {
	peer    string
	written bool // we write the same bytes
	json    string
	body    []byte
}

func readGolden(t testing.TB, name string) (lines []golden) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 4 {
			t.Fatalf("%s: %q has %d parts, want 4", name, line, len(f))
		}
		body, err := hex.DecodeString(f[3])
		if err != nil {
			t.Fatalf("%s: %q: %v", name, line, err)
		}
		lines = append(lines, golden{f[0], f[1] == "=", f[2], body})
	}
	return lines
}

func same(a, b any) bool { return cmp.Equal(a, b, cmpopts.EquateNaNs()) }

// kindsOf returns the kinds of values, which Protobuf needs.
func kindsOf(values []any) []Kind {
	kinds := make([]Kind, len(values))
	for i, v := range values {
		kinds[i] = KindOf(v)
	}
	return kinds
}

// testGolden reads every line of a file, and writes it if we write the same.
func testGolden(t *testing.T, c Codec, least int) {
	lines := readGolden(t, c.ID().fileName())
	if len(lines) < least {
		t.Fatalf("%d lines in testdata, want at least %d", len(lines), least)
	}
	for _, g := range lines {
		want, err := ParseJSONArgs([]byte(g.json), Limits{})
		if err != nil {
			t.Fatalf("%s: %v", g.json, err)
		}
		got, err := c.Decode(g.body, kindsOf(want)...)
		if err != nil || !same(got, want) {
			t.Errorf("%s %s %x: %v, %v", g.peer, g.json, g.body, got, err)
		}
		if body, err := c.Append(nil, want...); g.written && (err != nil || !bytes.Equal(body, g.body)) {
			t.Errorf("%s %s: wrote %x, %v, want %x", g.peer, g.json, body, err, g.body)
		}
		text := []byte("[")
		for i, v := range want {
			if i > 0 {
				text = append(text, ',')
			}
			if text, err = AppendJSON(text, v); err != nil {
				t.Fatal(err)
			}
		}
		if text = append(text, ']'); string(text) != g.json {
			t.Errorf("%s as JSON is %s", g.json, text)
		}
	}
}

func (id ID) fileName() string {
	if id == IDGRPC {
		return "grpc"
	}
	return id.String()
}

func TestGoldenSimple(t *testing.T)   { testGolden(t, Simple{}, 75) }
func TestGoldenBreeze(t *testing.T)   { testGolden(t, Breeze{}, 95) }
func TestGoldenProtobuf(t *testing.T) { testGolden(t, Protobuf{}, 35) }
func TestGoldenGRPC(t *testing.T)     { testGolden(t, GRPC{}, 1) }
