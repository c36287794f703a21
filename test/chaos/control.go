package chaos

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"time"
)

// Control says how a faultchild behaves. It is the file that -wasm names, as JSON. The child reads it when it starts,
// at every health check (Health), at TERM (Term) and at USR1 (Cue). The zero value is a good servicehost.
type Control struct {
	Bind      Bind     `json:"bind,omitempty"`
	BindAfter Duration `json:"bind_after,omitempty"`

	Health Health `json:"health,omitempty"`

	Term      TermManner `json:"term,omitempty"`
	TermAfter Duration   `json:"term_after,omitempty"` // how long it takes to end after TERM

	End *End `json:"end,omitempty"` // it ends by itself
	Cue *End `json:"cue,omitempty"` // it ends when it is sent USR1

	StopSelfAfter Duration `json:"stop_self_after,omitempty"` // it sends itself STOP

	Rate    int    `json:"rate,omitempty"`    // numbered lines on stdout, per second
	Flood   int    `json:"flood,omitempty"`   // so many more lines at once when it starts
	Partial string `json:"partial,omitempty"` // written at the start, without a line end

	Grandchildren []Descent `json:"grandchildren,omitempty"`
	Habits        []string  `json:"habits,omitempty"` // see [Habits]; read at the start
}

// Bind is what a child does with its port.
type Bind string

// The ways to bind.
const (
	BindPort  Bind = ""      // as it should
	BindNever Bind = "never" // not at all
	BindWrong Bind = "wrong" // another port
)

// Health is how a child answers a health check.
type Health string

// The answers.
const (
	HealthOK       Health = ""         // 200
	HealthSick     Health = "500"      //
	HealthHang     Health = "hang"     // it never answers
	HealthDrip     Health = "drip"     // one byte a second
	HealthHuge     Health = "huge"     // 200 and 64 MiB
	HealthRedirect Health = "redirect" // to itself, where it is healthy
	HealthClose    Health = "close"    // the connection is closed at once
	HealthGarbage  Health = "garbage"  // not HTTP
)

// TermManner is what a child does at TERM.
type TermManner string

// The manners.
const (
	TermEnds    TermManner = ""
	TermIgnored TermManner = "ignore"
)

// End is how a child ends by itself.
type End struct {
	Code   int      `json:"code,omitempty"`
	Signal int      `json:"signal,omitempty"` // not 0: it really dies by this signal
	After  Duration `json:"after,omitempty"`
	// Chance: only so large a part of all runs end like this, at a moment up to After. Which runs, and when, is drawn
	// from Seed, the instance and the run.
	Chance float64 `json:"chance,omitempty"`
	Seed   int64   `json:"seed,omitempty"`
}

// Drawn returns whether and when a run ends by itself.
func (e End) Drawn(instance string, run int) (after time.Duration, ends bool) {
	if e.Chance == 0 {
		return time.Duration(e.After), true
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s %d", e.Seed, instance, run)
	x := h.Sum64()
	x ^= x >> 33 // FNV leaves the last bytes in the low bits
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	if float64(x>>32)/(1<<32) >= e.Chance {
		return 0, false
	}
	return time.Duration(float64(x&(1<<32-1)) / (1 << 32) * float64(e.After)), true
}

// Descent is a process that a child starts.
type Descent struct {
	Setsid bool `json:"setsid,omitempty"` // in a session of its own, else in the child's group
	Stdout bool `json:"stdout,omitempty"` // it holds the child's stdout, else none
	// it holds descriptor 3, by which procman's children hold their instance's lock
	Lock bool `json:"lock,omitempty"`
}

// Duration is a time.Duration that is written as 1m30s in JSON.
type Duration time.Duration

// MarshalText returns the duration as time.Duration writes it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// ReadControl reads a control file. An empty file is the zero value.
func ReadControl(path string) (Control, error) {
	text, err := os.ReadFile(path)
	if err != nil || len(text) == 0 {
		return Control{}, err
	}
	var c Control
	if err := json.Unmarshal(text, &c); err != nil {
		return Control{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}
