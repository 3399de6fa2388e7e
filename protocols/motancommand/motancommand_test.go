package motancommand

import (
	"fmt"
	"strings"
	"testing"
)

// console is what RpcCommandUtil of motan-core 1.2.6 makes of a command; package testenv/mesh has the real one write it.
const console = `{"clientCommandList":[{"dc":"yf","index":2,"mergeGroups":["feed-yf:30","feed-tc:70"],"pattern":"com.weibo.*",` +
	`"remark":"to tc","routeRules":["10.75.* to !10.73.1.1"],"version":"1.0"},` +
	`{"commandType":1,"dc":"yf","index":1,"pattern":"com.weibo.TagService","version":"1.0"}]}`

func TestParse(t *testing.T) {
	list, err := Parse([]byte(console))
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	d, c := list[0], list[1]
	if d.Type != Degrade || d.Index != 1 || !d.Matches("com.weibo.TagService") || d.Matches("com.weibo.TagServices") {
		t.Errorf("the first one by its index is %+v", d)
	}
	if c.Type != Traffic || c.Mixed() || fmt.Sprint(c.Groups) != "[{feed-yf 30} {feed-tc 70}]" || fmt.Sprint(c.Routes) != "[10.75.* to !10.73.1.1]" ||
		c.Remark != "to tc" || !c.Matches("com.weibo.X") || c.Matches("com.example.X") || !strings.HasPrefix(c.Raw, `{"dc":"yf","index":2,`) {
		t.Errorf("the second one is %+v", c)
	}
}

