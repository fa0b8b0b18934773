package governor

import (
	"math"
	"slices"
)

// Bounds of measured quantiles. A quantile of few samples is itself uncertain; what is counted on is a
// bound that is on the wrong side of the true quantile one time in ten.
const (
	// quantile is the share of orders that may do worse than what is counted on.
	quantile = 0.05
	// confidence is how sure it is that no more than that share does.
	confidence = 0.90
	// freeOf is from how many samples on an order statistic alone gives that confidence, whatever the
	// distribution: 1 - 0.95^45 = 0.9006. Below it, a normal one is assumed and its tolerance factor taken.
	freeOf = 45
	// leastFreed and leastLogTime are the least spread that is believed of few samples: of freed fractions,
	// and of times by their logarithm.
	leastFreed, leastLogTime = 0.02, 0.10
)

// tolerance are one-sided factors k for a normal distribution: 95 % of it lie above mean - k*s, with
// confidence 90 %, by the number of samples. In between they are taken from the smaller number.
var toleranceFactors = [...]struct {
	n int
	k float64
}{
	{1, 13.09},
	{2, 13.09},
	{3, 5.311},
	{4, 3.957},
	{5, 3.400},
	{6, 3.092},
	{7, 2.894},
	{8, 2.754},
	{9, 2.650},
	{10, 2.568},
	{15, 2.329},
	{20, 2.208},
	{25, 2.132},
	{30, 2.080},
	{40, 2.010},
}

// lowerBound is what at least 95 % of what the samples come from exceed, with 90 % confidence. It is
// never above the least sample before there are enough for an order statistic, and it is the more careful
// the fewer there are. Without any there is nothing to count on: minus infinity.
func lowerBound(samples []float64, leastSpread float64) float64 {
	n := len(samples)
	if n == 0 {
		return math.Inf(-1)
	}
	if n >= freeOf {
		sorted := slices.Sorted(slices.Values(samples))
		return sorted[rankBelow(n)-1]
	}
	var mean, squares float64
	for _, s := range samples {
		mean += s / float64(n)
	}
	for _, s := range samples {
		squares += (s - mean) * (s - mean)
	}
	spread := leastSpread
	if n > 1 {
		spread = max(spread, math.Sqrt(squares/float64(n-1)))
	}
	k := 0.0
	for _, f := range toleranceFactors {
		if f.n <= n {
			k = f.k
		}
	}
	return min(slices.Min(samples), mean-k*spread)
}

// rankBelow is the greatest r for which the r-th least of n samples is below the quantile with the
// confidence: the chance that at least r of n fall below it.
func rankBelow(n int) int {
	below := math.Pow(1-quantile, float64(n)) // chance that exactly k do, summed up
	each, r := below, 0
	for k := 0; 1-below >= confidence && k < n; k++ {
		r = k + 1
		each *= float64(n-k) / float64(k+1) * quantile / (1 - quantile)
		below += each
	}
	return max(1, r)
}

// freedBound is the fraction of ordered watts that can be counted on, 0 to 1: nobody is counted on for
// more than was ordered.
func freedBound(fractions []float64) float64 {
	return min(1, max(0, lowerBound(fractions, leastFreed)))
}

// timeBound is the time, in seconds, within which 95 % of orders are done, with 90 % confidence.
func timeBound(seconds []float64) float64 {
	logs := make([]float64, 0, len(seconds))
	for _, s := range seconds {
		logs = append(logs, -math.Log(max(s, 0.1)))
	}
	if len(logs) == 0 {
		return 0
	}
	return math.Exp(-lowerBound(logs, leastLogTime))
}
