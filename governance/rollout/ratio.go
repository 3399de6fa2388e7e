package rollout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Ratio is a number to what it was, written "150%" or 1.5.
type Ratio float64

// String writes it in percent.
func (r Ratio) String() string {
	return strconv.FormatFloat(math.Round(float64(r)*1e6)/1e4, 'f', -1, 64) + "%"
}

// MarshalJSON implements json.Marshaler.
func (r Ratio) MarshalJSON() ([]byte, error) { return json.Marshal(r.String()) }

// maxRatio is more than any guard needs.
const maxRatio = 1e6

// UnmarshalJSON implements json.Unmarshaler.
func (r *Ratio) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	text := string(b)
	if b[0] == '"' {
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
	}
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= maxRatio) {
		return fmt.Errorf("%.40q is no ratio: write 150%% or 1.5 for half as much again", text)
	}
	*r = Ratio(v)
	return nil
}
