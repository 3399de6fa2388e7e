package server

import (
	"net/http"
	"testing"
)

func TestConsul(t *testing.T) {
	c := Start(t, Consul{Token: "8d3b1d2e-2f3b-4a55-9c7b-0d2c2a1e9f00"})
	c.Ask("PUT", "/v1/kv/a", "1")
	if r, err := http.Get("http://" + c.Addr + "/v1/kv/a?raw"); err != nil || r.StatusCode != http.StatusNotFound && r.StatusCode != http.StatusForbidden {
		t.Errorf("without a token: %v, %v", r, err)
	} else {
		r.Body.Close()
	}
	c.Kill()
	c.Restart()
	if got := c.Ask("GET", "/v1/kv/a?raw", ""); got != "1" {
		t.Errorf("after a restart a is %q", got)
	}
}
