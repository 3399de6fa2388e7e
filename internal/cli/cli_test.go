package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNumbersAndDurationsAreShort(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.001: "0", 0.25: "0.25", 1: "1.0", 12.34: "12.3", 99.96: "100", 1234: "1234", 9999.6: "10.0k", 56_700: "56.7k",
		999_960: "1.0M", 1_234_567: "1.2M", 5e9: "5.0G",
	} {
		if got := Number(v); got != want {
			t.Errorf("Number(%v) = %q, want %q", v, got, want)
		}
	}
	for v, want := range map[time.Duration]string{
		0: "0ns", 87_400: "87µs", 1_236_000: "1.24ms", 12_360_000: "12.4ms", 123_600_000: "124ms", 3100 * time.Millisecond: "3.1s",
		130 * time.Second: "2m10s", 5*time.Hour + 12*time.Minute: "5h12m", 76 * time.Hour: "3d4h", -time.Second: "-1s", time.Second: "1s",
	} {
		if got := Duration(v); got != want {
			t.Errorf("Duration(%v) = %q, want %q", int64(v), got, want)
		}
	}
}

func TestTextFromElsewhereCannotDriveTheTerminal(t *testing.T) {
	in := "a\x1b[2Jb\r\nc\u202ed\u009be\tf\u2066"
	if got := Clean(in); got != "a?[2Jb??c?d?e?f?" {
		t.Errorf("%q", got)
	}
	tb := NewTable("A")
	tb.Row(in)
	var out bytes.Buffer
	tb.Write(&out, Style{})
	if strings.ContainsAny(out.String(), "\x1b\r") {
		t.Errorf("%q", out.String())
	}
	line := EventLine(&Event{Op: "GET", Text: "GET " + in, Caller: in, Fault: in, Endpoint: in, Outcome: in}, Style{})
	if strings.ContainsAny(line, "\x1b\r\n") {
		t.Errorf("%q", line)
	}
}

func TestSpark(t *testing.T) {
	if got := Spark([]float64{0, 1, 4, 8}, 6); got != "   ▂▅█" {
		t.Errorf("%q", got)
	}
	if got := Spark([]float64{9, 9, 9, 1, 2}, 2); got != "▅█" {
		t.Errorf("only the last ones: %q", got)
	}
	if got := Spark([]float64{0, 0}, 2); got != "  " {
		t.Errorf("silence: %q", got)
	}
	if got := Spark([]float64{math.MaxFloat64, math.SmallestNonzeroFloat64}, 2); got != "█▁" {
		t.Errorf("extremes: %q", got)
	}
}

func TestTable(t *testing.T) {
	tb := NewTable("NAME", "N>", "WHY")
	tb.Row("a", "1", "")
	tb.Row("longer", "1000", "because")
	tb.Paint(0, Good)
	tb.Row("c", "2", "x")
	tb.Blank(2)
	var out bytes.Buffer
	tb.Write(&out, Style{})
	want := "NAME       N  WHY\na          1  -\nlonger  1000  because\nc          2\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	out.Reset()
	tb.Write(&out, Style{Width: 17})
	want = "NAME       N  WHY\na          1  -\nlonger  1000  be…\nc          2\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	out.Reset()
	tb.Write(&out, Style{Color: true})
	if !strings.Contains(out.String(), "\x1b[32mlonger\x1b[0m") {
		t.Errorf("no colour: %q", out.String())
	}
}

var status = &Status{
	Name: "web-7", Application: "web", IDC: "yf", Version: "v1", Uptime: "3h12m1s", Revision: 7, Ready: true,
	Resources: []Resource{
		{Name: "cache", Ready: true, Rate: Rate{1200, 0.5}, Latency: Latency{P50: "212µs", P99: "1.2ms"}, Inflight: 3, Sessions: 40, Connections: 8, Commands: 1,
			Groups: []Group{
				{Name: "tc", Weight: 30, Rate: Rate{200, 0.5}, Latency: Latency{P50: "1ms", P99: "3ms"}},
				{Name: "yf", Weight: 70, Rate: Rate{1000, 0}, Latency: Latency{P50: "200µs", P99: "1ms"}}},
			Endpoints: []Endpoint{
				{Group: "tc", Address: "10.1.0.1:6379", Role: "primary", State: "ejected", Detail: "5 failures in a row", Share: "0%", Latency: "0s"},
				{Group: "yf", Address: "10.0.0.1:6379", Role: "primary", State: "up", Share: "70%", Inflight: 3, Connections: 8, Latency: "212µs"}}},
		{Name: "queue", Groups: []Group{{Name: "yf", Weight: 100}}},
	},
	Commands: []Command{{ID: "c-1", Type: "switch", Resource: "cache", Summary: "tc=30 yf=70", Author: "ana@host", Why: "test",
		Created: time.Unix(1000, 0), Expires: new(time.Time)}},
}

