package governance

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sluice-mesh/sluice/governance/api"
	"github.com/sluice-mesh/sluice/governance/store"
)

// fuzzed is a centre with something of everything, which is put back after each request that changed it.
type fuzzed struct {
	*Center
	admin    string
	ids      map[string]string // of what there is: {command}, {token}, {join}, {plan}
	baseline map[string]string // of the store, but for the audit log
	hidden   map[string]string // texts that no answer may hold, and what they are
}

func newFuzzed(f *testing.F) *fuzzed {
	f.Helper()
	z := &fuzzed{Center: openedAt(f, f.TempDir()), ids: make(map[string]string), hidden: make(map[string]string)}
	z.admin = z.adminToken(f)
	for _, s := range []struct{ id, method, path, body string }{
		{"", "PUT", "/v1/resources/feed", cacheYAML},
		{"", "PUT", "/v1/resources/feed", strings.Replace(cacheYAML, "team: feed", "team: food", 1)},
		{"", "PUT", "/v1/resources/feed/draft", cacheYAML},
		{"", "PUT", "/v1/resources/new/draft", cacheYAML},
		{"", "PUT", "/v1/users/ann", `{"roles": [{"role": "operator", "select": {"name": "feed-*"}}]}`},
		{"", "PUT", "/v1/secrets/key", `{"value": "sesame-opens-the-door", "resources": ["feed"]}`},
		{"", "POST", "/v1/agents/web-9/block", `{"why": "test"}`},
		{"{command}", "POST", "/v1/commands", `{"type": "switch", "resource": "feed", "weights": {"tc": 100}, "why": "test"}`},
		{"{token}", "POST", "/v1/tokens", `{"name": "one", "roles": [{"role": "viewer"}]}`},
		{"{join}", "POST", "/v1/joins", `{"uses": 3}`},
		{"{plan}", "POST", "/v1/plans", `{"name": "move", "why": "test", "for": "1h", "steps": [{"type": "switch", "resource": "feed", "weights": {"tc": 100}}], "stages": [{"name": "all", "share": "100%"}]}`},
	} {
		w := z.ask(s.method, s.path, s.body, bearer(z.admin)...)
		if w.Code > 299 {
			f.Fatalf("%s %s: %d %s", s.method, s.path, w.Code, w.Body)
		}
		var made struct{ ID, Token string }
		if s.id != "" {
			if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || made.ID == "" {
				f.Fatalf("%s: %v", w.Body, err)
			}
			z.ids[s.id] = made.ID
		}
		if _, secret, ok := strings.Cut(made.Token, made.ID+"."); ok {
			secret, _, _ = strings.Cut(secret, ".")
			z.hidden[secret] = "the secret of " + s.id
		}
	}
	key, err := os.ReadFile(filepath.Join(z.config.Data, "seal.key"))
	if err != nil {
		f.Fatal(err)
	}
	z.hidden["sesame-opens-the-door"], z.hidden[z.admin], z.hidden[strings.TrimSpace(string(key))] = "a secret's value", "the admin's token", "the sealing key"
	if z.baseline, err = z.snapshot(); err != nil {
		f.Fatal(err)
	}
	for name, value := range z.baseline {
		var record struct {
			Sealed, Hash, Key []byte
		}
		if json.Unmarshal([]byte(value), &record) != nil {
			continue
		}
		for what, b := range map[string][]byte{"what is sealed in ": record.Sealed, "the hash in ": record.Hash, "the key in ": record.Key} {
			if len(b) > 0 {
				z.hidden[base64.StdEncoding.EncodeToString(b)] = what + name
			}
		}
	}
	if len(z.hidden) < 8 {
		f.Fatalf("there is little to hide: %v", slices.Sorted(maps.Values(z.hidden)))
	}
	return z
}

// snapshot is what the store holds, but for the audit log.
func (z *fuzzed) snapshot() (map[string]string, error) {
	out := make(map[string]string)
	for prefix := byte('a'); prefix <= 'z'; prefix++ {
		prefixes := []string{string(prefix)}
		if prefix == 'a' {
			prefixes = []string{"auth", "agents"} // all but audit
		}
		for _, p := range prefixes {
			list, _, err := z.store.List(context.Background(), p)
			if err != nil {
				return nil, err
			}
			for _, e := range list {
				out[e.Key] = string(e.Value)
			}
		}
	}
	return out, nil
}

