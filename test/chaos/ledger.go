package chaos

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// The variables by which a test tells a faultchild what its control file does not. PROCMAN_INSTANCE_ID and PROCMAN_RUN
// say whose process it is; a process without them is a bystander.
const (
	EnvLedger = "CHAOS_LEDGER" // the file that every process appends to
	EnvSpec   = "CHAOS_SPEC"   // which specification the process is of; any word
)

// Event is what a process has to say of itself.
type Event string

// The events.
const (
	Start      Event = "start"      // the first thing it does; the note may name a rival
	Listen     Event = "listen"     // it answers on its port
	Term       Event = "term"       // it was sent TERM
	Signal     Event = "signal"     // it was sent another signal, which the note names
	Exit       Event = "exit"       // the last thing it does; the note has the code and the number of lines written
	Grandchild Event = "grandchild" // a process that it started; the entry is the grandchild's own
)

// Process is one process of this boot, for ever.
type Process struct {
	PID   int
	Start uint64 // ticks since boot, from /proc/PID/stat
}

// Entry is one line of a ledger.
type Entry struct {
	At       int64 // CLOCK_MONOTONIC, nanoseconds
	Instance string
	Run      int
	Process
	Port  int
	Event Event
	Note  Note
}

// Note is what else an entry says, as key=value words.
type Note map[string]string

// Number returns the number that stands under the key, 0 if there is none.
func (n Note) Number(key string) int {
	v, err := strconv.Atoi(n[key])
	if err != nil {
		return 0
	}
	return v
}

// String returns the entry as a line with its line end. Keys and values hold no blanks.
func (e Entry) String() string {
	var b strings.Builder
	instance := e.Instance
	if instance == "" {
		instance = "-"
	}
	fmt.Fprintf(&b, "%d %s %d %d %d %d %s", e.At, instance, e.Run, e.PID, e.Start, e.Port, e.Event)
	for key, value := range e.Note {
		fmt.Fprintf(&b, " %s=%s", key, value)
	}
	b.WriteByte('\n')
	return b.String()
}

// ParseLedger returns the whole lines of a ledger as entries, and what follows the last whole line. A line that is none
// is an error: entries are appended in one write each, so that a torn one is a bug of the test.
func ParseLedger(text []byte) (entries []Entry, rest []byte, err error) {
	for {
		line, after, whole := bytes.Cut(text, []byte{'\n'})
		if !whole {
			return entries, text, nil
		}
		e, err := parseEntry(string(line))
		if err != nil {
			return entries, text, fmt.Errorf("the ledger has the line %q: %w", line, err)
		}
		entries, text = append(entries, e), after
	}
}

func parseEntry(line string) (Entry, error) {
	words := strings.Fields(line)
	if len(words) < 7 {
		return Entry{}, fmt.Errorf("it has %d words", len(words))
	}
	var e Entry
	var err error
	number := func(word string) int64 {
		n, parseErr := strconv.ParseInt(word, 10, 64)
		if parseErr != nil {
			err = parseErr
		}
		return n
	}
	e.At, e.Run, e.PID = number(words[0]), int(number(words[2])), int(number(words[3]))
	e.Start, e.Port, e.Event = uint64(number(words[4])), int(number(words[5])), Event(words[6])
	if words[1] != "-" {
		e.Instance = words[1]
	}
	for _, word := range words[7:] {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			return Entry{}, fmt.Errorf("%q is no key=value", word)
		}
		if e.Note == nil {
			e.Note = Note{}
		}
		e.Note[key] = value
	}
	return e, err
}
