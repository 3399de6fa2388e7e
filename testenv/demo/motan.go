package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/testenv/motan"
)

// userKind and feedKind are two services of one motan-go server, which applications call with motan-go, too.
var (
	userKind = kind{
		name:     "motan2",
		resource: "user-service",
		port:     9981,
		settings: "{ service: " + motan.UserService + `, version: "` + motan.Version + `", idempotent: [get] }`,
		dsn:      motanAt,
		start:    startFeed,
		web:      callMotan(getUser, 3, 20*time.Millisecond),
		batch:    callMotan(getUser, 1, 20*time.Millisecond),
		try: func(r string) []hint {
			return []hint{
				{"sluice", "switch " + r + " tc=100 --for 1m --why 'only web-1 moves'", "all calls of this agent move to tc, while feed-service, at the same address, stays"},
				{"sluice", "fault " + r + " --delay 50ms --percent 10 --match op=get --for 1m", "one call in ten takes 50 ms longer: look at p99"},
				{"sluice", "observe " + r, "calls as they happen: method, caller, server, time"},
			}
		},
	}
	feedKind = kind{
		name:     "motan2",
		resource: "feed-service",
		beside:   userKind.resource,
		settings: "{ service: " + motan.FeedService + `, version: "` + motan.Version + `", idempotent: [timeline] }`,
		dsn:      motanAt,
		web:      callMotan(getTimeline, 3, 20*time.Millisecond),
		batch:    callMotan(getTimeline, 1, 20*time.Millisecond),
		try: func(r string) []hint {
			return []hint{
				{"sluice", "degrade " + r + " --match op=timeline --for 1m --why 'timelines are too slow'", "timelines are refused with code 10021, users go on"},
				{"sluice", "limit " + r + " 20/s --match caller=feed-web --for 1m", "one application gets 20 calls a second, the other all it wants"},
			}
		},
	}
)

func motanAt(addr string) string { return "motan2://" + addr }

// motanServer is a motan-go server in a process of its own.
type motanServer struct {
	*motan.ServerProcess
	tries *attempts
}

func startFeed(on *stage, group string) (embedded, error) {
	return &motanServer{motan.ServeFeed(on, motan.Feed{Place: group, Program: on.motan}), on.attempts}, nil
}

func (s *motanServer) Addr() string { return s.ServerProcess.Addr }
func (s *motanServer) Close()       { s.Down() }

func (s *motanServer) Down() {
	if s.Running() {
		s.Kill()
	}
}

func (s *motanServer) Up() error {
	if s.Running() {
		return nil
	}
	return s.tries.try(s.Restart)
}

// What the application calls: the method, and who answered.
var (
	getUser     = motanCall{motan.UserService, "get", func(v any) string { m, _ := v.(map[string]string); return m["place"] }}
	getTimeline = motanCall{motan.FeedService, "timeline", func(v any) string {
		if list, _ := v.([]string); len(list) > 0 {
			return list[0]
		}
		return ""
	}}
)

type motanCall struct {
	service, method string
	place           func(value any) string // "" when it is no answer
}

// callMotan is an application with motan-go as its client: it only knows the agent's address, and the group that it has always
// called.
func callMotan(m motanCall, workers int, every time.Duration) caller {
	return func(ctx context.Context, on *stage, addr, application string, s *stats) {
		c := motan.Dial(on, motan.Client{
			Registry: motan.Direct(addr), Application: application, Program: on.motan,
			Parameters: map[string]string{"errorCountThreshold": "1000000"}, // so that every refusal is seen
		})
		defer c.Kill()
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				pace := time.NewTicker(every)
				defer pace.Stop()
				for {
					select {
					case <-ctx.Done():
						return
					case <-pace.C:
						s.call(m.method, func() error { return m.do(c, s) })
					}
				}
			})
		}
		wg.Wait()
	}
}

func (m *motanCall) do(c *motan.ClientProcess, s *stats) error {
	answers, err := c.Try(motan.Call{Service: m.service, Group: groups[0], Method: m.method, Args: []any{rand.Int64N(users)}})
	if err != nil {
		return err
	}
	r := answers[0]
	if r.Exception != nil {
		return errors.New(r.Exception.Message)
	}
	place := m.place(r.Value)
	if place == "" {
		return fmt.Errorf("%s answered %v", m.method, r.Value)
	}
	s.answered(place)
	return nil
}
