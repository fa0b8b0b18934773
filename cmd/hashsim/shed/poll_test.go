package shed

import (
	"strings"
	"testing"
)

// Ensure that each goal of a poll is judged in both windows, and that what keeps to all of them misses none.
func TestPollResult_JudgesEachGoal(t *testing.T) {
	fine := PollResult{
		Rest: PollWindow{Cores: 0.99, AgeP99: 45},
		Busy: PollWindow{Cores: 0.99, AgeP99: 45, FastP99: 7.5, Reduced: 1},
	}
	for _, tt := range []struct {
		missed string
		spoil  func(*PollResult)
	}{
		{"", func(*PollResult) {}},
		{"at rest: 1.00 cores", func(r *PollResult) { r.Rest.Cores = 1 }},
		{"in dispatch: 1.00 cores", func(r *PollResult) { r.Busy.Cores = 1 }},
		{"at rest: 1 % of machines", func(r *PollResult) { r.Rest.AgeP99 = 45.1 }},
		{"in dispatch: 1 % of machines", func(r *PollResult) { r.Busy.AgeP99 = 45.1 }},
		{"in dispatch: 1 % of those held down", func(r *PollResult) { r.Busy.FastP99 = 7.6 }},
		{"at rest: 1 machines were never", func(r *PollResult) { r.Rest.Unheard = 1 }},
		{"nobody was held down", func(r *PollResult) { r.Busy.Reduced = 0 }},
	} {
		r := fine
		tt.spoil(&r)
		r.judge()
		switch {
		case tt.missed == "" && len(r.Missed) > 0:
			t.Errorf("nothing was spoilt, and missed are %q", r.Missed)
		case tt.missed != "" && (len(r.Missed) != 1 || !strings.HasPrefix(r.Missed[0], tt.missed)):
			t.Errorf("want %q, missed are %q", tt.missed, r.Missed)
		}
	}
}

// Ensure that a rank is a value that is there, for any number of them.
func TestRank_IsAValueThatIsThere(t *testing.T) {
	if got := rank(nil, 0.99); got != 0 {
		t.Errorf("of none: %v", got)
	}
	var values []float64
	for n := 1; n <= 200; n++ {
		values = append([]float64{float64(n)}, values...)
		if got, want := rank(values, 0.99), float64((99*n+99)/100); got != want {
			t.Errorf("of %d: %v, want %v", n, got, want)
		}
	}
}
