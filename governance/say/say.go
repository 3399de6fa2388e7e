// Package say holds the sentences that the centre says to people: programs get them in English, and pages by their codes, which they
// say in the language that is chosen. The pages' words are in ui/src/words/says.ts; a test compares them.
package say

import (
	"fmt"
	"regexp"
)

// Sentence is something that the centre says: its text, in English, and what pages need to say it in another language.
type Sentence struct {
	Text string `json:"-"`
	Code string `json:"code"`
	With With   `json:"with,omitempty"`
}

// With is what is in a sentence: texts, numbers, and other sentences. A page translates "state" and "type" by themselves.
type With map[string]any

// english has the sentences by their codes. {name} is replaced; {n|agent|agents} chooses by the number n.
var english = map[string]string{
	"group.down":      "no endpoint of group {group} is up",
	"group.held":      "endpoints of group {group} went too fast and are held",
	"endpoint.is":     "{address} in {group} is {state}",
	"endpoint.why":    "{address} in {group} is {state}: {detail}",
	"calls.failed":    "{percent} % of the calls do not end ok",
	"version.refused": "{n} of {of} agents refused its newest version",
	"files.differ":    "the files of its agents do not define it alike",
	"resource.is":     "{resource}: {why}",
	"resource.said":   "{problem}",

	"resource.refused": "{resource}: {n} agents refused version {version} and run the one before",
	"agent.clock":      "the clock of agent {agent} is {far}",
	"agent.clock.why":  "commands and certificates hold by the centre's; its logs and what it sends to Graphite do not",
	"agent.gone":       "agent {agent} is not connected",
	"agent.gone.why":   "its link ended; it carries calls as before, by its own copy of what it should run",
	"agent.stale":      "agent {agent} runs an old state",
	"agent.unready":    "agent {agent} is not ready",
	"clock.ahead":      "{far} ahead of the centre's",
	"clock.behind":     "{far} behind the centre's",

	"center.unheard":     "centre {center} is not heard here",
	"center.unheard.why": "its agents are shown as they were, and plans that centre {me} carries out wait: {problem}",

	"do.agent":     "see the agent",
	"do.centers":   "see which agents are linked to it",
	"do.refused":   "see who and why",
	"do.move":      "move its calls to {group}",
	"do.answer":    "answer in place of calling",
	"do.endpoints": "see its endpoints",

	"order.waits":   "{resource}: no connected agent carries it; the command waits for one.",
	"order.holds":   "{resource}: {type} {does}, for {calls} calls a second at {n} {n|agent|agents}.",
	"order.moves":   "{resource}: {group} goes from {before} to {after} calls a second, at {n} {n|agent|agents}.",
	"order.pinned":  "{resource}: {n} sessions are tied to a connection and move when what ties them ends.",
	"order.nothing": "No calls are being made that this would change.",

	"document.same":    "Nothing changes.",
	"document.changes": "{n} {n|change|changes} at once for {agents} {agents|agent|agents}.",

	"until.undone":           "until it is undone",
	"until.time":             "until {at}",
	"calls.all":              "calls",
	"calls.with":             "calls with {match}",
	"these":                  "{names}",
	"these.more":             "{names} and {n} more",
	"command.too":            "{id} ({type}{does}, by {author}, {until}) is about {which} of {resources} too",
	"and.more":               "and {n} more",
	"check.targets.good":     "every group that gets calls has endpoints that are up",
	"check.capacity.good":    "no group gets more calls than it has carried",
	"check.connections.good": "no group gets more connections than it can take, as far as that is known",
	"check.lag.good":         "no replica that gets calls is behind",
	"check.agents.good":      "all {n} agents are connected and current",
	"check.agents.none":      "no agent serves any of the resources",
	"check.agents.unseen":    "not all agents are seen: {problem}",
	"check.agent.away":       "{agent} is not connected and gets the commands when it comes back",
	"check.agent.behind":     "{agent} is behind: it has not taken what it was sent",
	"check.conflicts.good":   "no command in force is about the same calls",
	"check.unseen":           "{resource}: no agent says anything of group {group}",
	"check.none.up":          "{resource}: none of the {n} endpoints of {group} is up{example}",
	"check.some.up":          "{resource}: {sound} of {n} endpoints of {group} are up{example}",
	"check.calls.unread":     "{resource}: its calls cannot be read: {problem}",
	"check.peak.unread":      "{resource}: what {group} carried cannot be read: {problem}",
	"check.idle":             "{resource}: {group} would get {calls} calls/s and took none in 24 h",
	"check.more.calls":       "{resource}: {group} would get {calls} calls/s, {times} times what it carried at most in 24 h",
	"check.more.connections": "{resource}: {group} has {have} connections and would get up to {more} more: it takes {most}",
	"check.behind":           "{resource}: {address} of {group} is {lag} behind its primary, more than {most}",
	"plan.calls.unread":      "step {step}: the calls of {resource} cannot be read: {problem}",
	"plan.step.nobody":       "step {step} concerns no agent that is known",
	"plan.stage.nobody":      "stage {stage} matches no agent that a step concerns, beside those before it",
	"plan.stage.part":        "the last stage is not for all agents: the others stay as they are",
	"order.refused":          "agent {agent} would refuse it: {problem}",
	"order.both.ends":        "give either for or expires",
	"order.past":             "{for} is in the past: write a time from now on, such as 10m",
	"no.resource.none":       "there is no resource {resource}: there are none at all",
	"no.resource.many":       "there is no resource {resource} among the {n} that there are",
	"no.resource":            "there is no resource {resource}: there are {names}",
	"no.agent":               "there is no agent {agent}, and there was none in the last 24 hours",
	"no.carrier":             "no agent that carries {resource} is connected",
	"may.not":                "{who} may not do this: it needs the right {right}",
	"may.not.there":          "{who} may not do this to {resource}: it needs the right {right} there",
	"may.not.command":        "{who} may not {does} {resource}: it needs the right command there",
	"may.not.later":          "{who} may not give commands for resources that are still to come",
	"may.none.selected":      "{who} may give commands on some resources, and this selects none of them",
	"may.not.label":          "{who} may not change labels: they decide who may change what",
	"release.first":          "{resource} has no document yet: its first version is for all agents at once",
	"release.raced":          "{resource} was published by somebody else meanwhile: it has version {version} now",
	"release.runs":           "a release of {resource} is on its way: let it end, or take it back, before the resource is changed",
	"remove.self":            "this is you: let another admin remove you",
	"secret.used":            "secret {secret} is referred to by {resources}: change that first",
	"changed.meanwhile":      "{problem}: read it again and repeat the change",
	"log.in":                 "log in, or send a token: `sluice center login` prints a link",
	"login.elsewhere":        "this login was begun in another browser, or too long ago: begin anew",
	"login.refused":          "{problem}",
	"login.slow":             "too many wrong codes from here: wait a minute",
}

// Of makes a sentence. A code that there is not is a mistake of the caller, which a test finds.
func Of(code string, w With) Sentence { return Sentence{fill(english[code], w), code, w} }

// String returns the text, for sentences in others.
func (s Sentence) String() string { return s.Text }

var places = regexp.MustCompile(`\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}`)

// fill puts values into the places of a text.
func fill(text string, w With) string {
	return places.ReplaceAllStringFunc(text, func(place string) string {
		m := places.FindStringSubmatch(place)
		v := w[m[1]]
		switch one := fmt.Sprint(v) == "1"; {
		case m[2] == "" && m[3] == "":
			return fmt.Sprint(v)
		case one:
			return m[2]
		default:
			return m[3]
		}
	})
}

// Texts are those of sentences.
func Texts(list []Sentence) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, s.Text)
	}
	return out
}
