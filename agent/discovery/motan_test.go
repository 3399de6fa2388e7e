package discovery

import (
	"strings"
	"testing"
)

func TestURL(t *testing.T) {
	n := node(79)
	for weight, want := range map[int]string{
		100: "motan2://10.0.0.1:80/svc?group=g&nodeType=service&version=1.0", 200: "META_WEIGHT=20&", 5000: "META_WEIGHT=500&",
		0: "META_WEIGHT=1&nodeType=service&sluice.weight=0&", 101: "META_WEIGHT=10&nodeType=service&sluice.weight=101&", 10000: "sluice.weight=10000&",
	} {
		n.Weight = weight
		text, err := n.URL()
		if err != nil || !strings.Contains(text, want) || weight == 100 && text != want {
			t.Errorf("weight %d: %q, %v", weight, text, err)
		}
		again, err := FromURL(n.Service, text, n.Available)
		if err != nil || !again.Equal(n) {
			t.Errorf("%s is read as %+v, %v", text, again, err)
		}
	}
}

func TestWeightsOfOthers(t *testing.T) {
	for query, want := range map[string]int{
		"": 100, "META_WEIGHT=10": 100, "META_WEIGHT=1": 10, "META_WEIGHT=0": 10, "META_WEIGHT=-3": 10, "META_WEIGHT=9999": 5000,
		"META_WEIGHT=x": 100, "META_WEIGHT=3&sluice.weight=x": 30, "META_WEIGHT=3&sluice.weight=-1": 30, "weight=7": 100,
	} {
		n, err := FromURL(Service{Group: "g", Path: "svc"}, "motan2://h:1/svc?"+query, true)
		if err != nil || n.Weight != want {
			t.Errorf("%q: weight %d, %v, want %d", query, n.Weight, err, want)
		}
	}
}

func TestAccepts(t *testing.T) {
	for _, c := range []struct {
		asked, of Service
		want      bool
	}{
		{Service{}, Service{Protocol: "motan2", Version: "2.0"}, true},
		{Service{Protocol: "motan"}, Service{Protocol: "motan2"}, true},
		{Service{Protocol: "motan2"}, Service{Protocol: "motan"}, false},
		{Service{Version: "1.0"}, Service{Protocol: "motan2"}, true},
		{Service{Version: "2.0"}, Service{Protocol: "motan2"}, false},
	} {
		if got := Accepts(c.asked, Node{Service: c.of}); got != c.want {
			t.Errorf("%+v accepts %+v: %t", c.asked, c.of, got)
		}
	}
}

func TestMembers(t *testing.T) {
	away, none, some := node(0), node(1), node(2)
	none.Weight, none.Available, some.Available = 0, true, true
	if got := Members([]Node{away, none, some}); len(got) != 1 || got[0].Address != some.Address || got[0].Weight != 100 {
		t.Errorf("members are %+v", got)
	}
}
