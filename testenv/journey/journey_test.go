package journey

import (
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

const config = `
agent:
  application: feed-web
  idc: yf
  admin: {{addr "admin"}}
  drain: { wait: 200ms, timeout: 10s }
resources:
  feed-cache:
    kind: redis
    listen: {{addr "cache"}}
    settings: { topology: sentinel, master: main }
    groups:
      yf: { idc: yf, weight: 100, endpoints: [{{.yf}}] }
      tc: { idc: tc, weight: 0, endpoints: [{{.tc}}] }
`

// configLimited has a rule more; it takes the place of config while the agent runs.
const configLimited = config + `
    policy:
      limits: [{ match: { op: STRLEN }, rate: 0/s }]
`

// dying is what the agent may say while a primary is gone. After an error to MULTI it closes the connection.
var dying = []string{"UNAVAILABLE", "UNKNOWN", "TIMEOUT", "CLOSED"}

func TestJourney(t *testing.T) {
	lab := startLab(t, config)
	app := startApp(t, lab.agent.Addr("feed-cache"))
	day := &day{t: t}

	day.step("nothing", nil, quiet)
	day.move("switch to tc", func() { lab.order("switch feed-cache tc=100 --why", "yf is to be upgraded") })
	day.move("undo the switch", func() { lab.undo() })
	day.step("degrade KEYS", func() { lab.order("degrade feed-cache --match op=KEYS --why", "KEYS is slow") },
		expect{op: "KEYS", words: []string{"DEGRADED"}, always: true})
	day.step("undo the degradation", func() { lab.undo() }, quiet)
	day.step("inject errors", func() { lab.order("fault feed-cache --match op=STRLEN --error", "UNAVAILABLE out of order") },
		expect{op: "STRLEN", words: []string{"UNAVAILABLE"}, always: true})
	day.step("undo the errors", func() { lab.undo() }, quiet)
	day.step("inject delays", func() { lab.order("fault feed-cache --delay 15ms --percent 20") }, quiet)
	day.step("undo the delays", func() { lab.undo() }, quiet)
	day.step("a new policy by SIGHUP", func() { lab.reload(configLimited) }, expect{op: "STRLEN", words: []string{"LIMITED"}, always: true})
	day.step("the old policy by SIGHUP", func() { lab.reload(config) }, quiet)

	old := lab.yf.Primary
	var primary *server.RedisNode
	day.fail("the primary of yf is killed", func() {
		old.Kill()
		primary = lab.yf.AwaitFailover(t, old)
	}, expect{op: "*", words: dying})
	day.step("the new primary serves", nil, quiet)
	// It comes back with nothing in its memory and takes itself for a primary until a sentinel tells it otherwise.
	day.step("the old primary is back", func() {
		old.Restart()
		lab.awaitReplica(old)
	}, quiet)
	day.move("switch to tc again", func() { lab.order("switch feed-cache tc=100 --why", "yf is strange") })
	day.move("undo that", func() { lab.undo() })

	report := app.finish(primary.Addr, lab.tc.Primary.Addr)
	day.judge(report)

	lab.atRest()
	lab.agent.Signal(syscall.SIGTERM)
	select {
	case <-lab.agent.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the agent did not end within 20s of SIGTERM")
	}
	lab.agent.Stop() // it has ended; this says that it was meant to
	if state := lab.agent.State(); state != "exit status 0" {
		t.Errorf("after SIGTERM the agent ended with %s", state)
	}
}
