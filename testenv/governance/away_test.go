package governance

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// Two centres, of which one cannot be reached for a while: the pages of the other say which one, and which agents are linked to it:
// browser/centers.test.mjs.
func TestPagesNameACenterThatIsAway(t *testing.T) {
	t.Parallel()
	server.NodeModules(t, "browser")
	second := server.FreeAddr(t)
	between := fault.Start(t, fault.Options{Target: second, Seed: 1})
	z := togetherOf(t, 2, func(i int) (listen, address string) {
		if i == 2 {
			return second, between.Addr
		}
		return "", ""
	})
	z.put("feed-cache", redisSpec(cacheAt(t, "yf"), cacheAt(t, "tc")))
	for i := 1; i <= 2; i++ {
		call(t, z.agentAt(fmt.Sprintf("web-%d", i), i), "feed-cache")
	}
	z.agree(10*time.Second, "each centre to list all agents", "web-1@c1 web-2@c2")
	mux := http.NewServeMux()
	mux.HandleFunc("POST /cut", func(http.ResponseWriter, *http.Request) { between.Set(fault.ResetAfter(1)) })
	mux.HandleFunc("POST /mend", func(http.ResponseWriter, *http.Request) { between.Clear() })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	inBrowser(z.lab, s.URL, "centers.test.mjs")
	between.MustHaveFired(t, fault.KindReset)
}
