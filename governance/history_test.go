package governance

import "testing"

// A centre says where the others reach it: what the file says, else where it listens.
func TestAddress(t *testing.T) {
	z := opened(t)
	if got, err := z.address(); err != nil || got != z.port.Addr().String() {
		t.Errorf("%s %v, want %s", got, err, z.port.Addr())
	}
	z.config.Address = "sluice-1:9980"
	if got, err := z.address(); err != nil || got != "sluice-1:9980" {
		t.Errorf("%s %v", got, err)
	}
}
