// Command app is an ordinary program that keeps its data in Redis through an ordinary client library, and knows one address. It
// is what the tests of the folder above put behind an agent, and it has no idea that there is one.
//
// It reads and writes strings, counters, lists, transactions, optimistic locks, queues with blocking readers, and
// messages, until a line on its standard input says where to look at the data in the end:
//
//	verify 127.0.0.1:7001 127.0.0.1:7002
//
// Then it compares what every one of these servers holds with its journal, and prints a [Report] as JSON. Data may have
// been written to any of them, so a write must be found on one of them, and on no two.
//
// Every value says where it belongs, key|client|sequence|CRC, and the journal knows of every write whether it was
// acknowledged, refused, or of unknown outcome. Acknowledged writes are followed by WAIT, so that the journal also knows
// which of them have reached the replicas: a failover of Redis by itself may lose the others, and nothing else may.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/kong"
	"github.com/redis/go-redis/v9"
)

// options are the flags.
type options struct {
	Addr     string        `help:"Address of Redis." default:"127.0.0.1:6379"`
	Replicas int           `help:"Replicas that a write must have reached to be called durable." default:"2"`
	Pace     time.Duration `help:"Time between two calls of a worker." default:"4ms"`
}

func main() {
	var o options
	kong.Parse(&o)
	redis.SetLogger(silence{}) // what fails is in the report

	a := &app{journal: newJournal(), replicas: o.Replicas, pace: o.Pace, stop: make(chan struct{})}
	a.rdb = redis.NewClient(&redis.Options{
		Addr: o.Addr, ClientName: "feed-web", PoolSize: 40,
		MaxRetries:  -1, // every error is to be seen
		DialTimeout: time.Second, ReadTimeout: 4 * time.Second, WriteTimeout: 4 * time.Second,
	})
	a.start()
	fmt.Println("started")

	where, err := bufio.NewReader(os.Stdin).ReadString('\n')
	close(a.stop)
	a.wg.Wait()
	_ = a.rdb.Close() // everything was answered
	words := strings.Fields(where)
	if err != nil || len(words) < 2 || words[0] != "verify" {
		fmt.Fprintf(os.Stderr, "app: %q, %v: expected the line: verify ADDRESS...\n", where, err)
		return
	}
	a.verify(words[1:])
	if err := json.NewEncoder(os.Stdout).Encode(a.journal.report()); err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
	}
}

// silence is a logger of the client library.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// app is the program: its workers share a client, as goroutines of a web server do.
type app struct {
	rdb      *redis.Client
	journal  *journal
	replicas int
	pace     time.Duration
	stop     chan struct{} // closed when the workers are to end
	wg       sync.WaitGroup
	checks   []func(context.Context, []*redis.Client) // of the workers, for the end
}

func (a *app) start() {
	for i := range 3 {
		a.strings(fmt.Sprintf("s%d", i))
		a.pipelines(fmt.Sprintf("p%d", i))
	}
	for i := range 2 {
		a.counters(fmt.Sprintf("c%d", i))
		a.transactions(fmt.Sprintf("t%d", i))
		a.queue(fmt.Sprintf("q%d", i))
	}
	a.optimists("w", 3)
	a.messages("m")
	a.surveys("k")
}

// loop runs one worker: step again and again, at the pace of the program or slower.
func (a *app) loop(slower int, step func(ctx context.Context)) {
	a.wg.Go(func() {
		tick := time.NewTicker(a.pace * time.Duration(slower))
		defer tick.Stop()
		for {
			select {
			case <-a.stop:
				return
			case <-tick.C:
				step(context.Background()) // a call is never given up: its outcome would be unknown for no reason
			}
		}
	})
}

// atEnd adds a check of the data.
func (a *app) atEnd(check func(ctx context.Context, servers []*redis.Client)) {
	a.checks = append(a.checks, check)
}

// verify runs all checks against servers.
func (a *app) verify(addresses []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var servers []*redis.Client
	for _, addr := range addresses {
		c := redis.NewClient(&redis.Options{Addr: addr, ReadTimeout: 5 * time.Second})
		defer func() { _ = c.Close() }()
		servers = append(servers, c)
	}
	for _, check := range a.checks {
		check(ctx, servers)
	}
}
