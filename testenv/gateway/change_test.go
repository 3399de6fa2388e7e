package gateway

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// Other protocols are accepted, changed and given up while the agent runs, and clients that are connected call on, also when the
// resource behind them is opened anew.
func TestAcceptChangesWhileItRuns(t *testing.T) {
	s := motan.Serve(t, motan.Server{})
	vars := motanVars(t, s)
	vars["web"], vars["errors"] = strings.TrimPrefix(web(t).URL, "http://"), "exception"
	without := strings.NewReplacer("    accept: { http: { listen: {{.http}} } }\n", "").Replace(overMotan)
	lines := strings.Split(without, "\n")
	for i, l := range lines {
		if strings.Contains(l, "accept: { motan2") {
			lines[i] = "    # nothing"
		}
	}
	without = strings.Join(lines, "\n")
	a := server.Start(t, server.Agent{Config: without, Vars: vars})
	c := motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(a.Addr("peers"))})
	change := func(config, what string, is func() error) {
		t.Helper()
		a.Rewrite(config)
		a.Signal(syscall.SIGHUP)
		server.Wait(t, 10*time.Second, what, is)
		if r := c.Do(motan.Name()); r.Value != s.Name {
			t.Errorf("%s: the other service: %v %v", what, r.Value, r.Exception)
		}
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	cl := &http.Client{Transport: tr, Timeout: 5 * time.Second}
	var local string // of the client's connection
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			local = nc.LocalAddr().String()
		}
		return nc, err
	}
	name := func() error {
		r, err := cl.Get("http://" + vars["http"] + "/name")
		if err != nil {
			return err
		}
		defer r.Body.Close()
		if b, err := io.ReadAll(r.Body); err != nil || r.StatusCode != 200 || !strings.Contains(string(b), s.Name) {
			return fmt.Errorf("%d %s %v", r.StatusCode, b, err)
		}
		return nil
	}
	hello := func() error {
		if r := c.Do(toWeb("hello", nil)); r.Exception != nil {
			return r.Exception
		}
		return nil
	}
	if r := c.Do(toWeb("hello", nil)); r.Exception == nil || r.Exception.Code != 10101 {
		t.Fatalf("what is not accepted is called: %v %v", r.Value, r.Exception)
	}
	change(overMotan, "HTTP", name)
	server.Wait(t, 5*time.Second, "Motan", hello)
	first := local
	reopened := strings.NewReplacer("service: {{.service}} }", "service: {{.service}}, max-timeout: 300% }", "hosts: [web.local]", "hosts: [other.local]").Replace(overMotan)
	change(reopened, "the web server's other host", func() error {
		r := c.Do(toWeb("hello", nil))
		if r.Exception != nil || !strings.HasPrefix(fmt.Sprint(r.Value), "GET other.local ") {
			return fmt.Errorf("%v %v", r.Value, r.Exception)
		}
		return nil
	})
	if err := name(); err != nil || local != first {
		t.Errorf("a client of HTTP whose service was opened anew: %v, connected from %s and then from %s", err, first, local)
	}
	own := strings.NewReplacer(", groups: [yf-web]", "").Replace(overMotan)
	for group, config := range map[string]string{"yf": own, "more": strings.NewReplacer("groups: { yf: { endpoints", "groups: { more: { endpoints").Replace(own)} {
		change(config, "the groups of the resource itself", func() error {
			x := toWeb("hello", nil)
			if x.Group = group; c.Do(x).Exception != nil {
				return c.Do(x).Exception
			}
			return nil
		})
	}
	if err := name(); err != nil || local != first {
		t.Errorf("a client of HTTP after changes of another service: %v, connected from %s and then from %s", err, first, local)
	}
	change(without, "HTTP to be given up", func() error {
		if err := name(); err == nil {
			return fmt.Errorf("it answers")
		}
		return nil
	})
	if r := c.Do(toWeb("hello", nil)); r.Exception == nil || r.Exception.Code != 10101 {
		t.Errorf("what was given up is called: %v %v", r.Value, r.Exception)
	}
}
