package chaos

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Habits are what programs do that a process manager easily takes for something else. A faultchild is given them as
// words behind its usual arguments, or in its control file.
type Habits struct {
	ClearEnv bool // clearenv: it writes over its environment's memory, as programs do that set their title
	CloseFDs bool // closefds: it closes every descriptor that it was given beside 0, 1 and 2
	NoReuse  bool // noreuse: it binds without SO_REUSEADDR
	Group    bool // group: a worker in a process group of its own, in the same session, serves, as under `set -m`

	Drain  time.Duration // drain=N: a worker serves; at TERM the master ends at once, the worker this much later
	Detach time.Duration // detach=N: a child calls setsid and sleeps so long, with all descriptors
	Helper time.Duration // helper=N: likewise, but it is given the environment and no descriptor
	Slow   time.Duration // slow=N: it ends this long after TERM
}

// ParseHabits reads words such as "clearenv" and "drain=4". A number counts seconds; 200ms is understood as well.
func ParseHabits(words []string) (h Habits, err error) {
	for _, word := range words {
		name, value, given := strings.Cut(word, "=")
		flags := map[string]*bool{"clearenv": &h.ClearEnv, "closefds": &h.CloseFDs, "noreuse": &h.NoReuse,
			"group": &h.Group}
		times := map[string]*time.Duration{"drain": &h.Drain, "detach": &h.Detach, "helper": &h.Helper, "slow": &h.Slow}
		switch flag, into := flags[name], times[name]; {
		case flag != nil && !given:
			*flag = true
		case into != nil && given:
			if _, err := strconv.ParseFloat(value, 64); err == nil {
				value += "s"
			}
			if *into, err = time.ParseDuration(value); err != nil {
				return h, fmt.Errorf("the habit %q: %w", word, err)
			}
		default:
			return h, fmt.Errorf("%q is no habit", word)
		}
	}
	return h, nil
}

// Words returns what ParseHabits reads.
func (h Habits) Words() (words []string) {
	for _, w := range []struct {
		word string
		has  bool
	}{{"clearenv", h.ClearEnv}, {"closefds", h.CloseFDs}, {"noreuse", h.NoReuse}, {"group", h.Group}} {
		if w.has {
			words = append(words, w.word)
		}
	}
	for _, w := range []struct {
		word string
		d    time.Duration
	}{{"drain", h.Drain}, {"detach", h.Detach}, {"helper", h.Helper}, {"slow", h.Slow}} {
		if w.d != 0 {
			words = append(words, w.word+"="+w.d.String())
		}
	}
	return words
}

// Worker reports whether another process than the first one serves.
func (h Habits) Worker() bool { return h.Group || h.Drain != 0 }
