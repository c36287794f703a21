package main

import (
	"fmt"
	"time"
)

// row is a line of the table.
type row struct {
	key      string // of the values in the results
	measure  string // by which -only chooses it
	title    string
	unit     string
	quantile float64
	fixed    int    // if not 0, it is measured with so many instances, whatever -n says
	goal     string // in words; %s stands for goalAt
	goalAt   func(n int) string
}

// perThousand is a goal that grows with the number of instances, from 1000 on.
func perThousand(unit string, at1000 float64) func(int) string {
	return func(n int) string {
		if n < 1000 {
			return fmt.Sprintf("%.3g %s at 1000", at1000, unit)
		}
		return fmt.Sprintf("%.3g %s", at1000*float64(n)/1000, unit)
	}
}

// table is what is measured, in the order in which it is printed.
func table(probe, crash time.Duration, hanging int) []row {
	const median = 0.5
	return []row{
		{key: "start", measure: "start", title: "start until all listen, own start included", unit: "s",
			quantile: median, goal: "<= 1.4 x"},
		{key: "healthy", measure: "start", title: "start until all have answered a probe", unit: "s", quantile: median},
		{key: "start-cpu", measure: "start", title: "processor time of the manager until then", unit: "s",
			quantile: median},
		{key: "restart", measure: "restart", title: "`kill -9` of an instance until its replacement listens, median",
			unit: "ms", quantile: median, goal: "<= 1.3 x"},
		{key: "restart", measure: "restart", title: "the same, p99", unit: "ms", quantile: 0.99, goal: "<= 2 x"},
		{key: "restart-cpu", measure: "restart", title: "processor time of the manager for each, with what it probes " +
			"meanwhile", unit: "ms", quantile: median},
		{key: "memory", measure: "memory", title: "memory of the manager (PSS) an instance", unit: "KiB",
			quantile: median, goal: "<= %s",
			goalAt: func(n int) string {
				if n < 10000 {
					return "20 KiB at 1000"
				}
				return "10 KiB"
			}},
		{key: "memory-total", measure: "memory", title: "memory of the manager (PSS)", unit: "MiB", quantile: median},
		{key: "threads", measure: "memory", title: "threads", quantile: median, goal: "<= 20"},
		{key: "idle", measure: "idle", title: fmt.Sprintf("processor time a minute, idle, an HTTP probe of each "+
			"every %s", probe), unit: "s", quantile: median,
			goal: "<= %s", goalAt: perThousand("s", 0.4)},
		{key: "wakeups", measure: "quiet", title: "wake-ups a second with no output and no probe due", unit: "/s",
			quantile: median, goal: "0"},
		{key: "add", measure: "add", title: "one instance added to the file until it listens", unit: "ms",
			quantile: median},
		{key: "add-net", measure: "add", title: "the same, without the 250 ms for which the file rests", unit: "ms",
			quantile: median, goal: "<= 20 ms"},
		{key: "add-cpu", measure: "add", title: "processor time of the manager for it, with what it probes meanwhile",
			unit: "ms", quantile: median},
		{key: "add-api", measure: "add", title: "one instance added, with a reload by the API", unit: "ms",
			quantile: median, goal: "<= 5 ms"},
		{key: "stop", measure: "stop", title: "stop all", unit: "s", quantile: median, goal: "<= 1.5 x"},
		{key: "adopt", measure: "adopt", title: "daemon killed and started again: until all are adopted", unit: "s",
			quantile: median,
			goal:     "<= %s", goalAt: perThousand("s", 0.25)},
		{key: "adopt-known", measure: "adopt", title: "the same, until all have answered a probe", unit: "s",
			quantile: median},
		{key: "adopt-cpu", measure: "adopt", title: "processor time of the daemon until then", unit: "s",
			quantile: median},
		{key: "status", measure: "status", title: "`procman status` of all", unit: "ms", quantile: median,
			goal: "<= 100 ms"},
		{key: "status-cpu", measure: "status", title: "processor time of that command", unit: "ms", quantile: median},
		{key: "status-json", measure: "status", title: "`procman status -o json` of all", unit: "ms", quantile: median},
		{key: "status-one", measure: "status", title: "`procman status ID`", unit: "ms", quantile: median},
		{key: "status-one-cpu", measure: "status", title: "processor time of that command", unit: "ms",
			quantile: median},
		{key: "crash", measure: "crash", title: fmt.Sprintf("%d instances that exit at once: processor time of the "+
			"manager in %s", crashers, crash), unit: "s", quantile: median,
			fixed: crashers, goal: "<= 0.1 s in 30 s"},
		{key: "hang-one", measure: "hang", title: "8 hang in their start: until the ninth listens", unit: "s",
			quantile: median, fixed: 9},
		{key: "hang-many", measure: "hang", title: fmt.Sprintf("%d of %d hang in their start: until the others listen",
			hanging/10, hanging), unit: "s",
			quantile: median, fixed: hanging},
		{key: "output", measure: "output", title: "lines of 128 bytes written by an instance, forwarding on",
			unit: "MiB/s", quantile: median,
			fixed: 1, goal: ">= 0.95 x"},
		{key: "output-cpu", measure: "output", title: "processor time of the manager a second meanwhile", unit: "s",
			quantile: median, fixed: 1},
	}
}
