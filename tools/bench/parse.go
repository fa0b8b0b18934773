package main

import (
	"regexp"
	"strconv"
	"strings"
)

var processors = regexp.MustCompile(`-\d+$`)

// parse reads the output of go test -bench: benchmark name, then metric, then one value a run. Names
// are kept with and without their last -N, which is the number of processors if that is above one.
func parse(output string) map[string]map[string][]float64 {
	all := map[string]map[string][]float64{}
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if len(fields) < 4 || len(fields)%2 != 0 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		if _, err := strconv.ParseUint(fields[1], 10, 64); err != nil {
			continue
		}
		for _, name := range namesOf(fields[0]) {
			if all[name] == nil {
				all[name] = map[string][]float64{}
			}
			for i := 2; i < len(fields); i += 2 {
				if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
					all[name][fields[i+1]] = append(all[name][fields[i+1]], v)
				}
			}
		}
	}
	return all
}

func namesOf(printed string) []string {
	if short := processors.ReplaceAllString(printed, ""); short != printed {
		return []string{printed, short}
	}
	return []string{printed}
}
