package filter

import (
	"fmt"

	"github.com/sluice-mesh/sluice/resources"
)

// Rule is a compiled command: which calls, what share of them, and what happens to these.
type Rule struct {
	Selector *resources.Selector
	Coin     Coin
	Stop     *resources.Stop // the call ends with this; nil: it goes on
	Delay    int64           // ns to hold a call that goes on
}

// Rules are the commands of one type, the newest first.
type Rules []Rule

// Rules compiles the commands of a type; effect fills in what happens to the calls that a command hits.
func (e *Env) Rules(t resources.CommandType, effect func(*resources.Command, *Rule)) (Rules, error) {
	var out Rules
	for _, c := range e.CommandsOf(t) {
		sel, err := c.Match.Compile(e.Ops)
		if err != nil {
			return nil, fmt.Errorf("command %s: %w", c.ID, err)
		}
		r := Rule{Selector: sel, Coin: NewCoin(c.Percent)}
		effect(&c, &r)
		out = append(out, r)
	}
	return out, nil
}

// Pick returns the rule that hits the call, nil when none does. The newest command that selects the call decides
// alone: when its percentage spares the call, older commands do not get another chance.
func (rs Rules) Pick(c *resources.Call) *Rule {
	for i := range rs {
		if r := &rs[i]; r.Selector.Match(c) {
			if r.Coin.Hit() {
				return r
			}
			return nil
		}
	}
	return nil
}
