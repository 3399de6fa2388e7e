package consul

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/sluice-mesh/sluice/agent/discovery"
)

// WatchCommands is the method of discovery.Commander. A key without a value has no commands.
func (s *Source) WatchCommands(ctx context.Context, scope discovery.Scope, report func(json []byte)) error {
	if err := scope.Check(); err != nil {
		return err
	}
	defer s.health.Watching()()
	newer := s.health.Documents(report)
	return s.poll(ctx, keyPath(scope), url.Values{"raw": {""}}, func(a answer) error {
		newer(a.body)
		return nil
	})
}

// PutCommands is the method of discovery.Commander.
func (s *Source) PutCommands(ctx context.Context, scope discovery.Scope, json []byte) error {
	if err := scope.Check(); err != nil {
		return err
	}
	if json == nil {
		json = []byte(discovery.NoCommands)
	}
	connected, done, err := s.await(ctx)
	if err == nil {
		defer done()
		query := url.Values{}
		if s.opt.Datacenter != "" {
			query.Set("dc", s.opt.Datacenter)
		}
		_, err = s.ask(connected, http.MethodPut, keyPath(scope), query, json)
	}
	if err != nil {
		return fmt.Errorf("write commands to %s: %w", commandKey(scope), err)
	}
	return nil
}

// keyPath is where the API has the commands of a scope.
func keyPath(scope discovery.Scope) string {
	parts := strings.Split(commandKey(scope), "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return "/v1/kv/" + strings.Join(parts, "/")
}
