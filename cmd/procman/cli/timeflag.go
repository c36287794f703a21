package cli

import (
	"fmt"
	"time"
)

// timeFlag is a point in time as a flag: how long ago it is, or when.
type timeFlag struct {
	ago  time.Duration
	at   time.Time // zero: ago says it
	text string
}

// timeForms are the forms of a time; without a zone it is that of the caller.
func timeForms() []string {
	return []string{time.RFC3339Nano, time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04",
		time.DateOnly}
}

// Set makes a time a flag.
func (m *timeFlag) Set(text string) error {
	*m = timeFlag{text: text}
	if ago, err := time.ParseDuration(text); err == nil {
		if m.ago = ago; ago < 0 {
			return fmt.Errorf("it must not be negative")
		}
		return nil
	}
	for _, form := range timeForms() {
		if at, err := time.ParseInLocation(form, text, time.Local); err == nil {
			m.at = at
			return nil
		}
	}
	return fmt.Errorf("write how long ago, as in 10m, or a time, as in 2026-01-02T15:04:05Z or \"2026-01-02 15:04\"")
}

func (m *timeFlag) String() string { return m.text }

// Type is how help names the value.
func (m *timeFlag) Type() string { return "T" }

// age is how long ago it was; 0: it is not said, or in the future.
func (m *timeFlag) age(now time.Time) time.Duration {
	if m.at.IsZero() {
		return m.ago
	}
	return max(0, now.Sub(m.at))
}