func TestGroups(t *testing.T) {
	for written, want := range map[string]string{
		`["a:3","b"]`:          "[{a 3} {b 1}] false",
		`["a","b"]`:            "[{a -1} {b -1}] true",
		`["a:0","b:100"]`:      "[{a 0} {b 100}] false",
		`["a:1","a:2"]`:        "[{a 2}] false",
		`[" a : 5 "]`:          "[{a 5}] false",
		`[]`:                   "[] false",
		`null`:                 "[] false",
		`["a:101"]`:            "is no number from 0 to 100",
		`["a:-1"]`:             "is no number from 0 to 100",
		`["a:x"]`:              "is no number from 0 to 100",
		`["a:0","b:0"]`:        "all weights are 0",
		`[":3"]`:               "names no group",
		`["` + "a\",\"" + `"]`: "names no group",
		`"a"`:                  "cannot be read",
	} {
		list, err := Parse([]byte(`{"clientCommandList":[{"pattern":"*","mergeGroups":` + written + `}]}`))
		if err != nil {
			t.Errorf("%s: %v", written, err)
			continue
		}
		got := fmt.Sprint(list[0].Groups, list[0].Mixed())
		if list[0].Err != nil {
			got = list[0].Err.Error()
			if list[0].Matches("any") {
				t.Errorf("%s: a command that is refused matches", written)
			}
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, not %s", written, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for document, want := range map[string]string{
		``:                                   "cannot be read",
		`[]`:                                 "cannot be read",
		`{"clientCommandList":{}}`:           "cannot be read",
		`{"clientCommandList":[{"a":}`:       "cannot be read",
		"{\"clientCommandList\":[\"\xff\"]}": "no UTF-8",
		`{"clientCommandList":[` + strings.Repeat("{},", MaxCommands) + `{}]}`: "1001 commands",
		strings.Repeat(" ", MaxBytes+1):                                        "bytes",
	} {
		if list, err := Parse([]byte(document)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, %v", document, list, err)
		}
	}
	for command, want := range map[string]string{
		`{"pattern":"*","commandType":7}`:                  "commandType 7 is unknown",
		`{"pattern":""}`:                                   "pattern is empty",
		`{"commandType":1}`:                                "pattern is empty",
		`{"pattern":"*","routeRules":["10.0.0.1"]}`:        "is no rule",
		`{"pattern":"*","routeRules":["10.0.0.0/8 to *"]}`: "is no address",
		`{"pattern":"*","routeRules":["a to b"]}`:          "is no address",
		`{"pattern":"*","routeRules":["10.*.1 to *"]}`:     "is no address",
		`{"pattern":"*","routeRules":[" to 1"]}`:           "is no address",
		`{"pattern":"*","index":"x"}`:                      "cannot be read",
		`7`:                                                "cannot be read",
	} {
		list, err := Parse([]byte(`{"clientCommandList":[` + command + `,null,{"pattern":"*"}]}`))
		if err != nil || len(list) != 2 || list[0].Err == nil || !strings.Contains(list[0].Err.Error(), want) || list[1].Err != nil {
			t.Errorf("%s: %+v, %v", command, list, err)
		}
	}
	if list, err := Parse([]byte(`{}`)); err != nil || len(list) != 0 {
		t.Errorf("a document without a list: %v, %v", list, err)
	}
}

func TestPattern(t *testing.T) {
	const service = "com.weibo.UserService"
	for pattern, want := range map[string]bool{
		"*": true, service: true, "com.weibo": false, "com.weibo.*": true, "com.weibo*Status": true, // what is after the * does not count
		"!" + service: false, "!!" + service: true, "com.*&!com.weibo.Tag*": true, "com.weibo.Tag* | com.weibo.User*": true,
		"a|b&" + service: false, "(a|*)&" + service: true, "!(a|b)&com*": true, "!a&b": false, "!(a&b)": true, "my-service": false,
		`^com\.weibo\.(User|Status)Service$`: true, `^com\.weibo\.(Tag|Status)Service$`: false, "[uU]serS": true,
	} {
		p, err := ParsePattern(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		if p.Match(service) != want {
			t.Errorf("%s: %v", pattern, !want)
		}
	}
	for pattern, want := range map[string]string{
		" ": "is empty", "a&": "a name is missing", "&a": "a name is missing", "a||b": "a name is missing", "(a": "is not closed", "a)": "is not expected",
		"a!b": "is not expected", "a(b)": "is not expected", "a,b": "is not expected", "名": "a name is missing", "[a": "regular expression",
		strings.Repeat("(", 100) + "a": "more than 64", strings.Repeat("!", 4000) + "a": "more than 64", strings.Repeat("a", 5000): "5000 bytes",
	} {
		if _, err := ParsePattern(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v", pattern, err)
		}
	}
}

func TestHosts(t *testing.T) {
	for text, hosts := range map[string]map[string]bool{
		"10.75.*":   {"10.75.0.1": true, "10.7.0.1": false},
		"10.7*":     {"10.75.0.1": true, "10.7.0.1": true},
		"!10.75.*":  {"10.75.0.1": false, "10.7.0.1": true},
		"10.0.0.1":  {"10.0.0.1": true, "10.0.0.10": false},
		"!10.0.0.1": {"10.0.0.1": false, "10.0.0.10": true},
		"*":         {"10.0.0.1": true},
		"!*":        {"10.0.0.1": false},
	} {
		h, ok := parseHosts(text)
		if !ok || h.String() != text {
			t.Fatalf("%s: %v, %v", text, h, ok)
		}
		for host, want := range hosts {
			if h.Match(host) != want {
				t.Errorf("%s: %s: %v", text, host, !want)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(console), "com.weibo.UserService")
	f.Add([]byte(`{"clientCommandList":[{"pattern":"!(a|b*)&c","mergeGroups":["a","b:0"],"routeRules":["* to !1.*"]}]}`), "c")
	f.Fuzz(func(t *testing.T, document []byte, service string) {
		list, err := Parse(document)
		if err != nil && list != nil {
			t.Fatal("an error and commands")
		}
		for i := range list {
			c := &list[i]
			c.Matches(service)
			if i > 0 && list[i-1].Index > c.Index {
				t.Fatalf("command %d has index %d after %d", i, c.Index, list[i-1].Index)
			}
			again, err := Parse([]byte(`{"clientCommandList":[` + c.Raw + `]}`))
			if err != nil || len(again) != 1 || (again[0].Err == nil) != (c.Err == nil) || again[0].Matches(service) != c.Matches(service) {
				t.Fatalf("%s is read otherwise alone: %+v, %v", c.Raw, again, err)
			}
			sum := 0
			for _, g := range c.Groups {
				sum += g.Weight
			}
			if c.Err == nil && len(c.Groups) > 0 && !c.Mixed() && (sum <= 0 || sum > maxList*maxWeight) {
				t.Fatalf("weights %v", c.Groups)
			}
			for _, r := range c.Routes {
				if back, err := ParseRoute(r.String()); err != nil || back != r {
					t.Fatalf("%s is read as %s", r, back)
				}
			}
		}
	})
}
