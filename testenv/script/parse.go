package script

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/testenv/load/resp"
)

// Script is a parsed file.
type Script struct {
	Name  string // for messages
	steps []step
}

// step is one line.
type step struct {
	line  int
	actor string
	sign  byte // > < ~ ! ? and w for wait
	text  string

	data, answer []byte // bytes to send or expect; of '?' what to answer
	expr         *regexp.Regexp
	pause        time.Duration // of wait and NOTHING
}

// Load reads a script. vars replace $(NAME).
func Load(path string, vars map[string]string) (*Script, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(filepath.Base(path), string(b), vars)
}

// Parse parses the text of a script. Errors begin with NAME:LINE.
func Parse(name, text string, vars map[string]string) (*Script, error) {
	s := &Script{Name: name}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		st, err := parseLine(line, vars)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
		st.line = i + 1
		s.steps = append(s.steps, st)
	}
	return s, nil
}

func parseLine(line string, vars map[string]string) (step, error) {
	line, err := substitute(line, vars)
	if err != nil {
		return step{}, err
	}
	if rest, ok := strings.CutPrefix(line, "wait "); ok {
		d, err := time.ParseDuration(strings.TrimSpace(rest))
		return step{sign: 'w', pause: d}, err
	}
	at := strings.IndexAny(line, "><~!?")
	if at <= 0 || strings.ContainsAny(line[:at], " \t") {
		return step{}, fmt.Errorf("%q: want ACTOR and one of > < ~ ! ?, or wait DURATION", line)
	}
	st := step{actor: line[:at], sign: line[at], text: strings.TrimSpace(line[at+1:])}
	switch st.sign {
	case '~':
		st.expr, err = regexp.Compile("^(?:" + st.text + ")$")
	case '!':
		err = st.parseAction()
	case '?':
		err = st.parseRule()
	case '<':
		err = st.parseExpectation()
	default:
		st.data, err = parseBytes(st.text)
	}
	if err == nil && st.sign == '>' && len(st.data) == 0 {
		err = fmt.Errorf("nothing to send")
	}
	return st, err
}

func (st *step) isClient() bool { return strings.HasPrefix(st.actor, "client") }

func (st *step) parseAction() error {
	switch st.text {
	case "shut", "close", "reset":
		return nil
	case "connect":
		if st.isClient() {
			return nil
		}
	case "accept":
		if !st.isClient() {
			return nil
		}
	}
	return fmt.Errorf("action %q of %s: want shut, close, reset, and connect of a client or accept of a server", st.text, st.actor)
}

func (st *step) parseRule() error {
	if st.isClient() {
		return fmt.Errorf("%s? : only servers answer by rules", st.actor)
	}
	first, rest, err := cutWord(st.text)
	if err != nil {
		return err
	}
	if rest == "" {
		return fmt.Errorf("%s? wants two words: what comes and what to answer", st.actor)
	}
	if st.data, err = parseBytes(first); err != nil {
		return err
	}
	st.answer, err = parseBytes(rest)
	return err
}

func (st *step) parseExpectation() (err error) {
	if d, ok := strings.CutPrefix(st.text, "NOTHING "); ok {
		st.text = "NOTHING"
		st.pause, err = time.ParseDuration(strings.TrimSpace(d))
		return err
	}
	if st.text == "EOF" || st.text == "RESET" {
		return nil
	}
	if st.data, err = parseBytes(st.text); err == nil && len(st.data) == 0 {
		err = fmt.Errorf("nothing to expect: write bytes, EOF, RESET or NOTHING DURATION")
	}
	return err
}

// substitute replaces $(NAME).
func substitute(line string, vars map[string]string) (string, error) {
	for from := 0; ; {
		i := strings.Index(line[from:], "$(")
		if i < 0 {
			return line, nil
		}
		i += from
		end := strings.IndexByte(line[i:], ')')
		if end < 0 {
			return "", fmt.Errorf("$( without )")
		}
		name := line[i+2 : i+end]
		v, ok := vars[name]
		if !ok {
			return "", fmt.Errorf("$(%s) is not set", name)
		}
		line = line[:i] + v + line[i+end+1:]
		from = i + len(v)
	}
}

// parseBytes decodes escaped bytes or shorthands.
func parseBytes(s string) ([]byte, error) {
	if !strings.HasPrefix(s, "[") {
		return unescape(s)
	}
	var out []byte
	for s != "" {
		word, rest, err := cutWord(s)
		if err != nil {
			return nil, err
		}
		if word[0] != '[' {
			return nil, fmt.Errorf("%q after a shorthand: put a shorthand or nothing there", word)
		}
		args, err := splitWords(word[1 : len(word)-1])
		if err != nil {
			return nil, err
		}
		out = resp.AppendCommand(out, args...)
		s = rest
	}
	return out, nil
}

func unescape(s string) ([]byte, error) {
	var b []byte
	for rest := s; rest != ""; {
		c, multi, tail, err := strconv.UnquoteChar(rest, 0)
		if err != nil {
			return nil, fmt.Errorf("%q: bad escape at %q", s, rest)
		}
		if rest[0] == '\\' && !multi {
			b = append(b, byte(c))
		} else {
			b = append(b, string(c)...)
		}
		rest = tail
	}
	return b, nil
}

// cutWord splits s behind its first word: a shorthand up to its bracket, or what stands before a blank.
func cutWord(s string) (word, rest string, err error) {
	end := strings.IndexAny(s, " \t")
	if strings.HasPrefix(s, "[") {
		if end, err = bracketEnd(s); err != nil {
			return "", "", err
		}
	}
	if end < 0 {
		end = len(s)
	}
	return s[:end], strings.TrimSpace(s[end:]), nil
}

// bracketEnd returns the offset behind the bracket that closes the one at the start of s.
func bracketEnd(s string) (int, error) {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case ']':
			return i + 1, nil
		case '"':
			q, err := strconv.QuotedPrefix(s[i:])
			if err != nil {
				return 0, fmt.Errorf("%q: quote without end", s)
			}
			i += len(q) - 1
		}
	}
	return 0, fmt.Errorf("%q: bracket without end", s)
}

// splitWords splits the inside of a shorthand.
func splitWords(s string) ([]string, error) {
	var words []string
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		if s[0] == '"' {
			q, err := strconv.QuotedPrefix(s)
			if err != nil {
				return nil, fmt.Errorf("%q: quote without end", s)
			}
			w, err := strconv.Unquote(q)
			if err != nil {
				return nil, err
			}
			words, s = append(words, w), s[len(q):]
			continue
		}
		end := strings.IndexAny(s, " \t")
		if end < 0 {
			end = len(s)
		}
		w, err := unescape(s[:end])
		if err != nil {
			return nil, err
		}
		words, s = append(words, string(w)), s[end:]
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("a shorthand without words")
	}
	return words, nil
}
