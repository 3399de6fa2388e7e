package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// checkRegister looks for the latest acknowledged write of a key: one of the servers holds it, or a later one of unknown
// outcome.
func (a *app) checkRegister(ctx context.Context, servers []*redis.Client, l *ledger) {
	found := -1
	for _, c := range servers {
		value, err := c.Get(ctx, l.key).Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			a.journal.wrong("verify %s: %v", l.key, err)
			return
		}
		seq, err := decode(value, l.key, l.client)
		w, sent := l.get(seq)
		switch {
		case err != nil:
			a.journal.wrong("verify %s: %v", l.key, err)
		case !sent:
			a.journal.wrong("verify %s: write %d was never sent", l.key, seq)
		case w.is == refused:
			a.journal.find(Finding{Kind: "refused", From: w.at}, "verify %s: write %d was refused", l.key, seq)
		}
		found = max(found, seq)
	}
	if last, w := l.last(); found < last {
		if late, _ := l.get(found); late.is == unknown {
			return // Redis knows no order between connections
		}
		a.journal.find(Finding{Kind: "lost", From: w.at, Durable: w.is == durable}, "verify %s: it is at %d, %d was acknowledged", l.key, found, last)
	}
	a.journal.checked(1)
}

// checkTokens looks for every write to a list: those that were acknowledged are there once, the others once at most.
func (a *app) checkTokens(ctx context.Context, servers []*redis.Client, l *ledger) {
	times, ok := a.countTokens(ctx, servers, l)
	if !ok {
		return
	}
	for seq, w := range l.writes {
		switch n := times[seq]; {
		case n > 1:
			a.journal.find(Finding{Kind: "repeated", From: w.at}, "verify %s: token %d is there %d times", l.key, seq, n)
		case n == 1 && w.is == refused:
			a.journal.find(Finding{Kind: "refused", From: w.at}, "verify %s: token %d was refused", l.key, seq)
		case n == 0 && w.is >= acked:
			a.journal.find(Finding{Kind: "lost", From: w.at, Durable: w.is == durable}, "verify %s: token %d was acknowledged and is not there", l.key, seq)
		}
	}
	a.journal.checked(len(l.writes))
}

// countTokens returns how often each token is in a list, on all servers together.
func (a *app) countTokens(ctx context.Context, servers []*redis.Client, l *ledger) (times map[int]int, ok bool) {
	times = map[int]int{}
	for _, c := range servers {
		list, err := c.LRange(ctx, l.key, 0, -1).Result()
		if err != nil {
			a.journal.wrong("verify %s: %v", l.key, err)
			return nil, false
		}
		for _, value := range list {
			seq, err := decode(value, l.key, l.client)
			if _, sent := l.get(seq); err != nil || !sent {
				a.journal.wrong("verify %s: %.80q was never sent (%v)", l.key, value, err)
				continue
			}
			times[seq]++
		}
	}
	return times, true
}

// checkCounter compares a counter with the number of writes. Nobody can tell which of them it lacks; those that had
// reached the replicas are not among them.
func (a *app) checkCounter(ctx context.Context, servers []*redis.Client, l *ledger) {
	sum := 0
	for _, c := range servers {
		n, err := c.Get(ctx, l.key).Int()
		if err != nil && !errors.Is(err, redis.Nil) {
			a.journal.wrong("verify %s: %v", l.key, err)
			return
		}
		sum += n
	}
	least, most := 0, 0
	var among []int64
	for _, w := range l.writes {
		if w.is >= acked {
			least++
		}
		if w.is == acked {
			among = append(among, w.at)
		}
		if w.is != refused {
			most++
		}
	}
	if sum > most {
		a.journal.find(Finding{Kind: "repeated"}, "verify %s: it is %d, only %d writes can have been executed", l.key, sum, most)
	}
	if sum < least {
		f := Finding{Kind: "lost", Count: least - sum, Among: among}
		a.journal.find(f, "verify %s: it is %d, %d writes were acknowledged", l.key, sum, least)
	}
	a.journal.checked(len(l.writes))
}

// checkQueue looks for every token of a queue: taken out once, or still there once, or taken by a call that got no answer.
func (a *app) checkQueue(ctx context.Context, servers []*redis.Client, l *ledger, q *taken) {
	left, ok := a.countTokens(ctx, servers, l)
	if !ok {
		return
	}
	var lost []Finding
	for seq, w := range l.writes {
		at, out := q.seen[seq]
		n := left[seq]
		switch {
		case out && n > 0:
			a.journal.find(Finding{Kind: "repeated", From: at}, "verify %s: token %d was taken and is there", l.key, seq)
		case n > 1:
			a.journal.find(Finding{Kind: "repeated", From: w.at}, "verify %s: token %d is there %d times", l.key, seq, n)
		case (out || n > 0) && w.is == refused:
			a.journal.find(Finding{Kind: "refused", From: w.at}, "verify %s: token %d was refused", l.key, seq)
		case !out && n == 0 && w.is >= acked:
			lost = append(lost, Finding{Kind: "lost", From: w.at, Text: fmt.Sprintf("token %d was acknowledged and never came", seq)})
		}
	}
	for _, f := range lost[min(q.unknown, len(lost)):] {
		a.journal.find(f, "verify %s: %s; %d calls may have taken one", l.key, f.Text, q.unknown)
	}
	a.journal.checked(len(l.writes))
}
