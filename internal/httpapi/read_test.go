package httpapi

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
)

// A body that is no object, or has a field that is wrong, is refused with what is wrong and what would be right.
func TestDecodeNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for body, want := range map[string][2]string{
		`7`:                 {"", "the body is a JSON number: send a token as {...}, with name, uses"},
		`["x"]`:             {"", "the body is a JSON array: send a token as {...}, with name, uses"},
		`{"uses": "three"}`: {"uses", `"uses" cannot be a JSON string`},
		`{"use": 3}`:        {"use", `unknown key "use": a token has name, uses`},
		`{"uses": 3} 4`:     {"", "more than one JSON value: send one token at a time"},
		`{"uses": `:         {"", "the body is no token: unexpected EOF"},
		` `:                 {"", "the body is empty"},
	} {
		var into struct {
			Name string `json:"name"`
			Uses int    `json:"uses"`
		}
		err := Decode(httptest.NewRequest("POST", "/", strings.NewReader(body)), &into, "token")
		var e *Error
		if !errors.As(err, &e) || e.Path != want[0] || !strings.Contains(e.Message, want[1]) {
			t.Errorf("%s: %+v, want %q", body, err, want)
		}
	}
}
