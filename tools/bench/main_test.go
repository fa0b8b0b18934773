package main

import (
	"strings"
	"testing"
)

const output = `goos: linux
pkg: github.com/hashlease/hashlease/pool
BenchmarkA-2         	     100	      30.0 ns/op	       0 B/op	       0 allocs/op
BenchmarkA-2         	     100	      10.0 ns/op	       0 B/op	       1 allocs/op
BenchmarkA-2         	     100	      20.5 ns/op	       0 B/op	       0 allocs/op
BenchmarkB/size=1-2  	     100	      5000 ns/op	      7.5 records/s
BenchmarkBroken-2
PASS
ok  	github.com/hashlease/hashlease/pool	0.877s
`

// Ensure that a goal takes the median of its benchmark's runs, in its own unit.
func TestPick_TakesMediansInTheGoalsUnit(t *testing.T) {
	goals := []goal{
		{name: "a", bench: "BenchmarkA", metric: "ns/op", unit: "ns", goal: 20},
		{name: "a_allocs", bench: "BenchmarkA", metric: "allocs/op", unit: "allocs"},
		{name: "b", bench: "BenchmarkB/size=1", metric: "ns/op", per: 1e3, unit: "us", goal: 6},
		{name: "r", bench: "BenchmarkB/size=1", metric: "records/s", unit: "1/s", goal: 7, higher: true},
	}
	got, err := pick(parse(output), goals, "go test")
	if err != nil {
		t.Fatal(err)
	}
	want := []result{
		{"a", 20.5, "ns", 20, "lower", "go test"},
		{"a_allocs", 0, "allocs", 0, "lower", "go test"},
		{"b", 5, "us", 6, "lower", "go test"},
		{"r", 7.5, "1/s", 7, "higher", "go test"},
	}
	met := []bool{false, true, true, true}
	for i, w := range want {
		if got[i] != w || got[i].met() != met[i] {
			t.Errorf("got %+v (met %v), want %+v (met %v)", got[i], got[i].met(), w, met[i])
		}
	}
}

// Ensure that every goal without a benchmark is named.
func TestPick_NamesMissingBenchmarks(t *testing.T) {
	_, err := pick(parse(output), []goal{
		{bench: "BenchmarkBroken", metric: "ns/op"}, {bench: "BenchmarkA", metric: "us/op"},
	}, "")
	for _, want := range []string{"BenchmarkBroken gave ns/op", "BenchmarkA gave us/op"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q named", err, want)
		}
	}
}

// Ensure that names in the table are unique: they are keys for other programs.
func TestGoals_HaveUniqueNames(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range goals {
		if seen[g.name] || g.name == "" || g.unit == "" {
			t.Errorf("goal %+v: a name of its own and a unit are needed", g)
		}
		seen[g.name] = true
	}
}
