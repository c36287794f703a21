package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
)

// report is what a run of the bench has to say.
type report struct {
	facts   []string // of the host and the run, a sentence each
	rows    []row
	sizes   []int
	whos    []string // the limit first, if it is there
	results results
}

// cell is a value of the table.
func (r *report) cell(w row, who string, n int) float64 {
	if w.fixed != 0 {
		n = w.fixed
	}
	return quantile(r.results[key{w.key, who, n}], w.quantile)
}

func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case v == 0 || math.Abs(v) >= 100:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 1:
		return fmt.Sprintf("%.3g", v)
	}
	return fmt.Sprintf("%.2g", v)
}

// markdown prints a table for each number of instances, and one of how each cost grows with it.
func (r *report) markdown(out io.Writer) {
	for _, f := range r.facts {
		fmt.Fprintln(out, f)
	}
	for _, n := range r.sizes {
		head := []string{fmt.Sprintf("%d instances", n)}
		for _, who := range r.whos {
			if head = append(head, who); who != limitName && r.whos[0] == limitName {
				head = append(head, "x limit")
			}
		}
		heading(out, append(head, "goal"))
		for _, w := range r.rows {
			cells := []string{w.title}
			if w.unit != "" {
				cells[0] += ", " + w.unit
			}
			limit := r.cell(w, limitName, n)
			any := false
			for _, who := range r.whos {
				v := r.cell(w, who, n)
				any = any || !math.IsNaN(v)
				if cells = append(cells, number(v)); who != limitName && r.whos[0] == limitName {
					cells = append(cells, number(v/limit))
				}
			}
			goal := w.goal
			if w.goalAt != nil {
				goal = fmt.Sprintf(goal, w.goalAt(n))
			}
			if any {
				line(out, append(cells, goal))
			}
		}
	}
	if len(r.sizes) > 1 {
		r.growth(out)
	}
}

// growth prints what each costs at every size, and by how much more than the number of instances it has grown.
func (r *report) growth(out io.Writer) {
	for _, who := range r.whos {
		head := []string{who + " at"}
		for _, n := range r.sizes {
			head = append(head, fmt.Sprint(n))
		}
		heading(out, append(head, "growth / growth of N"))
		for _, w := range r.rows {
			first, last := r.sizes[0], r.sizes[len(r.sizes)-1]
			growth := r.cell(w, who, last) / r.cell(w, who, first) / (float64(last) / float64(first))
			if w.fixed != 0 || math.IsNaN(growth) {
				continue
			}
			cells := []string{w.title}
			for _, n := range r.sizes {
				cells = append(cells, number(r.cell(w, who, n)))
			}
			line(out, append(cells, number(growth)))
		}
	}
}

func heading(out io.Writer, cells []string) {
	fmt.Fprintln(out)
	line(out, cells)
	line(out, strings.Split("---"+strings.Repeat("|---", len(cells)-1), "|"))
}

func line(out io.Writer, cells []string) { fmt.Fprintln(out, "| "+strings.Join(cells, " | ")+" |") }

// measured is a row of the raw results.
type measured struct {
	Row       string    `json:"row"`
	Title     string    `json:"title"`
	Unit      string    `json:"unit"`
	Instances int       `json:"instances"`
	Of        string    `json:"of"`
	Quantile  float64   `json:"quantile"`
	Value     float64   `json:"value"`
	Samples   []float64 `json:"samples"`
}

// json prints every value that was measured.
func (r *report) json(out io.Writer) error {
	document := struct {
		Facts    []string   `json:"facts"`
		Measured []measured `json:"measured"`
	}{Facts: r.facts}
	for i, n := range r.sizes {
		for _, w := range r.rows {
			at := n
			if w.fixed != 0 {
				if at = w.fixed; i > 0 {
					continue
				}
			}
			for _, who := range r.whos {
				if samples := r.results[key{w.key, who, at}]; len(samples) > 0 {
					document.Measured = append(document.Measured,
						measured{w.key, w.title, w.unit, at, who, w.quantile, r.cell(w, who, n), samples})
				}
			}
		}
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(document)
}
