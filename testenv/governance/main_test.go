package governance

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets three tests run side by side where the machine has fewer processors: what they do is wait, for reports, for the time of
// commands, and for centres that are found gone.
func TestMain(m *testing.M) {
	flag.Parse()
	if p := flag.Lookup("test.parallel"); p.Value.String() == p.DefValue {
		if err := p.Value.Set("3"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
