package gateway

import (
	"encoding/json"
	"strings"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/resources"
)

// word is what a fault is in both protocols. The codes and the statuses are those of resources/motan and resources/http.
type word struct {
	fault  resources.Code
	code   int // of Motan
	status int // of HTTP
}

var words = []word{
	{resources.Unavailable, motan2.CodeService, 503},
	{resources.Unknown, 10023, 502},
	{resources.Timeout, motan2.CodeTimeout, 504},
	{resources.Limited, motan2.CodeReject, 429},
	{resources.Degraded, 10021, 503},
	{resources.BreakerOpen, 10022, 503},
	{resources.Denied, 10024, 403},
	{resources.TooLarge, motan2.CodeTooLong, 413},
	{resources.Draining, 10025, 503},
}

// wordOf returns the word that fits; nil when there is none.
func wordOf(fits func(*word) bool) *word {
	for i := range words {
		if fits(&words[i]) {
			return &words[i]
		}
	}
	return nil
}

// own begins what an agent says by itself.
const own = "sluice: "

// exception is what M_e holds.
type exception struct {
	Code int    `json:"errcode"`
	Type int    `json:"errtype"`
	Text string `json:"errmsg"`
}

func exceptionOf(meta motan2.Meta) exception {
	var e exception
	if err := json.Unmarshal(meta.Get(motan2.KeyException), &e); err != nil {
		return exception{Code: motan2.CodeService, Type: motan2.Service, Text: "the server answered with an exception that cannot be read"}
	}
	return e
}

// status returns what an exception is in HTTP, and the word if it is a fault of an agent's:
//
//	of the agent           as it would answer itself, with its word
//	of the service (type 2)  its code, if that is a status of HTTP, else 422
//	no such service, method  404
//	no thread for it         503
//	too large, unreadable    413, 400
//	any other                500
func (e *exception) status(unsent bool) (int, string) {
	if strings.HasPrefix(e.Text, own) && e.Type != motan2.Biz {
		if w := wordOf(func(w *word) bool { return w.code == e.Code }); w != nil {
			return w.status, w.fault.String()
		}
	}
	switch {
	case e.Type == motan2.Biz && e.Code >= 400 && e.Code <= 599:
		return e.Code, ""
	case e.Type == motan2.Biz:
		return 422, ""
	case unsent, e.Code == motan2.CodeReject:
		return 503, ""
	case e.Code == motan2.CodeNoProvider, e.Code == motan2.CodeNotFound, e.Code == motan2.CodeNoMethod:
		return 404, ""
	case e.Code == motan2.CodeTimeout:
		return 504, ""
	case e.Code == motan2.CodeTooLong:
		return 413, ""
	case e.Code == motan2.CodeDecode:
		return 400, ""
	}
	return 500, ""
}

// kinds of exceptions, by their numbers.
var kindsOf = [...]string{motan2.Framework: "framework", motan2.Service: "service", motan2.Biz: "business"}

// problem is the body of an answer of HTTP to a call that has no result.
type problem struct {
	Code    int    `json:"code"` // Motan's
	Type    string `json:"type"` // of kindsOf
	Message string `json:"message"`
}

func (e *exception) problem() []byte {
	p := problem{e.Code, "service", e.Text}
	if e.Type >= 0 && e.Type < len(kindsOf) {
		p.Type = kindsOf[e.Type]
	}
	text, err := json.Marshal(map[string]problem{"error": p})
	if err != nil {
		return []byte(`{"error":{}}`) // cannot be: strings and a number
	}
	return append(text, '\n')
}
