package fleet

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// unsure is a source that does not know everything yet.
type unsure struct {
	*source
	about atomic.Pointer[string]
}

func (u *unsure) Doubtful(name string) bool {
	p := u.about.Load()
	return p != nil && *p == name
}

// A centre that has just started does not tell an agent that what it runs is gone, unless it is certain. An agent that has
// nothing, or nothing of what is in doubt, is served at once.
func TestDoubtKeepsAFullUpdateBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		first := newLab(t, src, nil)
		a, b := first.agent("a", "cache", "db"), first.agent("b", "db")
		stopA, stopB := first.start(a), first.start(b)
		first.changed(src.put("db", "one"), "db")
		first.changed(src.put("cache", "one"), "cache")
		_, _ = stopA(), stopB()
		first.close()

		src.remove("cache")
		src.put("db", "two")
		doubt := &unsure{source: src}
		name := "cache"
		doubt.about.Store(&name)
		second := newLab(t, src, func(o *Options) { o.Source = doubt })
		defer second.close()
		a.Dial, b.Dial = second.dial("a"), second.dial("b")
		fresh := second.agent("fresh", "cache", "db")
		second.start(a)
		second.start(b)
		second.start(fresh)
		second.settle()
		second.runs(b)
		second.runs(fresh)
		if got := a.Resources(); len(got) != 2 {
			t.Errorf("while in doubt the agent was left with %v", got)
		}
		if v := second.view("a"); !v.Behind {
			t.Errorf("%+v", v)
		}

		doubt.about.Store(nil)
		second.settle()
		second.runs(a)
	})
}
