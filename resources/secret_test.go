package resources

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestSecretReveal(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("SLUICE_TEST_SECRET", "hunter2")
	t.Setenv("SLUICE_TEST_EMPTY", "")
	long := write("long", strings.Repeat("x", maxSecretFile+1))
	for _, c := range []struct{ text, want, fails string }{
		{"", "", ""},
		{"hunter2", "hunter2", ""},
		{"$hunter}2", "$hunter}2", ""},
		{"${env:SLUICE_TEST_SECRET}", "hunter2", ""},
		{"${env:SLUICE_TEST_EMPTY}", "", ""},
		{"${env:SLUICE_TEST_NONE}", "", "secret ${env:SLUICE_TEST_NONE}: the environment variable SLUICE_TEST_NONE is not set"},
		{"${file:" + write("one", "hunter2\n") + "}", "hunter2", ""},
		{"${file:" + write("crlf", "hunter2\r\n") + "}", "hunter2", ""},
		{"${file:" + write("two", "a\nb\n\n") + "}", "a\nb\n", ""},
		{"${file:" + write("empty", "\n") + "}", "", "the file is empty"},
		{"${file:" + long + "}", "", "larger than 65536 bytes"},
		{"${file:" + dir + "/none}", "", "no such file"},
		{"${file:" + dir + "}", "", "is a directory"},
	} {
		s, err := NewSecret(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		got, err := s.Reveal()
		if got != c.want || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s reveals %q, %v; want %q, %s", c.text, got, err, c.want, c.fails)
		}
	}
}

func TestSecretRefuses(t *testing.T) {
	for _, text := range []string{"***", "${env:}", "${env:hunter 2}", "${env:hunter", "${file:hunter}", "${vault:hunter}", "${hunter}", "${", "${file:}"} {
		s, err := NewSecret(text)
		if err == nil || !strings.Contains(err.Error(), "${env:NAME}") && !strings.Contains(err.Error(), "${file:/path}") {
			t.Errorf("%s: %v", text, err)
		} else if strings.Contains(err.Error(), "hunter") {
			t.Errorf("the error shows the text: %v", err)
		}
		if !s.IsZero() {
			t.Errorf("%s is kept though it is refused", text)
		}
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	type settings struct {
		Password Secret `json:"password" yaml:"password"`
		Pointer  *Secret
		List     []Secret
	}
	literal, _ := NewSecret("hunter2")
	reference, _ := NewSecret("${env:PW}")
	v := settings{literal, &literal, []Secret{literal, reference}}
	raw := map[string]any{"password": literal}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10.3s", "%T"} {
		fmt.Fprintf(&out, verb+"\n", literal)
		fmt.Fprintf(&out, verb+"\n", &literal)
		fmt.Fprintf(&out, verb+"\n", v)
		fmt.Fprintf(&out, verb+"\n", raw)
	}
	b, err := json.Marshal([]any{v, raw, map[Secret]int{literal: 1}})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", literal, "settings", v, "raw", raw)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", literal, "settings", v, "raw", raw)
	for _, shape := range []string{"hunter", fmt.Sprintf("%x", "hunter"), fmt.Sprintf("%X", "hunter"), "104 117 110"} {
		if strings.Contains(out.String(), shape) {
			t.Fatalf("shown as %s in:\n%s", shape, out.String())
		}
	}
	if !strings.Contains(string(b), `"password":"***"`) || !strings.Contains(string(b), `"${env:PW}"`) {
		t.Fatalf("json %s", b)
	}
	if reference.String() != "${env:PW}" || literal.String() != "***" || (Secret{}).String() != "" {
		t.Fatal(reference, literal)
	}
}

func TestSecretEquality(t *testing.T) {
	a, _ := NewSecret("a")
	b, _ := NewSecret("b")
	again, _ := NewSecret("a")
	if a == b || a != again || !reflect.DeepEqual(a, again) || reflect.DeepEqual(a, b) {
		t.Fatal("secrets are compared by what is written")
	}
}
