package script

import (
	"fmt"
	"strings"
)

// maxShown is how many bytes of each side a message shows, around the first difference.
const maxShown = 240

// received describes what came.
func received(buf []byte, err error) string {
	s := "nothing"
	if len(buf) > 0 {
		s = quote(buf, 0)
	}
	return s + " (" + endOf(err) + ")"
}

// difference describes how got differs from want, which is no prefix of it.
func difference(want, got []byte, err error) string {
	at := 0
	for at < len(want) && at < len(got) && want[at] == got[at] {
		at++
	}
	var b strings.Builder
	fmt.Fprintf(&b, "other bytes than expected, from offset %d (connection: %s)\n", at, endOf(err))
	fmt.Fprintf(&b, "  expected %s\n  got      %s\n", quote(want, at), quote(got, at))
	fmt.Fprintf(&b, "  expected hex at %d: %s\n  got hex at %d:      %s", at, hexAt(want, at), at, hexAt(got, at))
	return b.String()
}

// quote shows b in Go's escaped form, cut around offset at.
func quote(b []byte, at int) string {
	from := max(0, min(at-maxShown/2, len(b)))
	to := min(len(b), from+maxShown)
	s := fmt.Sprintf("%q", b[from:to])
	if from > 0 {
		s = "..." + s
	}
	if to < len(b) {
		s += "..."
	}
	return fmt.Sprintf("%s [%d bytes]", s, len(b))
}

func hexAt(b []byte, at int) string {
	if at >= len(b) {
		return "(end)"
	}
	return fmt.Sprintf("% x", b[at:min(len(b), at+16)])
}
