package main

import (
	"fmt"
	"net"
	"os"

	motan "github.com/weibocom/motan-go"
)

// feedConfig is a server of the two services of a small application, which the demo shows.
type feedConfig struct {
	Place   string `json:"place"`   // what it says where it is; also its group
	Address string `json:"address"` // 127.0.0.1:port
}

// serveFeed exports UserService and FeedService, as motan-go's users write services. It says "ready PID" when it serves, and
// never returns.
func serveFeed(c feedConfig) {
	_, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		fail(err)
	}
	conf := registry{Protocol: "direct"}.configuration("motan-server", "feed")
	services := map[string]any{"UserService": &UserService{c.Place}, "FeedService": &FeedService{c.Place}}
	exports := map[string]any{}
	for name := range services {
		exports[name] = map[string]any{
			"path": "demo." + name, "ref": name, "provider": "default", "group": c.Place, "version": "1.0", "registry": "here",
			"export": "motan2:" + port, "serialization": "simple", "host": "127.0.0.1",
		}
	}
	conf["motan-service"] = exports
	s := motan.NewMotanServerContextFromConfig(read(conf))
	for name, service := range services {
		if err := s.RegisterService(service, name); err != nil {
			fail(err)
		}
	}
	s.Start(extensions())
	s.ServicesAvailable()
	fmt.Fprintln(os.Stderr, "ready", os.Getpid())
	select {}
}

// UserService knows users.
type UserService struct{ place string }

// Get returns what is known of a user; "place" is the server's.
func (s *UserService) Get(id int64) map[string]string {
	return map[string]string{"id": fmt.Sprint(id), "name": fmt.Sprint("user ", id), "place": s.place}
}

// FeedService knows what users wrote.
type FeedService struct{ place string }

// Timeline returns the server's place and the newest posts of a user.
func (s *FeedService) Timeline(user int64) []string {
	posts := []string{s.place}
	for n := range 5 {
		posts = append(posts, fmt.Sprintf("post %d of user %d", n, user))
	}
	return posts
}
