package zookeeper

import (
	"context"
	"fmt"

	"github.com/go-zookeeper/zk"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/protocols/motanurl"
)

// WatchCommands is the method of discovery.Commander. An entry that is empty, or that cannot be read as text, has no commands.
func (s *Source) WatchCommands(ctx context.Context, scope discovery.Scope, report func(json []byte)) error {
	if err := scope.Check(); err != nil {
		return err
	}
	path := s.commandPath(scope)
	newer := s.health.Documents(report)
	return s.follow(ctx, []string{path}, func() error {
		e, err := s.get(ctx, path)
		if err != nil {
			return err
		}
		text, err := motanurl.Text(e.data)
		if err != nil {
			s.log.Warn("commands in ZooKeeper cannot be read and count as none", "path", path, "error", err)
		}
		newer([]byte(text))
		return nil
	})
}

// PutCommands is the method of discovery.Commander. It writes plain text. Java's clients with the older registry, "zookeeper", can
// read no plain commands, and with commands that they cannot read they do not even subscribe to the group's services.
func (s *Source) PutCommands(ctx context.Context, scope discovery.Scope, json []byte) error {
	if err := scope.Check(); err != nil {
		return err
	}
	if json == nil {
		json = []byte(discovery.NoCommands)
	}
	path := s.commandPath(scope)
	if err := s.await(ctx); err != nil {
		return fmt.Errorf("write commands to %s: %w", path, err)
	}
	_, err := request(ctx, s, func(c *zk.Conn) (struct{}, error) {
		for {
			_, err := c.Set(path, json, -1)
			if err != zk.ErrNoNode {
				return struct{}{}, err
			}
			if err := mkdirs(c, above(path)); err != nil {
				return struct{}{}, err
			}
			if _, err = c.Create(path, json, zk.FlagPersistent, zk.WorldACL(zk.PermAll)); err != zk.ErrNodeExists {
				return struct{}{}, err
			}
		}
	})
	if err != nil {
		return fmt.Errorf("write commands to %s: %w", path, err)
	}
	return nil
}
