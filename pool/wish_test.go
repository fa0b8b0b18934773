package pool_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashlease/hashlease/pool"
)

// Ensure that passwords are read as miners write them, and that everything else in them is left alone.
func TestParsePassword_ReadsOptions(t *testing.T) {
	for text, want := range map[string]pool.Wish{
		"":                                {},
		"x":                               {},
		"123":                             {},
		"d=1024":                          {Difficulty: 1024},
		"x,d=0.001":                       {Difficulty: 0.001},
		"DIFF=2e3;MD=16":                  {Difficulty: 2000, Least: 16},
		"md=512 d=1024":                   {Difficulty: 1024, Least: 512},
		"a&diff=7&pass=d":                 {Difficulty: 7},
		"d=5,d=6":                         {Difficulty: 6},
		"d=5,d=":                          {Difficulty: 5},
		"d=1e12":                          {Difficulty: 1 << 31, Clamped: true},
		"d=1e999":                         {Difficulty: 1 << 31, Clamped: true},
		"md=0.0000001":                    {Least: 1e-6, Clamped: true},
		"d=0,md=-5":                       {},
		"d=nan,md=inf,diff=0x10":          {},
		"d==5,=6,d,dd=7,xd=8":             {},
		"d=1_000":                         {},
		"d=1,000":                         {Difficulty: 1},
		"d=\xff5":                         {},
		strings.Repeat("d=5,", 100):       {Difficulty: 5},
		strings.Repeat("x", 256) + ",d=5": {},
	} {
		if got := pool.ParsePassword(text); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}

// FuzzParsePassword: whatever a password is, what is asked for is within bounds and said again is the same.
func FuzzParsePassword(f *testing.F) {
	for _, s := range []string{"d=1024", "x,md=0.5;diff=1e-9", "d=1e400", "d==", "d=\x00", "D=+.5e+1 md=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w := pool.ParsePassword(s)
		for _, d := range []float64{w.Difficulty, w.Least} {
			if d != 0 && !(d >= pool.LeastDifficulty && d <= pool.MostDifficulty) {
				t.Errorf("%q asks for %v", s, d)
			}
		}
		w.Clamped = false
		text := ""
		if w.Difficulty > 0 {
			text = fmt.Sprintf("d=%v,", w.Difficulty)
		}
		if w.Least > 0 {
			text += fmt.Sprintf("md=%v", w.Least)
		}
		if again := pool.ParsePassword(text); again != w {
			t.Errorf("%q is %+v, %q is %+v", s, w, text, again)
		}
	})
}

// A password carries what Stratum V1 has no message for.
func ExampleParsePassword() {
	fmt.Printf("%+v\n", pool.ParsePassword("x,d=65536,md=1024"))
	// Output: {Difficulty:65536 Least:1024 Clamped:false}
}
