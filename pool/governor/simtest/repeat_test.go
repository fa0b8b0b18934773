package simtest_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/governor/simtest"
)

// Ensure that a seed tells the same story again, order by order: what is found can be looked at.
func TestSim_RepeatsItself(t *testing.T) {
	cfg := simtest.Short(5, 200, 2*time.Hour)
	if testing.Short() {
		cfg.Span = 30 * time.Minute
	}
	first, again := simulate(t, cfg), simulate(t, cfg)
	if !reflect.DeepEqual(first, again) {
		t.Errorf("the same seed gave\n%s\nand\n%s", first.Text(), again.Text())
	}
	if first.Story == 0 {
		t.Error("there was no story")
	}
}
