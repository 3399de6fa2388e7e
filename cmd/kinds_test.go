package cmd

// What the tests' command lines know, besides the kind of package admintest.
import (
	_ "github.com/sluice-mesh/sluice/agent/discovery/consul"
	_ "github.com/sluice-mesh/sluice/agent/discovery/etcd"
	_ "github.com/sluice-mesh/sluice/agent/discovery/zookeeper"
	_ "github.com/sluice-mesh/sluice/agent/filter/standard"
	_ "github.com/sluice-mesh/sluice/resources/grpc"
	_ "github.com/sluice-mesh/sluice/resources/http"
	_ "github.com/sluice-mesh/sluice/resources/motan"
	_ "github.com/sluice-mesh/sluice/resources/mysql"
	_ "github.com/sluice-mesh/sluice/resources/redis"
)