func TestTopOnATerminalAndInAPipe(t *testing.T) {
	end := time.Unix(1090, 0)
	status.Commands[0].Expires = &end
	var out bytes.Buffer
	top := NewTop(Style{})
	if err := top.Draw(&out, status, time.Unix(1030, 0)); err != nil {
		t.Fatal(err)
	}
	plain := out.String()
	for _, want := range []string{"sluice v1  web-7 of web in yf  ready  up 3h12m  revision 7", "ejected", "5 failures in a row", "tc=30 yf=70", "1m0s", "1200"} {
		if !strings.Contains(plain, want) {
			t.Errorf("no %q in\n%s", want, plain)
		}
	}
	if strings.ContainsAny(plain, "\x1b\r▁▂▃▄▅▆▇█") {
		t.Errorf("a pipe gets terminal sequences: %q", plain)
	}
	for l := range strings.Lines(plain) {
		if strings.HasSuffix(l, " \n") {
			t.Errorf("trailing space: %q", l)
		}
	}

	top = NewTop(Style{Terminal: true, Color: true, Width: 150})
	for range 3 {
		out.Reset()
		top.Draw(&out, status, time.Unix(1030, 0))
	}
	if got := out.String(); !strings.HasPrefix(got, topHome) || !strings.HasSuffix(got, topRest) || !strings.Contains(got, "███") || !strings.Contains(got, string(Bad)) {
		t.Errorf("%q", got)
	}
	top.Restyle(Style{Terminal: true, Width: 80})
	out.Reset()
	top.Draw(&out, status, time.Unix(1030, 0))
	for l := range strings.SplitSeq(strings.TrimSuffix(out.String(), topRest), topLine) {
		if n := len([]rune(strings.TrimPrefix(l, topHome))); n > 80 {
			t.Errorf("%d columns: %q", n, l)
		}
	}
}

func TestStyleOfWhatIsNoTerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, w := range []io.Writer{f, io.Discard} {
		if st := StyleOf(w, func(string) string { return "" }); st != (Style{}) {
			t.Errorf("%+v", st)
		}
	}
}

func TestToken(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, TokenFile), []byte("of-the-file\n"), 0o600)
	for _, c := range []struct {
		at, given, data string
		named           bool
		want            string
		fails           bool
	}{
		{DefaultAt, " given\n", dir, false, "given", false},
		{DefaultAt, "", dir, false, "of-the-file", false},
		{"unix:/run/x.sock", "", dir, false, "of-the-file", false},
		{"localhost:8002", "", dir, false, "of-the-file", false},
		{"http://10.0.0.9:8002", "", dir, false, "", false}, // the token of this machine's agent stays here
		{"http://10.0.0.9:8002", "", dir, true, "of-the-file", false},
		{"http://127.0.0.1.evil.example:8002", "", dir, false, "", false},
		{DefaultAt, "", dir + "/none", false, "", false},
		{DefaultAt, "", dir + "/none", true, "", true},
	} {
		got, err := FindToken(c.at, c.given, c.data, c.named)
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("%+v: %q %v", c, got, err)
		}
	}
}

func TestAuthor(t *testing.T) {
	host, _ := os.Hostname()
	env := map[string]string{"USER": "root", "SUDO_USER": "ana"}
	if got := Author(func(k string) string { return env[k] }); got != "ana@"+host {
		t.Errorf("%q", got)
	}
	if got := Author(func(string) string { return "" }); strings.HasPrefix(got, "@") {
		t.Errorf("%q", got)
	}
}

