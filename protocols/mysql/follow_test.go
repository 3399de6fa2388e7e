package mysql

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// follow runs r over in, of which chunk more bytes arrive whenever Next asks for more. It returns the steps with their
// lengths, neighbouring Forwards added up, as they must not depend on chunk: "forward 60, terminal 9".
func follow(t testing.TB, r Reply, in []byte, chunk int) (string, error) {
	t.Helper()
	var steps []string
	forwarded, pos, have := 0, 0, 0
	flush := func() {
		if forwarded > 0 {
			steps = append(steps, "forward "+strconv.Itoa(forwarded))
		}
		forwarded = 0
	}
	done := func(last string) string {
		flush()
		if last != "" {
			steps = append(steps, last)
		}
		return strings.Join(steps, ", ")
	}
	for !r.Done() {
		n, step, err := r.Next(in[pos:have])
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error %v does not wrap ErrMalformed", err)
			}
			if _, _, again := r.Next(in[pos:have]); again != err {
				t.Fatalf("error %v, then %v", err, again)
			}
			return done("error"), err
		}
		if step == NeedMore {
			if n <= have-pos || n > MaxOKPacket+HeaderLen {
				t.Fatalf("at %d: needs %d bytes, has %d", pos, n, have-pos)
			}
			if have == len(in) {
				return done("incomplete"), nil
			}
			have = min(have+chunk, len(in))
			continue
		}
		if n <= 0 || n > have-pos {
			t.Fatalf("at %d: %s of %d bytes, has %d", pos, step, n, have-pos)
		}
		pos += n
		if step == Forward {
			forwarded += n
			continue
		}
		flush()
		word := step.String() + " " + strconv.Itoa(n)
		if step == Terminal && r.More() {
			word += " more"
		}
		steps = append(steps, word)
		if step == Infile {
			r.InfileDone()
		}
	}
	if pos < len(in) {
		return done(fmt.Sprintf("left %d", len(in)-pos)), nil
	}
	return done(""), nil
}

// followAll checks that the steps are want however in is split, and returns the error that ends them.
func followAll(t testing.TB, r Reply, in []byte, want string) error {
	t.Helper()
	got, err := follow(t, r, in, len(in)+1)
	if got != want {
		t.Errorf("steps: %s (%v)\n want: %s", got, err, want)
	}
	for _, chunk := range []int{1, 2, 3, 5, 7, 64, 1000} {
		if split, _ := follow(t, r, in, chunk); split != got {
			t.Errorf("steps by %d bytes: %s\n      as a whole: %s", chunk, split, got)
		}
	}
	return err
}

var update = flag.Bool("update", false, "write the steps found into testdata/mariadb-10.11.txt")

// TestCaptured follows the replies of a real server.
func TestCaptured(t *testing.T) {
	const path = "testdata/mariadb-10.11.txt"
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var caps Caps
	var request string
	var reply []byte
	var out strings.Builder
	codec := zlibCodec(t)
	replies := 0
	lines := strings.Split(string(file), "\n")
	for i, line := range lines {
		key, rest, _ := strings.Cut(line, " ")
		if key == "=" && *update {
			continue
		}
		out.WriteString(line)
		if i < len(lines)-1 {
			out.WriteByte('\n')
		}
		switch key {
		case "caps":
			v, err := strconv.ParseUint(rest, 0, 64)
			if err != nil {
				t.Fatal(err)
			}
			caps = Caps(v)
		case ">":
			if request, err = strconv.Unquote(rest); err != nil {
				t.Fatalf("line %d: %v", i+1, err)
			}
			reply = nil
		case "<":
			row, err := hex.DecodeString(rest)
			if err != nil {
				t.Fatalf("line %d: %v", i+1, err)
			}
			if reply = append(reply, row...); strings.HasPrefix(lines[i+1], "<") {
				continue
			}
			if caps.Has(ClientCompress) {
				if reply, err = feed(t, NewInflater(codec), reply, 7); err != nil {
					t.Fatalf("line %d: %v", i+1, err)
				}
			}
			if !*update {
				continue
			}
			var r Reply
			r.Start(Command(request[0]), caps)
			steps, _ := follow(t, r, reply, len(reply))
			fmt.Fprintf(&out, "= %s\n", steps)
		case "=":
			replies++
			var r Reply
			r.Start(Command(request[0]), caps)
			if err := followAll(t, r, reply, rest); err != nil {
				t.Errorf("line %d, %q: %v", i+1, request, err)
			}
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if replies != 189 {
		t.Errorf("%d replies in %s, want 189", replies, path)
	}
}
