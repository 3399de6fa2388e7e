package etcd

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-mesh/sluice/governance/store"
)

func event(revision int64, key string) *clientv3.Event {
	return &clientv3.Event{Kv: &mvccpb.KeyValue{
		Key: []byte("p/" + key), Value: []byte("v"), ModRevision: revision, CreateRevision: revision,
	}}
}

func tick(revision, version int64) *clientv3.Event {
	ev := event(revision, tickKey)
	ev.Kv.Version = version
	return ev
}

func removed(ev *clientv3.Event) *clientv3.Event {
	ev.Type, ev.Kv.Version = clientv3.EventTypeDelete, 0
	return ev
}

// show gives what is whole, such as "11: a/x a/y, 12: a/z", and where a watch goes on that sent it.
func show(q *queue) (string, place) {
	var all []string
	for len(q.whole) > 0 {
		keys := fmt.Sprint(q.whole[0].Revision, ":")
		for _, c := range q.whole[0].Changes {
			keys += " " + c.Key
		}
		all = append(all, keys)
		q.pop()
	}
	return strings.Join(all, ", "), q.sent
}

func TestQueue(t *testing.T) {
	type response = []*clientv3.Event
	for name, c := range map[string]struct {
		begin place
		in    []response
		want  string
		sent  place
		err   string // of the last response
	}{
		"commits": {place{10, 4}, []response{
			{event(10, "a/old"), tick(10, 4), event(11, "a/x"), event(11, "a/y"), tick(11, 5)}, {event(14, "a/x"), tick(14, 6)},
		}, "11: a/x a/y, 14: a/x", place{14, 6}, ""},
		"from the beginning": {place{0, 0}, []response{{event(3, "a/x"), tick(3, 1)}}, "3: a/x", place{3, 1}, ""},
		"gap at the beginning": {place{0, 0}, []response{{event(5, "a/x"), tick(5, 2)}},
			"", place{0, 0}, "commit 2, of revision 5, follows commit 0"},
		"an unknown beginning": {place{10, unknownTick}, []response{{event(12, "a/x"), tick(12, 7)}}, "12: a/x", place{12, 7}, ""},
		"split revision": {place{10, 4}, []response{{event(11, "a/x")}, {event(11, "a/y"), tick(11, 5)}},
			"11: a/x a/y", place{11, 5}, ""},
		"half of a revision": {place{10, 4}, []response{{event(11, "a/x")}}, "", place{10, 4}, ""},
		"gap": {place{10, 4}, []response{{event(11, "a/x"), tick(11, 5), event(13, "a/z"), tick(13, 7)}},
			"11: a/x", place{11, 5}, "commit 7, of revision 13, follows commit 5, of revision 11"},
		"gap at half a revision": {place{10, 4}, []response{{event(11, "a/x")}, {event(12, "a/y"), tick(12, 6)}},
			"", place{10, 4}, "commit 6, of revision 12, follows commit 4"},
		"tick goes back": {place{10, 4}, []response{{event(12, "a/x"), tick(12, 1)}},
			"", place{10, 4}, "commit 1, of revision 12"},
		"late": {place{10, 4}, []response{{event(11, "a/x"), tick(11, 5), event(12, "a/y")}, {event(11, "a/z")}},
			"", place{10, 4}, "revision 11 came after revision 12"},
		"late, other order": {place{10, 4}, []response{{event(12, "a/y")}, {event(11, "a/x"), tick(11, 5)}},
			"", place{10, 4}, "revision 11 came after revision 12"},
		"after its tick": {place{10, 4}, []response{{tick(11, 5)}, {event(11, "a/x")}},
			"", place{11, 5}, "revision 11 came after revision 11"},
		"sent again": {place{10, 4}, []response{{event(9, "a/w"), tick(9, 3), event(10, "a/x"), tick(10, 4)}, {event(11, "a/x"), tick(11, 5)}},
			"11: a/x", place{11, 5}, ""},
		"elsewhere": {place{10, 4}, []response{{event(11, "b"), tick(11, 5)}, {tick(12, 6)}}, "", place{12, 6}, ""},
		"elsewhere, afterwards": {place{10, 4}, []response{{event(11, "a/x"), tick(11, 5), event(12, "b"), tick(12, 6)}},
			"11: a/x", place{12, 6}, ""},
		"gap elsewhere": {place{10, 4}, []response{{event(12, "b"), tick(12, 6)}}, "", place{10, 4}, "commit 6"},
		"leaders have no tick": {place{10, 4}, []response{{event(11, "leaders/n/1")}, {event(12, "a/x"), tick(12, 5)}},
			"12: a/x", place{12, 5}, ""},
		"by hand": {place{10, 4}, []response{{event(11, "a/x")}, {event(12, "a/y"), tick(12, 5), event(13, "a/z")}},
			"11: a/x, 12: a/y", place{12, 5}, ""},
		"all removed by hand": {place{10, 4}, []response{{removed(event(11, "a/x")), removed(tick(11, 0))}, {event(12, "a/x"), tick(12, 1)}},
			"11: a/x, 12: a/x", place{12, 1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQueue("p/", "a/", c.begin)
			var err error
			for i, events := range c.in {
				if err != nil {
					t.Fatalf("response %d: %v", i, err)
				}
				err = q.add(events)
			}
			got, sent := show(&q)
			if got != c.want || sent != c.sent {
				t.Errorf("sent %q and goes on after %v, want %q and %v", got, sent, c.want, c.sent)
			}
			if c.err == "" && err != nil || c.err != "" && (!errors.Is(err, errGap) || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error is %v, want %q", err, c.err)
			}
			if q.bytes != 0 {
				t.Errorf("%d bytes are counted for nothing", q.bytes)
			}
		})
	}
}

// What was sent before an event came late stays sent, and the watch goes on after it.
func TestQueueLateAfterSending(t *testing.T) {
	q := newQueue("p/", "", place{10, 4})
	if err := q.add([]*clientv3.Event{event(11, "x"), tick(11, 5), event(13, "x"), tick(13, 6)}); err != nil {
		t.Fatal(err)
	}
	q.pop()
	if err := q.add([]*clientv3.Event{event(12, "y")}); !errors.Is(err, errGap) {
		t.Errorf("error is %v", err)
	}
	if got, sent := show(&q); got != "" || sent != (place{11, 5}) || q.bytes != 0 {
		t.Errorf("%q is left of %d bytes, after %v", got, q.bytes, sent)
	}
}

// Others write more than a watch holds, and no commit comes.
func TestQueueUnticked(t *testing.T) {
	q := newQueue("p/", "", place{10, 4})
	var err error
	revision := int64(11)
	for ; err == nil && revision < 100; revision++ {
		ev := event(revision, "x")
		ev.Kv.Value = make([]byte, store.MaxValue)
		err = q.add([]*clientv3.Event{ev})
	}
	if !errors.Is(err, errUnticked) || revision > 16 {
		t.Errorf("error is %v after revision %d", err, revision)
	}
}
