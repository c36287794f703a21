package cli

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"procman/cmd/procman/words"
	"procman/messages"
)

// column is one column of the status table.
type column = columnOf[messages.Status]

// columnOf is one column of a table of rows.
type columnOf[T any] struct {
	head string
	cell func(row T, now time.Time) string
	ink  func(row T) string // the colour; nil: none
}

const (
	red    = "31"
	green  = "32"
	yellow = "33"
)

// reasonShown is how many characters of a reason the narrow table shows.
const reasonShown = 72

func narrow() []column {
	return append(columns(), column{head: "REASON", cell: func(s messages.Status, now time.Time) string {
		return words.Shorten(reason(s, now), reasonShown)
	}})
}

func wide() []column {
	return append(columns(),
		column{head: "CPU", cell: cpuCell},
		column{head: "MEMORY", cell: memoryCell},
		column{head: "RUN", cell: func(s messages.Status, _ time.Time) string { return number(s.Run) }},
		column{head: "LAST EXIT", cell: lastExit},
		column{head: "LAST PROBE", cell: lastProbe},
		column{head: "WASM", cell: func(s messages.Status, _ time.Time) string { return s.WasmPath }},
		column{head: "DB", cell: func(s messages.Status, _ time.Time) string { return s.DbName }},
		column{head: "REASON", cell: reason})
}

func columns() []column {
	return []column{
		{head: "ID", cell: func(s messages.Status, _ time.Time) string { return string(s.ID) }},
		{head: "PHASE", cell: func(s messages.Status, _ time.Time) string { return string(s.Phase) }, ink: phaseInk},
		{head: "HEALTH", cell: func(s messages.Status, _ time.Time) string { return string(s.Health) }, ink: healthInk},
		{head: "PID", cell: func(s messages.Status, _ time.Time) string { return number(s.PID) }},
		{head: "PORT", cell: func(s messages.Status, _ time.Time) string { return number(s.Port) }},
		{head: "RESTARTS", cell: func(s messages.Status, _ time.Time) string { return strconv.Itoa(s.Restarts) }},
		{head: "UPTIME", cell: func(s messages.Status, now time.Time) string { return since(s.StartedAt, now) }},
	}
}

// table lays the columns out, two blanks apart. An empty cell is a dash, except in the last column, so that every
// line has as many fields as its head.
func table[T any](columns []columnOf[T], rows []T, now time.Time, colours bool) string {
	cells := make([][]string, len(rows))
	widths := make([]int, len(columns))
	for c, col := range columns {
		widths[c] = len(col.head)
	}
	for r, s := range rows {
		cells[r] = make([]string, 0, len(columns))
		for c, col := range columns {
			text := words.Printable(col.cell(s, now))
			if text == "" && c < len(columns)-1 {
				text = "-"
			}
			cells[r] = append(cells[r], text)
			widths[c] = max(widths[c], utf8.RuneCountInString(text))
		}
	}
	var lines []byte
	end := func() { lines = append(bytes.TrimRight(lines, " "), '\n') }
	put := func(c int, text, ink string) {
		pad := widths[c] - utf8.RuneCountInString(text) + 2
		if ink != "" && colours {
			lines = append(append(append(append(append(lines, "\x1b["...), ink...), 'm'), text...), "\x1b[0m"...)
		} else {
			lines = append(lines, text...)
		}
		if c < len(columns)-1 {
			for range pad {
				lines = append(lines, ' ')
			}
		}
	}
	for c, col := range columns {
		put(c, col.head, "")
	}
	end()
	for r, s := range rows {
		for c, col := range columns {
			ink := ""
			if col.ink != nil {
				ink = col.ink(s)
			}
			put(c, cells[r][c], ink)
		}
		end()
	}
	return string(lines)
}

func phaseInk(s messages.Status) string {
	switch s.Phase {
	case messages.Running:
		return green
	case messages.Failed:
		return red
	case messages.Stopped:
		return ""
	default:
		return yellow
	}
}

func healthInk(s messages.Status) string {
	switch s.Health {
	case messages.Healthy:
		return green
	case messages.NotHealthy:
		return red
	default:
		return ""
	}
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// reason is the instance's own, and when the next attempt is made.
func reason(s messages.Status, now time.Time) string {
	if s.NextStartAt == nil && s.Outdated != "" && s.Reason == "" {
		return outdated(s)
	}
	if s.NextStartAt == nil {
		return s.Reason
	}
	next := "next start now"
	if wait := s.NextStartAt.Sub(now); wait > 0 {
		next = "next start in " + span(wait)
	}
	if s.Reason == "" {
		return next
	}
	return next + ": " + s.Reason
}

// outdated says what has changed since the process was started.
func outdated(s messages.Status) string {
	return "what runs is older than its " + strings.Join(s.Outdated.Words(), " and ")
}

func lastExit(s messages.Status, now time.Time) string {
	if s.LastExit == nil {
		return ""
	}
	return fmt.Sprintf("%s (%s ago)", s.LastExit, since(&s.LastExit.At, now))
}

func lastProbe(s messages.Status, now time.Time) string {
	if s.LastProbe == nil {
		return ""
	}
	said := s.LastProbe.Error
	if s.LastProbe.OK {
		said = fmt.Sprintf("%d in %s", s.LastProbe.Status, s.LastProbe.Latency.Round(100*time.Microsecond))
	}
	return fmt.Sprintf("%s (%s ago)", said, since(&s.LastProbe.At, now))
}

func since(t *time.Time, now time.Time) string {
	if t == nil {
		return ""
	}
	return span(max(0, now.Sub(*t)))
}

// span is a duration in its two greatest units.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
	}
}
