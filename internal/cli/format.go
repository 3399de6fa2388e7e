package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Number writes a rate or a count with at most four digits and a unit: 0, 0.25, 12.3, 1234, 56.7k, 1.2M.
func Number(v float64) string {
	switch a := math.Abs(v); {
	case a < 0.005:
		return "0"
	case a < 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case a < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a < 9999.5:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a < 999_950:
		return strconv.FormatFloat(v/1e3, 'f', 1, 64) + "k"
	case a < 999_950_000:
		return strconv.FormatFloat(v/1e6, 'f', 1, 64) + "M"
	}
	return strconv.FormatFloat(v/1e9, 'f', 1, 64) + "G"
}

// Duration writes a time with about three digits: 87µs, 1.24ms, 3.1s, 2m10s, 5h12m, 3d4h.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Duration(-d)
	case d < time.Microsecond:
		return strconv.FormatInt(int64(d), 10) + "ns"
	case d < time.Millisecond:
		return strconv.FormatInt(int64(d.Round(time.Microsecond)/time.Microsecond), 10) + "µs"
	case d < time.Second:
		return digits(float64(d)/1e6) + "ms"
	case d < time.Minute:
		return digits(d.Seconds()) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	day := 24 * time.Hour
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}

func digits(v float64) string {
	s := strconv.FormatFloat(v, 'f', 2, 64)
	if v >= 100 {
		s = strconv.FormatFloat(v, 'f', 0, 64)
	} else if v >= 10 {
		s = strconv.FormatFloat(v, 'f', 1, 64)
	}
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// short rewrites a duration of the interface ("1.234567ms") for reading; what is none stays, and nothing or 0 is "-".
func short(s string) string {
	if s == "" || s == "0s" {
		return "-"
	}
	if d, err := time.ParseDuration(s); err == nil {
		return Duration(d)
	}
	return Clean(s)
}

// age is short for times since something, where 0 is a time like any other.
func age(s string) string {
	if s == "0s" {
		return s
	}
	return short(s)
}

// Clean makes text from elsewhere safe for a terminal: control characters and those that reorder text become '?'.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}

var sparks = []rune("▁▂▃▄▅▆▇█")

// Spark draws values as a line of bars, the last ones when there are more than width. The highest is a full bar; zero is
// a blank, so that silence looks like silence.
func Spark(values []float64, width int) string {
	if len(values) > width {
		values = values[len(values)-width:]
	}
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	out := make([]rune, 0, width)
	for range width - len(values) {
		out = append(out, ' ')
	}
	for _, v := range values {
		if v <= 0 {
			out = append(out, ' ')
			continue
		}
		out = append(out, sparks[min(int(v/top*float64(len(sparks))), len(sparks)-1)])
	}
	return string(out)
}
