package main

import (
	"math"
	"slices"
)

// key says what was measured of whom.
type key struct {
	row, who string
	n        int
}

// results are all values that were measured.
type results map[key][]float64

func (r results) note(row, who string, n int, value float64) {
	k := key{row, who, n}
	r[k] = append(r[k], value)
}

// quantile returns the smallest value that is not less than the part q of all; of an even number with q = 0.5 it is the
// mean of the two in the middle. Of no values it is NaN.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	if half := len(sorted) / 2; q == 0.5 && len(sorted)%2 == 0 {
		return (sorted[half-1] + sorted[half]) / 2
	}
	return sorted[min(max(int(math.Ceil(q*float64(len(sorted))))-1, 0), len(sorted)-1)]
}
