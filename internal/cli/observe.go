package cli

import (
	"strconv"
	"strings"
)

// EventLine writes one call in one line:
//
//	21:04:05.123  GET feed:42  ok  412µs  yf 10.0.0.1:6379  caller=feed-web client=127.0.0.1:50122
func EventLine(e *Event, st Style) string {
	var b strings.Builder
	b.WriteString(st.Text(Dim, e.Time.Local().Format("15:04:05.000")))
	b.WriteString("  ")
	b.WriteString(callText(e))
	b.WriteString("  ")
	b.WriteString(st.Text(outcomePaint(e.Outcome), Clean(e.Outcome)))
	b.WriteString("  " + short(e.Latency))
	if e.Endpoint != "" {
		b.WriteString("  " + Clean(e.Group) + " " + Clean(e.Endpoint))
	}
	var more []string
	add := func(key, value string) {
		if value != "" {
			more = append(more, key+"="+Clean(value))
		}
	}
	add("caller", e.Caller)
	add("user", e.User)
	add("client", e.Client)
	add("agent", e.Agent)
	if e.Attempt > 0 {
		add("tries", strconv.Itoa(e.Attempt+1))
	}
	if e.Request+e.Response > 0 {
		add("bytes", strconv.FormatInt(e.Request, 10)+"/"+strconv.FormatInt(e.Response, 10))
	}
	if len(more) > 0 {
		b.WriteString("  " + st.Text(Dim, strings.Join(more, " ")))
	}
	if e.Fault != "" {
		b.WriteString("  " + st.Text(Bad, Clean(e.Fault)))
	}
	return b.String()
}

// callText is the request, which begins with its operation.
func callText(e *Event) string {
	text := Clean(e.Text)
	if !strings.HasPrefix(text, e.Op) {
		text = strings.TrimSpace(Clean(e.Op) + " " + text)
	}
	return text
}

func outcomePaint(outcome string) Paint {
	switch outcome {
	case "ok":
		return Good
	case "error", "canceled":
		return Warn
	}
	return Bad
}
