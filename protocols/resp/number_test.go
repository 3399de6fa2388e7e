package resp

import (
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// TestNumbersAgree: the three readers of numbers must never differ, or a request would depend on how it was split.
func TestNumbersAgree(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, text string) {
		want, err := strconv.ParseInt(text, 10, 64)
		ok := err == nil && strconv.FormatInt(want, 10) == text // canonical: no plus, zeros, minus zero
		if !ok {
			want = 0
		}
		if got, gotOK := parseInt([]byte(text)); gotOK != ok || got != want {
			t.Fatalf("parseInt(%q) = %d, %v, want %d, %v", text, got, gotOK, want, ok)
		}
		var x number
		for i := range len(text) {
			x.add(text[i])
		}
		if got, gotOK := x.value(); gotOK != ok || got != want {
			t.Fatalf("number of %q = %d, %v, want %d, %v", text, got, gotOK, want, ok)
		}
		v, next := shortLength([]byte("$"+text+"\r\n"), 1)
		if short := ok && want >= 0 && len(text) <= 9; short != (next != 0) || (short && (int64(v) != want || next != len(text)+3)) {
			t.Fatalf("shortLength(%q) = %d, %d", text, v, next)
		}
	}
	for _, text := range []string{
		"", "-", "0", "-0", "00", "01", "-01", "9", "10", "-1", "+1", "--1", "1-", "1 ", " 1", "999999999", "1000000000",
		"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
		"18446744073709551615", "18446744073709551616", "18446744073709551617", "99999999999999999999", "-99999999999999999999",
		"100000000000000000000", "1x", "x",
	} {
		check(t, text)
	}
	rapid.Check(t, func(t *rapid.T) { check(t, rapid.StringMatching(`-?[0-9]{0,21}[-x+]?`).Draw(t, "text")) })
}
