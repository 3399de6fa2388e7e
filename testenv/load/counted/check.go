package counted

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// Mortal is a real server, which forgets what it counted when it is killed.
type Mortal interface {
	Kill()
	Restart()
}

// CheckDial checks clients against a real server: it does nothing wrong, and that it was killed is seen, by calls that fail and by
// what it does not know any more.
func CheckDial(ctx context.Context, t server.TB, dial Dial, s Mortal, addr string) {
	t.Helper()
	l := Start(ctx, Config{Dial: dial, Address: addr, Servers: []string{addr}, Timeout: 10 * time.Second})
	l.Await(t, 200)
	l.Stop().Check(t, 1)
	if l.CountedBy(addr) == 0 {
		t.Errorf("the server counted nothing")
	}
	l = Start(ctx, Config{Dial: dial, Address: addr, Servers: []string{addr}, Timeout: 10 * time.Second})
	l.Await(t, 50)
	l.Outlive(t, s)
	if r := l.Stop(); r.Lost == 0 {
		t.Errorf("the server was gone with what it counted, and the load says %v", r)
	}
}

// Outlive kills a server and starts it anew when the load has missed it, and waits until calls are made again.
func (l *Runner) Outlive(t server.TB, s Mortal) {
	t.Helper()
	s.Kill()
	server.Wait(t, 30*time.Second, "the load to miss the server", func() error {
		if l.Failed(load.Connect) == 0 {
			return errors.New("nobody failed to connect")
		}
		return nil
	})
	s.Restart()
	l.Await(t, 20)
}
