package simtest_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/governor/simtest"
)

// Ensure that a seed tells the same story again, order by order: what is found can be looked at. Of few
// machines over hours, and of thousands as the long simulation has them, where sends often end together.
func TestSim_RepeatsItself(t *testing.T) {
	few, many := simtest.Short(5, 200, 2*time.Hour), simtest.Short(101, 10_000, 4*time.Minute)
	many.Sites, many.ValidFor, many.Tick = 4, 20*time.Minute, 4*time.Second
	many.FaultEvery, many.WideEvery = 30*time.Minute, 12*time.Hour
	if testing.Short() {
		few.Span, many.Span = 30*time.Minute, 2*time.Minute
	}
	for _, cfg := range []simtest.Config{few, many} {
		first, again := simulate(t, cfg), simulate(t, cfg)
		if !reflect.DeepEqual(first, again) {
			t.Errorf("the same seed gave\n%s\nand\n%s", first.Text(), again.Text())
		}
		if first.Story == 0 {
			t.Error("there was no story")
		}
	}
}
