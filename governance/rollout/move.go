package rollout

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/resources"
)

// Move writes the steps that move calls from one data centre to another: a switch for each selected resource that has weight
// in `from`, which keeps the shares of all other data centres. A zero selector is for all. Resources that have no group in `to`
// are problems, one line each, and not among the steps.
//
// The order is caches, then services and all else, then queues, then databases; by name within each. A cache that is moved
// first is cold at worst: its misses go to a database that is where it was, is warm, and has the newest rows. Moved after the
// database, it could be filled with rows of a replica that lags and would keep them. Services follow when their caches are
// near. Databases come last: data that is written in the new place is what is hardest to take back, so by then all else has
// shown that it works there; and what is taken back is taken back in the reverse order, writes first.
func Move(from, to string, sel command.Selector, list []Info) (steps []Step, problems []string) {
	if from == "" || to == "" || from == to {
		return nil, []string{fmt.Sprintf("from %q to %q: name two data centres that differ", from, to)}
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Info) int {
		return cmp.Or(cmp.Compare(rank(a.Kind), rank(b.Kind)), cmp.Compare(a.Name, b.Name))
	})
	list = slices.DeleteFunc(list, func(i Info) bool { return !sel.IsZero() && !sel.Match(i.info()) })
	list = slices.CompactFunc(list, func(a, b Info) bool { return a.Name == b.Name }) // files define it in different ways
	for _, info := range list {
		moved, best := 0, -1
		weights := make(map[string]int)
		for i, g := range info.Groups {
			switch g.idc() {
			case from:
				moved += g.Weight
				continue
			case to:
				if best < 0 || g.Weight > info.Groups[best].Weight {
					best = i
				}
			}
			if g.Weight > 0 {
				weights[g.Name] = g.Weight
			}
		}
		if moved == 0 {
			continue
		}
		if best < 0 {
			problems = append(problems, fmt.Sprintf("%s has calls in %s and no group in %s: add one first", info.Name, from, to))
			continue
		}
		name := info.Groups[best].Name
		weights[name] = min(weights[name]+moved, resources.MaxWeight)
		steps = append(steps, Step{Command: command.Command{Command: resources.Command{
			Type: resources.CommandSwitch, Resource: info.Name, Weights: weights,
		}}})
	}
	return steps, problems
}

// rank orders kinds of resources as Move says.
func rank(kind string) int {
	switch kind {
	case "redis", "memcached":
		return 0
	case "kafka", "rabbitmq", "mcq":
		return 2
	case "mysql", "postgres", "postgresql", "mongodb":
		return 3
	}
	return 1
}
