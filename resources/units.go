package resources

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration written as in "1s", "50ms" or "1h30m".
type Duration time.Duration

// D returns the standard type.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String writes the duration as config reads it, and as people write it: 1h30m, not 1h30m0s.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-len("0s")]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-len("0m")]
	}
	return s
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. A number without a unit is an error, except 0.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(strings.TrimSpace(string(b)))
	if err != nil {
		return fmt.Errorf("%q is not a duration: write a number with a unit, such as 500ms, 1s or 5m", b)
	}
	if v < 0 {
		return fmt.Errorf("%q is negative: a duration is 0 or more", b)
	}
	*d = Duration(v)
	return nil
}

// Size is a number of bytes, written as in "64KiB", "10MB" or "512".
type Size int64

var sizeUnits = []struct {
	suffix string
	factor int64
}{
	{"KIB", 1 << 10}, {"MIB", 1 << 20}, {"GIB", 1 << 30}, {"KB", 1000}, {"MB", 1000_000}, {"GB", 1000_000_000}, {"B", 1},
}

// String writes the size with the largest binary unit that divides it.
func (s Size) String() string {
	switch {
	case s != 0 && s%(1<<30) == 0:
		return strconv.FormatInt(int64(s>>30), 10) + "GiB"
	case s != 0 && s%(1<<20) == 0:
		return strconv.FormatInt(int64(s>>20), 10) + "MiB"
	case s != 0 && s%(1<<10) == 0:
		return strconv.FormatInt(int64(s>>10), 10) + "KiB"
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(b []byte) error {
	t := strings.ToUpper(strings.TrimSpace(string(b)))
	factor := int64(1)
	for _, u := range sizeUnits {
		if strings.HasSuffix(t, u.suffix) {
			t, factor = strings.TrimSpace(strings.TrimSuffix(t, u.suffix)), u.factor
			break
		}
	}
	n, err := strconv.ParseInt(t, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/factor {
		return fmt.Errorf("%q is not a size: write bytes, or a number with KiB, MiB or GiB, such as 64KiB", b)
	}
	*s = Size(n * factor)
	return nil
}

// Percent is a share from 0 to 100, written with a percent sign: "15%", "0.1%".
type Percent float64

// Fraction returns the share as a number from 0 to 1.
func (p Percent) Fraction() float64 { return float64(p) / 100 }

// Threshold returns the share scaled to 2^32, to be compared with 32 random or hashed bits: the share is hit when the
// bits are smaller.
func (p Percent) Threshold() uint64 { return uint64(p.Fraction() * (1 << 32)) }

// String writes the share as config reads it.
func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'f', -1, 64) + "%" }

// MarshalText implements encoding.TextMarshaler.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. The sign may be left out.
func (p *Percent) UnmarshalText(b []byte) error {
	v, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(string(b)), "%"), 64)
	if err != nil || !(v >= 0 && v <= 100) {
		return fmt.Errorf("%q is not a percentage: write a number from 0%% to 100%%", b)
	}
	*p = Percent(v)
	return nil
}

// Multiple is a share that may be more than the whole: "50%", "200%".
type Multiple float64

// mostMultiple keeps products of it far from overflowing.
const mostMultiple = 1e6

// Fraction returns the share as a number: 2 for 200%.
func (m Multiple) Fraction() float64 { return float64(m) / 100 }

// String writes the share as config reads it.
func (m Multiple) String() string { return Percent(m).String() }

// MarshalText implements encoding.TextMarshaler.
func (m Multiple) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. The sign may be left out.
func (m *Multiple) UnmarshalText(b []byte) error {
	v, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(string(b)), "%"), 64)
	if err != nil || !(v >= 0 && v <= mostMultiple) {
		return fmt.Errorf("%q is not a percentage: write a number from 0%% to %d%%", b, int(mostMultiple))
	}
	*m = Multiple(v)
	return nil
}

// Rate is a number of calls per second, written as in "5000/s", "100/m" or "0/s".
type Rate float64

// String writes the rate per second, or per minute or hour where that is a whole number and the one per second a long one.
func (r Rate) String() string {
	text := strconv.FormatFloat(float64(r), 'f', -1, 64)
	if _, decimals, _ := strings.Cut(text, "."); len(decimals) > 3 {
		for _, u := range [...]struct {
			per  float64
			name string
		}{{60, "/m"}, {3600, "/h"}} {
			if v := math.Round(float64(r) * u.per); v > 0 && Rate(v/u.per) == r {
				return strconv.FormatFloat(v, 'f', -1, 64) + u.name
			}
		}
	}
	return text + "/s"
}

// MarshalText implements encoding.TextMarshaler.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rate) UnmarshalText(b []byte) error {
	num, unit, ok := strings.Cut(strings.TrimSpace(string(b)), "/")
	v, err := strconv.ParseFloat(num, 64)
	per := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	if !ok || err != nil || per == 0 || v < 0 || math.IsInf(v, 0) || v != v {
		return fmt.Errorf("%q is not a rate: write a number per second, minute or hour, such as 5000/s or 100/m", b)
	}
	*r = Rate(v / per)
	return nil
}
