package clients

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain tolerates one goroutine that go-redis keeps when a client is closed.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/maintnotifications.(*CircuitBreakerManager).cleanupLoop"))
}