// answer serves one handler and returns a client of it.
func answer(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := NewClient(s.URL, "secret-token")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// A document may say which revision it replaces.
func TestClientSaysWhatWasSeen(t *testing.T) {
	var got []string
	cl := answer(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		got = append(got, r.Header.Get("If-Match")+" "+r.Header.Get("Content-Type")+" "+string(body))
		if err != nil {
			t.Error(err)
		}
		io.WriteString(w, "{}")
	})
	for _, in := range []any{Text("a: 1"), Seen{Text("a: 2"), 7}, Seen{Text("a: 3"), 0}} {
		if err := cl.Do(t.Context(), "PUT", "/v1/resources/a", nil, in, nil); err != nil {
			t.Error(err)
		}
	}
	if want := []string{" application/yaml a: 1", `"7" application/yaml a: 2`, `"0" application/yaml a: 3`}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestClientExplainsErrors(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		body, want string
	}{
		"refusal":      {400, `{"error":{"code":"invalid","message":"too late","path":"policy.timeout"}}`, "policy.timeout: too late"},
		"no token":     {401, `{"error":{"code":"unauthorized","message":"a token is needed"}}`, "SLUICE_TOKEN"},
		"another one":  {404, "<html>nginx</html>", "is it an agent or a centre?"},
		"a redirect":   {302, "", "is it an agent or a centre?"},
		"not JSON":     {200, "hello", "does not answer as an agent does"},
		"cut short":    {200, `{"a":`, "does not answer as an agent does"},
		"server error": {500, `{"error":{"code":"internal","message":"disk full"}}`, "disk full"},
	} {
		cl := answer(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		})
		var v map[string]any
		err := cl.Do(context.Background(), "GET", "/v1/status", nil, nil, &v)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret-token") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	for at, usage := range map[string]bool{"ftp://x": true, "http://": true, "http://x/path": true, "127.0.0.1:1": false, "https://x:1/": false, "unix:/x": false} {
		c, err := NewClient(at, "")
		var wrong *UsageError
		if errors.As(err, &wrong) != usage || (err != nil) != usage {
			t.Errorf("%s: %v", at, err)
		}
		if c != nil {
			c.Close()
		}
	}
}

func TestClientOverAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"name":%q,"version":%q}`, r.Host, r.Header.Get("Authorization"))
	}))
	s.Listener.Close()
	s.Listener = ln
	s.Start()
	defer s.Close()
	c, err := NewClient("unix:"+path, "tok")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var st Status
	if err := c.Do(context.Background(), "GET", "/v1/status", nil, nil, &st); err != nil || st.Name != "localhost" || st.Version != "Bearer tok" {
		t.Errorf("%v %+v", err, st)
	}
}

func TestStream(t *testing.T) {
	cl := answer(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, ": watching\n\nevent: call\ndata: {\"op\":\"GET\"}\n\nevent: dropped\ndata: {\"calls\":3}\n\n: alive\n\ndata: {\"op\":\n\n")
	})
	var got []string
	err := cl.Stream(context.Background(), "/v1/observe", nil, func(event string, data []byte) error {
		got = append(got, event+" "+string(data))
		return nil
	})
	want := []string{`call {"op":"GET"}`, `dropped {"calls":3}`, ` {"op":`}
	if diff := cmp.Diff(want, got); diff != "" || err == nil || !strings.Contains(err.Error(), "ended the stream") {
		t.Errorf("%v %s", err, diff)
	}
	stop := errors.New("enough")
	if err := cl.Stream(context.Background(), "/", nil, func(string, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

func TestEncodeKeepsTheOrderOfKeys(t *testing.T) {
	raw := json.RawMessage(`[{"z":1,"a":"<x>","m":{"k":12345678901234567890}}]`)
	var out bytes.Buffer
	if err := Encode(&out, "json", raw); err != nil || out.String() != "[\n  {\n    \"z\": 1,\n    \"a\": \"<x>\",\n    \"m\": {\n      \"k\": 12345678901234567890\n    }\n  }\n]\n" {
		t.Errorf("%v %s", err, out.String())
	}
	out.Reset()
	if err := Encode(&out, "yaml", raw); err != nil || !strings.HasPrefix(out.String(), "- z: 1\n") {
		t.Errorf("%v %s", err, out.String())
	}
	if err := Encode(&out, "xml", raw); err == nil {
		t.Error("xml")
	}
}

func TestAgentsClocksThatAreOffAreShown(t *testing.T) {
	var out bytes.Buffer
	AgentTable([]Agent{
		{Name: "right", Clock: "-12ms"}, {Name: "ahead", Clock: "59m59.998s", ClockOff: true}, {Name: "behind", Clock: "-24h", ClockOff: true},
		{Name: "alone"}, {Name: "strange", Clock: "\x1b[2J", ClockOff: true},
	}).Write(&out, Style{})
	for i, want := range []string{"CLOCK", "-", "1h0m ahead", "1d0h behind", "-", "?[2J"} {
		line := strings.Split(out.String(), "\n")[i]
		if !strings.HasSuffix(line, " "+want) {
			t.Errorf("%q does not end with %q", line, want)
		}
	}
}
