package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Style says how much a terminal can show. The zero value is plain text.
type Style struct {
	Terminal bool // a person looks at it
	Color    bool
	Width    int // columns; 0: unbounded
}

// StyleOf finds out about w. NO_COLOR and TERM=dumb switch colours off.
func StyleOf(w io.Writer, env func(string) string) Style {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return Style{}
	}
	s := Style{Terminal: true, Color: env("NO_COLOR") == "" && env("TERM") != "dumb"}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil {
		s.Width = width
	}
	return s
}

// Paint is a colour, by what it means.
type Paint string

// The colours. Each goes with a word that says the same.
const (
	Plain Paint = ""
	Head  Paint = "\x1b[1m"  // headings
	Dim   Paint = "\x1b[2m"  // what is idle or off
	Good  Paint = "\x1b[32m" // works
	Warn  Paint = "\x1b[33m" // look at it
	Bad   Paint = "\x1b[31m" // broken
)

// Text paints s.
func (st Style) Text(p Paint, s string) string {
	if !st.Color || p == Plain || s == "" {
		return s
	}
	return string(p) + s + "\x1b[0m"
}
