package script

import (
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// relayEnv is a relay in front of one fake server.
func relayEnv(t *testing.T) Env {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	p := fault.Start(t, fault.Options{Target: ln.Addr().String()})
	return Env{Address: p.Addr, Servers: map[string]net.Listener{"server": ln}, Vars: map[string]string{"who": "you"}}
}

func TestRelay(t *testing.T) {
	files, err := Files("testdata/*.script")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		Run(t, f, relayEnv(t))
	}
}

func TestAgainstRedis(t *testing.T) {
	n := server.Start(t, server.Redis{}).Primary
	s, err := Parse("redis", `
		client> [SET k "a b"]
		client< +OK\r\n
		client> *2\r\n$3\r\nGET\r\n
		client< NOTHING 20ms
		client> $1\r\nk\r\n
		client< $3\r\na b\r\n
		client> [NOSUCH]
		client~ -ERR unknown command 'NOSUCH'.*
		client2> [MULTI] [INCR n] [EXEC] [QUIT]
		client2< +OK\r\n+QUEUED\r\n*1\r\n:1\r\n+OK\r\n
		client2< EOF
	`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(Env{Address: n.Addr}); err != nil {
		t.Error(err)
	}
}

// TestSlowBytesOfARule sends a rule's bytes in two parts: the script must not see the first one.
func TestSlowBytesOfARule(t *testing.T) {
	s, err := Parse("slow", `
		server? [PING] +PONG\r\n
		client> *1\r\n$4\r\nPI
		wait 20ms
		client> NG\r\nrest
		server< rest
		client< +PONG\r\n
	`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(relayEnv(t)); err != nil {
		t.Error(err)
	}
}

func TestFailuresNameTheLine(t *testing.T) {
	for script, wants := range map[string][]string{
		"client> a\nserver< b\n":                                 {"x:2: server: other bytes than expected, from offset 0 (connection: still open)", `expected "b" [1 bytes]`, `got      "a" [1 bytes]`, "hex at 0: 62"},
		"client> [GET k]\nserver< [GET kk]\n":                    {"x:2: ", "from offset 14", `hex at 14:      31 0d 0a 6b 0d 0a`},
		"client> a\nserver< ab\n":                                {"x:2: ", "from offset 1", "(end)"},
		"# c\n\nserver< a\n":                                     {`x:3: server: no connection brought bytes within 100ms; expected "a"`},
		"client> a\nserver< a\nclient< b\n":                      {"x:3: client: ", `got      "" [0 bytes]`},
		"client> a\nserver< a\nserver! close\nclient< b\n":       {"x:4: client: ", "(connection: EOF)"},
		"client> a\nserver< a\nserver> b\nclient< EOF\n":         {`x:4: client: expected EOF, got "b" [1 bytes] (still open)`},
		"client> a\nserver< a\nserver! reset\nclient< EOF\n":     {`x:4: client: expected EOF, got nothing (RESET)`},
		"client> a\nserver< a\nserver> b\nclient< NOTHING 1s":    {`x:4: client: expected nothing for 1s, got "b"`},
		"client> a\nserver< a\nserver> -E x\\r\\n\nclient~ -F.*": {`x:4: client: expected a line that matches -F.*, got "-E x"`},
		"client> a\nserver< a\nserver> b\nclient~ .*":            {`x:4: client: expected a line that matches .*, got "b"`},
		"client> ab\nserver< a\n":                                {`x:2: at the end: server got bytes that no line expects: "b"`},
		"other> a\n":                                             {`x:1: other: there is no server "other"`},
	} {
		s, err := Parse("x", script, nil)
		if err != nil {
			t.Errorf("%q: %v", script, err)
			continue
		}
		env := relayEnv(t)
		env.Timeout = 100 * time.Millisecond
		err = s.Run(env)
		if err == nil {
			t.Errorf("%q passes", script)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: error\n%v\nwants %q", script, err, want)
			}
		}
	}
}

func TestParseErrors(t *testing.T) {
	for line, want := range map[string]string{
		"client":            "want ACTOR and one of",
		"a b> c":            "want ACTOR and one of",
		"client> \\q":       `bad escape at "\\q"`,
		"client> [GET":      "bracket without end",
		`client> [GET "a]`:  "quote without end",
		"client> []":        "a shorthand without words",
		"client> [A] b":     `"b" after a shorthand`,
		"client>":           "nothing to send",
		"client<":           "nothing to expect",
		"client< NOTHING x": "invalid duration",
		"client~ (":         "missing closing )",
		"client! dance":     `action "dance" of client`,
		"client! accept":    `action "accept" of client`,
		"server! connect":   `action "connect" of server`,
		"client? a b":       "only servers answer by rules",
		"server? a":         "wants two words",
		"wait long":         "invalid duration",
		"client> $(nobody)": "$(nobody) is not set",
		"client> $(open":    "$( without )",
	} {
		if _, err := Parse("x", "\n"+line, nil); err == nil || !strings.HasPrefix(err.Error(), "x:2: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", line, err, want)
		}
	}
	if _, err := Files("testdata/none*"); err == nil {
		t.Error("a pattern without files is no error")
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]string{
		`a\r\n\x00\\`:          "a\r\n\x00\\",
		`\xff`:                 "\xff",
		`é`:                    "é",
		`say "hi"`:             `say "hi"`,
		`\x5bno shorthand`:     "[no shorthand",
		`[PING]`:               "*1\r\n$4\r\nPING\r\n",
		`[SET k ""]`:           "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n",
		`[A "b ] c"] [ \x01 ]`: "*2\r\n$1\r\nA\r\n$5\r\nb ] c\r\n*1\r\n$1\r\n\x01\r\n",
	} {
		if got, err := parseBytes(text); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("client> [SET k \"a b\"]\nserver< \\x00\nserver? [PING] +PONG\\r\\n\nwait 5ms\n# c\nclient~ a.*\nclient< NOTHING 5ms")
	f.Add("client> $(a)")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("x", text, map[string]string{"a": "b"})
		if err != nil && !strings.HasPrefix(err.Error(), "x:") {
			t.Fatalf("error without a line: %v", err)
		}
		if err == nil && len(s.steps) > strings.Count(text, "\n")+1 {
			t.Fatal("more steps than lines")
		}
	})
}
