package main

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAQuantileIsOneOfTheValuesAndTheMedianOfAnEvenNumberLiesBetweenTwo(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	require.Equal(t, 50.5, quantile(hundred, 0.5))
	require.Equal(t, 99.0, quantile(hundred, 0.99))
	require.Equal(t, 100.0, quantile(hundred, 1))
	require.Equal(t, 2.0, quantile([]float64{9, 1, 2}, 0.5))
	require.Equal(t, 7.0, quantile([]float64{7}, 0.99))
	require.True(t, math.IsNaN(quantile(nil, 0.5)))
	require.Equal(t, 100.0, hundred[0], "the values stay in their order")
}

func example() *report {
	r := &report{facts: []string{"A host."}, sizes: []int{10, 1000}, whos: []string{limitName, "old", "new"},
		results: results{}, rows: []row{
			{key: "start", title: "start", unit: "s", quantile: 0.5, goal: "<= 1.4 x"},
			{key: "idle", title: "idle", unit: "s", quantile: 0.5, goal: "<= %s", goalAt: perThousand("s", 0.4)},
			{key: "crash", title: "crash", unit: "s", quantile: 0.5, fixed: 20},
			{key: "none", title: "none", quantile: 0.5},
		}}
	for who, times := range map[string]float64{limitName: 1, "old": 4, "new": 1.5} {
		for _, n := range r.sizes {
			for _, v := range []float64{0.5, 0.25, 100} {
				r.results.note("start", who, n, v*times)
			}
		}
		if who != limitName {
			r.results.note("idle", who, 10, 0.01*times)
			r.results.note("idle", who, 1000, 2*times)
			r.results.note("crash", who, 20, 0.1*times)
		}
	}
	return r
}

func TestTheTableHasMediansAndRatiosToTheLimit(t *testing.T) {
	var out bytes.Buffer
	example().markdown(&out)
	require.Equal(t, `A host.

| 10 instances | limit | old | x limit | new | x limit | goal |
| --- | --- | --- | --- | --- | --- | --- |
| start, s | 0.5 | 2 | 4 | 0.75 | 1.5 | <= 1.4 x |
| idle, s | - | 0.04 | - | 0.015 | - | <= 0.4 s at 1000 |
| crash, s | - | 0.4 | - | 0.15 | - |  |

| 1000 instances | limit | old | x limit | new | x limit | goal |
| --- | --- | --- | --- | --- | --- | --- |
| start, s | 0.5 | 2 | 4 | 0.75 | 1.5 | <= 1.4 x |
| idle, s | - | 8 | - | 3 | - | <= 0.4 s |
| crash, s | - | 0.4 | - | 0.15 | - |  |

| limit at | 10 | 1000 | growth / growth of N |
| --- | --- | --- | --- |
| start | 0.5 | 0.5 | 0.01 |

| old at | 10 | 1000 | growth / growth of N |
| --- | --- | --- | --- |
| start | 2 | 2 | 0.01 |
| idle | 0.04 | 8 | 2 |

| new at | 10 | 1000 | growth / growth of N |
| --- | --- | --- | --- |
| start | 0.75 | 0.75 | 0.01 |
| idle | 0.015 | 3 | 2 |
`, out.String())
}

func TestWithoutTheLimitTheTableHasNoRatios(t *testing.T) {
	r := example()
	r.whos, r.sizes = []string{"old"}, []int{10}
	var out bytes.Buffer
	r.markdown(&out)
	require.Contains(t, out.String(), "| start, s | 2 | <= 1.4 x |\n")
	require.NotContains(t, out.String(), "x limit")
}

func TestTheRawValuesArePrintedOnceEachInTheOrderInWhichTheyWereMeasured(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, example().json(&out))
	var document struct{ Measured []measured }
	require.NoError(t, json.Unmarshal(out.Bytes(), &document))
	require.Len(t, document.Measured, 2*3+2*2+2)
	require.Equal(t, measured{"start", "start", "s", 10, "old", 0.5, 2, []float64{2, 1, 400}}, document.Measured[1])
}

func TestPortsAreReadAsARange(t *testing.T) {
	first, last, err := portRange("21000-32000")
	require.NoError(t, err)
	require.Equal(t, []int{21000, 32000}, []int{first, last})
	for _, bad := range []string{"21000", "a-b", "0-10", "10-9", "1-70000"} {
		_, _, err := portRange(bad)
		require.ErrorContains(t, err, "FIRST-LAST", bad)
	}
	first, last, err = portRange("")
	require.NoError(t, err)
	require.Greater(t, last, first)
}
