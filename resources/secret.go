package resources

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Secret is a password or a key in a driver's settings. It is written as a reference, `${env:NAME}` or
// `${file:/path}`, that is followed only when the secret is used: by Reveal. `${secret:NAME}` is one that the governance
// centre keeps and sends along with the resource. A literal text is accepted too, where the file that holds it is itself
// private.
//
// Whatever prints or marshals a Secret shows the reference, or "***" in place of a literal. This holds for fmt with
// every verb, log/slog, encoding/json and YAML. Two Secrets are equal (==, reflect.DeepEqual) when they are written
// alike, and one of the centre's has the same value.
type Secret struct {
	// Unexported, so that no encoder and no %#v can reach the text behind the methods.
	text string
	sent string // what the centre sent for ${secret:NAME}
}

// SecretMask is shown in place of a literal secret. It is refused as a secret: a masked dump fed back would otherwise
// replace the real one.
const SecretMask = "***"

// maxSecretFile bounds the file behind ${file:}: keys and passwords are far smaller.
const maxSecretFile = 64 << 10

// NewSecret returns the secret that text is or refers to. The error never holds the text.
func NewSecret(text string) (Secret, error) {
	var s Secret
	err := s.UnmarshalText([]byte(text))
	return s, err
}

// UnmarshalText implements encoding.TextUnmarshaler. It keeps the reference and does not follow it. The error never
// holds the text.
func (s *Secret) UnmarshalText(b []byte) error {
	text := string(b)
	if text == SecretMask {
		return errors.New("*** stands for a secret that is not shown: write the secret's reference, such as ${env:NAME} or ${file:/path}")
	}
	if strings.HasPrefix(text, "${") {
		kind, arg, ok := reference(text)
		switch {
		case !ok || kind != "env" && kind != "file" && kind != "secret":
			return errors.New("this is not a reference to a secret: write ${env:NAME}, ${file:/path}, or ${secret:NAME} for one that the centre keeps")
		case kind == "env" && strings.ContainsAny(arg, "= \t\r\n\x00{}$"):
			return errors.New("this is not the name of an environment variable: write ${env:NAME}, with letters, digits and _")
		case kind == "file" && (!strings.HasPrefix(arg, "/") || strings.ContainsAny(arg, "\r\n\x00")):
			return errors.New("the file of a secret needs an absolute path: write ${file:/path}")
		case kind == "secret" && !secretName.MatchString(arg):
			return errors.New("this is not the name of a secret: write ${secret:NAME}, with letters, digits, '_', '.' and '-', at most 128")
		}
	}
	s.text, s.sent = text, ""
	return nil
}

// reference splits ${kind:arg}.
func reference(text string) (kind, arg string, ok bool) {
	body, isRef := strings.CutPrefix(text, "${")
	body, closed := strings.CutSuffix(body, "}")
	kind, arg, ok = strings.Cut(body, ":")
	return kind, arg, ok && isRef && closed && arg != ""
}

var (
	secretName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`)
	sentSecret = regexp.MustCompile(`\$\{secret:([A-Za-z0-9][A-Za-z0-9_.-]{0,127})\}`)
)

// SecretNames returns the names of the centre's secrets that a resource, as YAML or JSON, refers to: sorted, each once.
func SecretNames(spec []byte) []string {
	if !bytes.Contains(spec, []byte("${secret:")) {
		return nil
	}
	var names []string
	for _, m := range sentSecret.FindAllSubmatch(spec, -1) {
		names = append(names, string(m[1]))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Name returns the name of a secret that the centre keeps; ok is false for any other.
func (s Secret) Name() (name string, ok bool) {
	kind, name, ok := reference(s.text)
	return name, ok && kind == "secret"
}

// Sent returns the secret with the value that the centre sent for its Name.
func (s Secret) Sent(value string) Secret { return Secret{text: s.text, sent: value} }

// IsZero reports whether nothing is written.
func (s Secret) IsZero() bool { return s.text == "" }

// IsReference reports whether the secret is a reference, so that printing it loses nothing.
func (s Secret) IsReference() bool { return strings.HasPrefix(s.text, "${") }

// Reveal returns the secret itself: the variable's value, or the file's content without one newline at its end.
// Errors name the reference and what is wrong with it: a variable that is not set, a file that is missing, empty or
// larger than 64 KiB. The result must not be logged, nor kept longer than it is needed.
func (s Secret) Reveal() (string, error) {
	if !s.IsReference() {
		return s.text, nil
	}
	kind, arg, _ := reference(s.text)
	if kind == "secret" {
		if s.sent == "" {
			return "", fmt.Errorf("secret %s: the centre sent no value for it", s)
		}
		return s.sent, nil
	}
	if kind == "env" {
		v, ok := os.LookupEnv(arg)
		if !ok {
			return "", fmt.Errorf("secret %s: the environment variable %s is not set", s, arg)
		}
		return v, nil
	}
	f, err := os.Open(arg)
	if err != nil {
		return "", fmt.Errorf("secret %s: %w", s, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("secret %s: %w", s, err)
	case len(b) > maxSecretFile:
		return "", fmt.Errorf("secret %s: the file is larger than %d bytes", s, maxSecretFile)
	}
	v := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if v == "" {
		return "", fmt.Errorf("secret %s: the file is empty", s)
	}
	return v, nil
}

// String returns the reference, "***" for a literal and "" for nothing.
func (s Secret) String() string {
	if s.text == "" || s.IsReference() {
		return s.text
	}
	return SecretMask
}

// GoString implements fmt.GoStringer, for %#v.
func (s Secret) GoString() string { return fmt.Sprintf("resources.Secret(%q)", s.String()) }

// Format implements fmt.Formatter, so that no verb (%x, %q, %d) reaches the text.
func (s Secret) Format(f fmt.State, verb rune) {
	switch {
	case verb == 'q':
		fmt.Fprintf(f, "%q", s.String())
	case verb == 'v' && f.Flag('#'):
		io.WriteString(f, s.GoString())
	default:
		io.WriteString(f, s.String())
	}
}

// MarshalText implements encoding.TextMarshaler: what String returns.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
