package main

// Kinds of resources and filters that this binary knows. A new one is one more line.
import (
	_ "github.com/sluice-mesh/sluice/agent/filter/standard"
	_ "github.com/sluice-mesh/sluice/resources/mysql"
	_ "github.com/sluice-mesh/sluice/resources/redis"
)
