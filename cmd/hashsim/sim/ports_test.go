package sim_test

import (
	"net"
	"testing"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
)

// Ensure that no port is given twice, nor one that somebody listens on, and that all can be listened on.
func TestFreeAddresses_GivesEachOnce(t *testing.T) {
	given := map[string]bool{}
	for range 20 {
		all, err := sim.FreeAddresses(3)
		if err != nil {
			t.Fatal(err)
		}
		for i, at := range all {
			if given[at] {
				t.Errorf("%s is given twice", at)
			}
			given[at] = true
			ln, err := net.Listen("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			// The first is free again, and is not given for it: whoever gave it up may still want it.
			if i == 0 {
				_ = ln.Close() // nothing is lost
				continue
			}
			t.Cleanup(func() { _ = ln.Close() })
		}
	}
}
