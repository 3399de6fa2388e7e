package redis

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestSizes sends and reads values around the sizes of buffers, alone and in the middle of a pipeline.
func TestSizes(t *testing.T) {
	sizes := []int{0, 1, 100, 1 << 20, 3 << 20}
	for _, edge := range []int{16 << 10, 32 << 10, 64 << 10, 256 << 10} {
		for _, d := range []int{-30, -22, -2, -1, 0, 1} { // heads and line ends of 7 to 30 bytes come with a value
			sizes = append(sizes, edge+d)
		}
	}
	for _, profile := range []string{profileMultiplexed, profileTransparent} {
		w := newWorld(t, &Settings{Profile: profile})
		for _, proto := range []string{"2", "3"} {
			if profile == profileTransparent && proto == "2" {
				continue // differs from the others in nothing that sizes matter to
			}
			t.Run(profile+"/resp"+proto, func(t *testing.T) {
				w.flush()
				p := w.pair(t)
				p.same("HELLO " + proto)
				rng := rand.New(rand.NewPCG(7, uint64(len(proto))))
				for i, n := range sizes {
					p.what = fmt.Sprintf("%d bytes", n)
					v := big(n, byte(i))
					cmds := [][]string{
						{"SET", "small", "1"}, {"SET", "k", v}, {"INCR", "small"}, {"GET", "k"}, {"STRLEN", "k"}, {"ECHO", v},
						{"MGET", "k", "small", "k"}, {"RPUSH", "l", v, "x"}, {"LRANGE", "l", "0", "-1"}, {"BLPOP", "l", "0"}, {"DEL", "l"},
						{"MULTI"}, {"SET", "k2", v}, {"GET", "k2"}, {"EXEC"}, {"GETRANGE", "k", "0", "-1"}, {"NOSUCH", v},
						{"EVAL", "return ARGV[1]", "0", v}, {"WATCH", "k"}, {"GET", "k"}, {"UNWATCH"}, {"GET", "small"},
					}
					p.batch(cmds, encode(cmds), rng)
				}
			})
		}
	}
}

// TestBigMessages publishes to subscribers that have requests in flight.
func TestBigMessages(t *testing.T) {
	w := newWorld(t, nil)
	for _, proto := range []string{"2", "3"} {
		sub, pub := w.pair(t), w.pair(t)
		sub.same("HELLO " + proto)
		sub.same("SUBSCRIBE ch")
		for i, n := range []int{1, 10 << 10, 32<<10 - 30, 32 << 10, 100 << 10, 1 << 20, 3 << 20} {
			sub.what = fmt.Sprintf("RESP%s, %d bytes", proto, n)
			pub.tell([]string{"PUBLISH", "ch", big(n, byte(i))})
			pub.agree()
			sub.agree()
			// A message between the replies of a pipeline may come anywhere there, so one is asked for first.
			sub.tell([]string{"PING", big(n, 1)})
			sub.agree()
			sub.same("UNSUBSCRIBE nosuch")
		}
		pings := strings.Repeat("*1\r\n$4\r\nPING\r\n", 500)
		for _, c := range []*wire{sub.direct, sub.agent} {
			c.send([]byte(pings))
		}
		message := big(2<<20, 9)
		pub.tell([]string{"PUBLISH", "ch", message})
		pub.agree()
		for _, c := range []*wire{sub.direct, sub.agent} {
			pongs, messages := 0, 0
			for pongs < 500 || messages < 1 {
				switch r := c.reply(); {
				case strings.Contains(strings.ToLower(r), "pong"):
					pongs++
				case strings.HasSuffix(r, message+"\r\n"):
					messages++
				default:
					t.Fatalf("%s: got %s", c.name, show(r))
				}
			}
			_ = c.nc.Close()
		}
	}
}

// TestDeepPipelines sends more requests at once than the agent lets be in flight.
func TestDeepPipelines(t *testing.T) {
	w := newWorld(t, nil)
	p := w.pair(t)
	p.what = "deep"
	cmds := [][]string{{"BLPOP", "nolist", "0.001"}}
	for i := range 5000 {
		switch i % 50 {
		case 17:
			cmds = append(cmds, []string{"RPUSH", "l", "v"}, []string{"BLPOP", "l", "0"})
		case 18:
			cmds = append(cmds, []string{"MULTI"}, []string{"INCR", "n"}, []string{"EXEC"})
		case 19:
			cmds = append(cmds, []string{"SELECT", fmt.Sprint(i / 50 % 3)})
		default:
			cmds = append(cmds, []string{"INCR", "n"}, []string{"GET", "n"})
		}
	}
	p.batch(cmds, encode(cmds), rand.New(rand.NewPCG(1, 1)))
}
