// Package redis is the driver for Redis.
package redis
