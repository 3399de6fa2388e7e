package resources

import (
	"encoding"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestUnits(t *testing.T) {
	for _, c := range []struct {
		text string
		into encoding.TextUnmarshaler
		want any // nil: an error that names the text
		back string
	}{
		{"1s", new(Duration), Duration(time.Second), "1s"},
		{" 50ms ", new(Duration), Duration(50 * time.Millisecond), "50ms"},
		{"1h30m", new(Duration), Duration(90 * time.Minute), "1h30m"},
		{"60m", new(Duration), Duration(time.Hour), "1h"},
		{"100m", new(Duration), Duration(100 * time.Minute), "1h40m"},
		{"10h5s", new(Duration), Duration(10*time.Hour + 5*time.Second), "10h0m5s"},
		{"0", new(Duration), Duration(0), "0s"},
		{"0", new(Duration), Duration(0), "0s"},
		{"5", new(Duration), nil, ""},
		{"-1s", new(Duration), nil, ""},
		{"1d", new(Duration), nil, ""},
		{"", new(Duration), nil, ""},
		{"512", new(Size), Size(512), "512"},
		{"64KiB", new(Size), Size(64 << 10), "64KiB"},
		{"64 kib", new(Size), Size(64 << 10), "64KiB"},
		{"10MB", new(Size), Size(10_000_000), "10000000"},
		{"1GiB", new(Size), Size(1 << 30), "1GiB"},
		{"3GB", new(Size), Size(3_000_000_000), "3000000000"},
		{"7B", new(Size), Size(7), "7"},
		{"9223372036854775807", new(Size), Size(math.MaxInt64), "9223372036854775807"},
		{"9007199254740992KiB", new(Size), nil, ""},
		{"1.5MiB", new(Size), nil, ""},
		{"-1", new(Size), nil, ""},
		{"64K", new(Size), nil, ""},
		{"KiB", new(Size), nil, ""},
		{"15%", new(Percent), Percent(15), "15%"},
		{"0.1%", new(Percent), Percent(0.1), "0.1%"},
		{"100", new(Percent), Percent(100), "100%"},
		{"100.1%", new(Percent), nil, ""},
		{"-1%", new(Percent), nil, ""},
		{"NaN", new(Percent), nil, ""},
		{"half", new(Percent), nil, ""},
		{"200%", new(Multiple), Multiple(200), "200%"},
		{"0.5", new(Multiple), Multiple(0.5), "0.5%"},
		{"-1%", new(Multiple), nil, ""},
		{"Inf", new(Multiple), nil, ""},
		{"NaN", new(Multiple), nil, ""},
		{"5000/s", new(Rate), Rate(5000), "5000/s"},
		{"0/s", new(Rate), Rate(0), "0/s"},
		{"120/m", new(Rate), Rate(2), "2/s"},
		{"3600/h", new(Rate), Rate(1), "1/s"},
		{"0.5/s", new(Rate), Rate(0.5), "0.5/s"},
		{"1/m", new(Rate), Rate(1.0 / 60), "1/m"},
		{"100/m", new(Rate), Rate(100.0 / 60), "100/m"},
		{"7/h", new(Rate), Rate(7.0 / 3600), "7/h"},
		{"0.0123/s", new(Rate), Rate(0.0123), "0.0123/s"},
		{"5000", new(Rate), nil, ""},
		{"-1/s", new(Rate), nil, ""},
		{"Inf/s", new(Rate), nil, ""},
		{"NaN/s", new(Rate), nil, ""},
		{"1/d", new(Rate), nil, ""},
		{"/s", new(Rate), nil, ""},
	} {
		err := c.into.UnmarshalText([]byte(c.text))
		got := reflect.ValueOf(c.into).Elem().Interface()
		if c.want == nil {
			if err == nil || !strings.Contains(err.Error(), `"`+c.text+`"`) {
				t.Errorf("%T %q = %v, error %v: want an error that names it", got, c.text, got, err)
			}
			if !reflect.ValueOf(got).IsZero() {
				t.Errorf("%T %q: an error, and yet %v", got, c.text, got)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%T %q = %v, %v; want %v", got, c.text, got, err, c.want)
		}
		if b, err := got.(encoding.TextMarshaler).MarshalText(); string(b) != c.back || err != nil {
			t.Errorf("%T %q is written %q, %v; want %q", got, c.text, b, err, c.back)
		}
	}
}

// What is written is read back to the same value, in JSON too.
func TestUnitsRoundTrip(t *testing.T) {
	type all struct {
		D Duration
		S Size
		P Percent
		R Rate
	}
	rapid.Check(t, func(t *rapid.T) {
		in := all{
			D: Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "duration")),
			S: Size(rapid.Int64Range(0, math.MaxInt64).Draw(t, "size")),
			P: Percent(rapid.Float64Range(0, 100).Draw(t, "percent")),
			R: Rate(rapid.Float64Range(0, 1e9).Draw(t, "rate")),
		}
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var out all
		if err := json.Unmarshal(b, &out); err != nil || out != in {
			t.Fatalf("%+v is written %s and read %+v, %v", in, b, out, err)
		}
	})
}

func TestPercentThreshold(t *testing.T) {
	for p, want := range map[Percent]uint64{0: 0, 50: 1 << 31, 100: 1 << 32} {
		if got := p.Threshold(); got != want {
			t.Errorf("%v: threshold %d, want %d", p, got, want)
		}
	}
	if f := Percent(15).Fraction(); f != 0.15 {
		t.Errorf("fraction %v", f)
	}
}

func FuzzUnits(f *testing.F) {
	for _, s := range []string{"1s", "64KiB", "15%", "5000/s", "1e3/m", "0", "", "9999999999GiB", "+1%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, into := range []interface {
			encoding.TextUnmarshaler
			encoding.TextMarshaler
		}{new(Duration), new(Size), new(Percent), new(Rate)} {
			if into.UnmarshalText([]byte(s)) != nil {
				continue
			}
			b, err := into.MarshalText()
			if err != nil {
				t.Fatal(err)
			}
			again := reflect.New(reflect.TypeOf(into).Elem())
			if err := again.Interface().(encoding.TextUnmarshaler).UnmarshalText(b); err != nil {
				t.Fatalf("%T: %q is written %q, which is not read: %v", into, s, b, err)
			}
			if !reflect.DeepEqual(again.Interface(), into) {
				t.Fatalf("%T: %q is written %q, which is another value", into, s, b)
			}
		}
	})
}