// send makes a request as the admin and judges the answer: a refusal is a 4xx with a reason, after which the store holds what it held;
// no answer holds a secret. What was changed stays until restore.
func (z *fuzzed) send(t *testing.T, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	u, err := url.ParseRequestURI("http://127.0.0.1:9980" + path)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if u.Path == "/v1/events" || u.Path == "/v1/observe" { // a stream
		short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
		defer cancel()
		ctx = short
	}
	r := httptest.NewRequest(method, "http://127.0.0.1:9980/", strings.NewReader(body)).WithContext(ctx)
	r.URL, r.RequestURI, r.RemoteAddr = u, path, "127.0.0.1:4711"
	r.Header.Set("Authorization", "Bearer "+z.admin)
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	z.api.ServeHTTP(w, r)
	answer := w.Body.String()
	for text, what := range z.hidden {
		if strings.Contains(answer, text) {
			t.Errorf("%s %s: the answer holds %s: %s", method, path, what, answer)
		}
	}
	if !utf8.ValidString(answer) {
		t.Errorf("%s %s: the answer is no UTF-8: %q", method, path, answer)
	}
	if w.Code < 400 {
		return w
	}
	var refused struct {
		Error struct{ Code, Message, Path string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &refused); err != nil || refused.Error.Code == "" || refused.Error.Message == "" {
		t.Errorf("%s %s: %d without a reason: %s", method, path, w.Code, answer)
	}
	if w.Code >= 500 && (w.Code != http.StatusServiceUnavailable || method != http.MethodGet) { // no agent is linked that could be asked
		t.Errorf("%s %s %q: %d %s", method, path, body, w.Code, answer)
	}
	after, err := z.snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(after, z.baseline) {
		t.Errorf("%s %s %q: it was refused (%d %s) and changed %v", method, path, body, w.Code, answer, differing(z.baseline, after))
	}
	return w
}

// differing are the keys that two snapshots have not in common.
func differing(a, b map[string]string) []string {
	var keys []string
	for _, m := range []map[string]string{a, b} {
		for k := range m {
			if a[k] != b[k] && !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// restore puts the store back to what it was at first, and waits until the centre knows.
func (z *fuzzed) restore(t *testing.T) {
	t.Helper()
	now, err := z.snapshot()
	if err != nil {
		t.Fatal(err)
	}
	changed := differing(z.baseline, now)
	if len(changed) == 0 {
		return
	}
	var txn store.Txn
	for _, key := range changed {
		value, was := z.baseline[key]
		op := store.Op{Key: key, Delete: !was}
		if was {
			op.Value = []byte(value)
		}
		txn.Then = append(txn.Then, op)
	}
	revision, err := z.store.Commit(t.Context(), txn)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Microsecond) {
		late := slices.ContainsFunc(changed, func(key string) bool {
			return strings.HasPrefix(key, "resources/") && z.registry.Revision() < revision || strings.HasPrefix(key, "commands/") && z.commands.Revision() < revision ||
				strings.HasPrefix(key, "secrets/") && z.Center.secrets.Revision() < revision
		})
		if !late {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the centre does not see revision %d", revision)
		}
	}
}

// fuzzSeeds are requests for each path with an identity, of which some are good: query and body.
var fuzzSeeds = map[string][][2]string{
	"POST /v1/logout":   {{"", ""}},
	"GET /v1/me":        {{"", ""}},
	"GET /v1/overview":  {{"", ""}},
	"GET /v1/status":    {{"", ""}},
	"GET /v1/topology":  {{"window=5m", ""}, {"window=-1", ""}, {"windw=5m", ""}, {"window=300h", ""}},
	"GET /v1/series":    {{"resource=feed&from=-6h&to=-5m&step=10s", ""}, {"resource=feed&from=2026-11-22T10:00:00Z", ""}, {"from=1&to=0", ""}, {"step=x", ""}, {"from=-x", ""}, {"agent=web-1&op=GET&group=yf&application=a&idc=yf", ""}},
	"GET /v1/events":    {{"", ""}},
	"GET /v1/observe":   {{"resource=feed&match=op%3DGET", ""}, {"resource=feed&match=op", ""}, {"resource=feed&slower-than=1s&sample=10%25", ""}, {"slower-than=soon", ""}, {"sample=x", ""}, {"resource=none", ""}, {"speed=3", ""}},
	"GET /v1/resources": {{"", ""}, {"brief", ""}, {"brief=maybe", ""}, {"breif", ""}},

	"GET /v1/resources/{name}": {{"", ""}},
	"PUT /v1/resources/{name}": {{"why=x", cacheYAML}, {"dry-run", cacheYAML}, {"dry-run=x", cacheYAML}, {"", "kind: redis\n"}, {"", `{"kind": "redis", "groups": {"yf": {"endpoints": ["127.0.0.1:1"]}}}`}, {"", ""}, {"", "kind: [\n"},
		{"", "kind: redis\nsettings: { login: { password: \"${secret:key}\" } }\ngroups: { yf: { endpoints: [\"127.0.0.1:1\"] } }\n"}, {"", "kind: redis\nsettings: { login: { password: plain } }\ngroups: { yf: { endpoints: [\"127.0.0.1:1\"] } }\n"}},
	"PATCH /v1/resources/{name}":                 {{"why=x", `{"labels": {"team": "x"}}`}, {"", `{"groups": null}`}, {"", `[]`}, {"", "x"}, {"", ""}},
	"DELETE /v1/resources/{name}":                {{"why=x", ""}, {"wy=x", ""}},
	"GET /v1/resources/{name}/endpoints":         {{"", ""}},
	"POST /v1/resources/{name}/endpoints":        {{"", `{"group": "yf", "address": "127.0.0.1:9", "role": "any", "weight": 3, "why": "x"}`}, {"", `{"group": "none", "address": "127.0.0.1:9"}`}, {"", `{"group": "yf", "address": "x"}`}, {"", `{"group": "yf", "address": "127.0.0.1:9", "weight": -1}`}, {"", `{"group": 1}`}},
	"DELETE /v1/resources/{name}/endpoints":      {{"group=yf&address=127.0.0.1:1", ""}, {"group=tc&address=127.0.0.1:2&why=x", ""}, {"group=none", ""}, {"g=x", ""}},
	"POST /v1/resources/{name}/release":          {{"", `{"group": "yf"}`}, {"", `{"group": "yf", "address": "127.0.0.1:1", "why": "x"}`}, {"", `{}`}},
	"GET /v1/resources/{name}/operations":        {{"window=5m&group=yf&by=calls&limit=10", ""}, {"by=x", ""}, {"limit=0", ""}, {"window=x", ""}},
	"GET /v1/resources/{name}/sessions":          {{"", ""}},
	"GET /v1/resources/{name}/config":            {{"", ""}},
	"GET /v1/resources/{name}/history":           {{"", ""}},
	"GET /v1/resources/{name}/history/{version}": {{"", ""}},
	"POST /v1/resources/{name}/revert":           {{"", `{"version": 1, "why": "x"}`}, {"", `{"version": 0}`}, {"", `{"version": 99}`}, {"", `{"version": "1"}`}},
	"GET /v1/resources/{name}/draft":             {{"", ""}},
	"PUT /v1/resources/{name}/draft":             {{"why=x", cacheYAML}, {"base=1", cacheYAML}, {"base=x", cacheYAML}, {"", "not: [yaml"}, {"", "kind: redis\nsettings: { login: { password: plain } }\n"}, {"", "\xff"}},
	"DELETE /v1/resources/{name}/draft":          {{"why=x", ""}},
	"POST /v1/resources/{name}/publish":          {{"", `{"why": "x"}`}, {"", `{"stages": [{"share": "100%"}]}`}, {"", `{"stages": [{"share": "x"}]}`}, {"", `{"guards": {"errors": "1%"}}`}},

	"GET /v1/commands":         {{"", ""}},
	"GET /v1/commands/history": {{"", ""}},
	"POST /v1/commands": {{"", `{"type": "switch", "select": {"name": "f*"}, "weights": {"tc": 100}, "for": "10m", "why": "x"}`}, {"dry-run", `{"type": "switch", "resource": "feed", "weights": {"tc": 1}}`}, {"", `{"type": "switch", "resource": "feed", "weights": {"xx": 1}}`},
		{"", `{"type": "limit", "resource": "feed", "rate": "100/s", "agents": ["web-*"], "idcs": ["yf"]}`}, {"", `{"type": "x"}`}, {"", `{"type": "switch", "resource": "later", "weights": {"tc": 1}, "later": true}`}, {"", `{"for": "-1s"}`}, {"", `{"type": "degrade", "resource": "feed", "for": "1h", "expires": "2030-01-01T00:00:00Z"}`}, {"dry", "{}"}},
	"DELETE /v1/commands/{id}": {{"why=x&by=ann", ""}, {"y=x", ""}},

	"GET /v1/plans": {{"", ""}},
	"POST /v1/plans": {{"dry-run", `{"name": "move", "for": "1h", "steps": [{"type": "switch", "resource": "feed", "weights": {"tc": 100}, "wait": "1s"}], "stages": [{"share": "50%", "bake": "1s"}, {"agents": ["web-1"]}], "guards": {"errors": "1%", "p99": "150%"}, "skip": []}`},
		{"", `{"name": "move", "for": "1h", "steps": [{"type": "switch", "resource": "feed", "weights": {"tc": 100}}], "stages": [{"share": "100%"}]}`}, {"", `{"name": "", "steps": []}`}, {"", `{"steps": [{"type": "x"}]}`}},
	"GET /v1/plans/{id}":             {{"", ""}},
	"DELETE /v1/plans/{id}":          {{"why=x", ""}},
	"POST /v1/plans/{id}/run":        {{"", `{}`}, {"", `{"why": "x"}`}, {"", `{"skip": [1]}`}},
	"POST /v1/plans/{id}/{order}":    {{"", `{"why": "x"}`}, {"", `[]`}},
	"GET /v1/releases":               {{"", ""}},
	"GET /v1/releases/{id}":          {{"", ""}},
	"POST /v1/releases/{id}/{order}": {{"", `{"why": "x"}`}, {"", `x`}},

	"GET /v1/agents":                 {{"", ""}},
	"GET /v1/agents/{name}":          {{"", ""}},
	"GET /v1/agents/{name}/config":   {{"", ""}},
	"POST /v1/agents/{name}/block":   {{"", `{"why": "x"}`}, {"", `{"wy": "x"}`}, {"", ``}},
	"DELETE /v1/agents/{name}/block": {{"why=x", ""}},

	"GET /v1/audit":        {{"before=5&limit=2", ""}, {"before=-1", ""}, {"limit=1001", ""}},
	"POST /v1/login-links": {{"", `{}`}, {"", `{"user": "ann", "roles": [{"role": "viewer"}]}`}, {"", `{"user": "a/b"}`}, {"", `{"roles": []}`}, {"", `{"roles": [{"role": "x"}]}`}},
	"GET /v1/users":        {{"", ""}},
	"PUT /v1/users/{name}": {{"", `{"roles": [{"role": "viewer"}], "disabled": true, "revision": 0, "why": "x"}`}, {"", `{"roles": [{"role": "owner", "select": {"name": "feed-*", "kind": "redis", "labels": {"team": "x"}}}]}`},
		{"", `{"roles": [{"role": "admin", "select": {}}]}`}, {"", `{"roles": []}`}, {"", `{"roles": [{"role": "root"}]}`}, {"", `{"roles": "viewer"}`}, {"", `{"roles": [{"role": "viewer"}], "revision": -7}`}, {"", `{"roles": [{"role": "viewer"}], "revision": 99}`}, {"", `{"name": "x"}`}},
	"DELETE /v1/users/{name}":   {{"why=x", ""}},
	"GET /v1/tokens":            {{"", ""}},
	"POST /v1/tokens":           {{"", `{"name": "ci", "roles": [{"role": "operator", "select": {"kind": "redis"}}], "for": "24h", "why": "x"}`}, {"", `{"name": "ci", "roles": [{"role": "viewer"}]}`}, {"", `{"name": "a b", "roles": [{"role": "viewer"}]}`}, {"", `{"name": "ci"}`}, {"", `{"name": "ci", "roles": [{"role": "viewer"}], "for": "-1h"}`}, {"", `{"for": 3}`}},
	"DELETE /v1/tokens/{id}":    {{"why=x", ""}},
	"GET /v1/joins":             {{"", ""}},
	"POST /v1/joins":            {{"", `{}`}, {"", `{"agent": "feed-*, web-1", "uses": 20, "for": "1h", "why": "x"}`}, {"", `{"uses": -1}`}, {"", `{"uses": 100001}`}, {"", `{"for": "721h"}`}, {"", `{"for": "-1s"}`}, {"", `{"agent": "a b"}`}, {"", `{"agent": "a/*"}`}, {"", `{"uses": "3"}`}},
	"DELETE /v1/joins/{id}":     {{"why=x", ""}},
	"GET /v1/secrets":           {{"", ""}},
	"PUT /v1/secrets/{name}":    {{"", `{"value": "pst", "resources": ["feed-*"], "why": "x"}`}, {"", `{"value": "pst"}`}, {"", `{"value": ""}`}, {"", `{"value": "pst", "resources": [""]}`}, {"", `{"value": 7}`}, {"", `{"valu": "pst"}`}},
	"DELETE /v1/secrets/{name}": {{"why=x", ""}},
}

// Each path of the interface has seeds for the fuzzer, and one that changes something has a body or a query that is good and others.
func TestEachPathHasFuzzSeeds(t *testing.T) {
	t.Parallel()
	for pattern := range api.Routes() {
		if len(fuzzSeeds[pattern]) == 0 {
			t.Errorf("%s has no seed in fuzzSeeds", pattern)
		}
	}
	for pattern := range fuzzSeeds {
		if _, ok := api.Routes()[pattern]; !ok {
			t.Errorf("fuzzSeeds has %s, which does not exist", pattern)
		}
	}
}

// fuzzNames are what a path's {name} and {id} are, besides what the fuzzer finds, and in which paths; "": in all.
var fuzzNames = [][2]string{{"feed", ""}, {"new", "draft"}, {"new", "publish"}, {"ann", "users"}, {"key", "secrets"}, {"web-9", "agents"},
	{"{command}", "commands"}, {"{token}", "tokens"}, {"{join}", "joins"}, {"none", ""}, {"a/b", ""}, {"x y", "{name}"}}

// FuzzRequest sends anything to any path.
func FuzzRequest(f *testing.F) {
	patterns := slices.Sorted(maps.Keys(fuzzSeeds))
	for i, pattern := range patterns {
		for k, seed := range fuzzSeeds[pattern] {
			for j, name := range fuzzNames {
				if j == 0 || k == 0 && strings.Contains(pattern, "{") && strings.Contains(pattern, name[1]) {
					f.Add(i, name[0], []string{"pause", "1"}[j%2], "", seed[0], seed[1])
				}
			}
		}
	}
	f.Add(slices.Index(patterns, "PUT /v1/resources/{name}"), "feed", "", `"1"`, "", cacheYAML)
	f.Add(slices.Index(patterns, "GET /v1/plans/{id}"), "{plan}", "", "", "", "")
	f.Add(slices.Index(patterns, "DELETE /v1/plans/{id}"), "{plan}", "", "", "", "")
	z := newFuzzed(f)
	f.Fuzz(func(t *testing.T, route int, name, second, match, query, body string) {
		if route < 0 || route >= len(patterns) {
			return
		}
		if z.ids[name] != "" && !strings.HasPrefix(patterns[route], "POST /v1/plans/") { // a plan that runs changes things by itself
			name = z.ids[name]
		}
		method, path, _ := strings.Cut(patterns[route], " ")
		for _, part := range []string{"{name}", "{id}"} {
			path = strings.Replace(path, part, url.PathEscape(name), 1)
		}
		for _, part := range []string{"{version}", "{order}"} {
			path = strings.Replace(path, part, url.PathEscape(second), 1)
		}
		if _, err := url.ParseRequestURI("http://127.0.0.1:9980" + path + "?" + query); err != nil {
			return // no client can ask for it
		}
		defer z.restore(t)
		w := z.send(t, method, path+"?"+query, body, "If-Match", match)
		if w.Code > 299 || strings.Contains(query, "dry-run") {
			return
		}
		switch patterns[route] { // what was accepted is what is read
		case "PUT /v1/resources/{name}":
			z.reads(t, path+"/config", "yaml", body)
		case "PUT /v1/resources/{name}/draft":
			z.reads(t, path, "yaml", body)
		case "DELETE /v1/resources/{name}", "DELETE /v1/resources/{name}/draft":
			if again := z.ask(http.MethodGet, path, "", bearer(z.admin)...); again.Code != http.StatusNotFound {
				t.Errorf("GET %s after it was deleted: %d %s", path, again.Code, again.Body)
			}
		case "POST /v1/commands":
			var made struct{ ID string }
			list := z.ask(http.MethodGet, "/v1/commands", "", bearer(z.admin)...)
			if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || !strings.Contains(list.Body.String(), `"`+made.ID+`"`) {
				t.Errorf("%s is not among %s, %v", w.Body, list.Body, err)
			}
		case "DELETE /v1/commands/{id}":
			if list := z.ask(http.MethodGet, "/v1/commands", "", bearer(z.admin)...); strings.Contains(list.Body.String(), `"`+name+`"`) {
				t.Errorf("%s was undone, and is among %s", name, list.Body)
			}
		}
	})
}

// reads asks for a path and compares a field of the answer.
func (z *fuzzed) reads(t *testing.T, path, field, want string) {
	t.Helper()
	w := z.ask(http.MethodGet, path, "", bearer(z.admin)...)
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK || got[field] != want {
		t.Errorf("GET %s: %d, %s is %q and not %q, %v", path, w.Code, field, got[field], want, err)
	}
}
