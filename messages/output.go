package messages

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Stream names one of the two output streams of a process.
type Stream string

// The streams.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

// OutputLine is a line that an instance wrote, without its line end.
type OutputLine struct {
	ID     InstanceID `json:"instance"`
	Stream Stream     `json:"stream"` // empty: this is no line, there is a Cursor only
	Text   string     `json:"text"`
	// At is when the line had been written at the latest, if [OutputQuery.Times] asks for it. Zero: nobody knows.
	At time.Time `json:"at,omitzero"`
	// Skipped is not 0 in place of text that is no longer there: so many bytes had to go; -1: nobody knows how many.
	Skipped int64 `json:"skipped,omitempty"`
	// Cursor is the place behind this line, see [OutputQuery.After]. It is good for as long as the manager's directory
	// is, also over a crash of the manager. What it says is nobody's business.
	Cursor string `json:"cursor,omitempty"`
}

// OutputQuery says which output of an instance is asked for.
type OutputQuery struct {
	ID     InstanceID
	Stream Stream        // empty: both
	Lines  int           // the newest so many lines to begin with, over both streams; negative: all that is kept
	Since  time.Duration // only what is not older than this; 0: any age
	Until  time.Duration // only what is not younger than this; 0: any age
	// only lines that match this regular expression, as Go knows them; secrets in them are masked by then
	Grep   string
	Times  bool // say of each line when it was written
	Follow bool // go on with new lines until the context ends
	// After is the cursor of an earlier line: begin right behind it. Lines and Since do not count then. What has been
	// taken away meanwhile is one line with Skipped. If the file is no longer the one of the cursor, what is kept now
	// follows.
	After string
	// Place asks for a first line that is none: with the Cursor from which the rest goes on.
	Place bool
	// Earlier asks for what runs before the newest one wrote, and for nothing where it is not known when that began.
	Earlier bool
	// Lone leaves out other runs: what is asked for is what the newest run wrote that has a process or had one, with
	// Earlier the one before it. Where it is not known when that began, more is there.
	Lone bool
}

// Validate reports a query that cannot be answered.
func (q OutputQuery) Validate() error {
	if q.Earlier && q.Follow {
		return errors.New("what earlier runs wrote grows no more, it cannot be followed")
	}
	if q.Until > 0 && q.Follow {
		return errors.New("what was written until then grows no more, it cannot be followed")
	}
	if _, err := q.Pattern(); err != nil {
		return err
	}
	if q.After == "" {
		return nil
	}
	p, err := ParseOutputPlace(q.After)
	if err != nil {
		return err
	}
	if q.Stream != Stderr && p.Stdout == nil || q.Stream != Stdout && p.Stderr == nil {
		return fmt.Errorf("the cursor %q is of one stream only, and the other one is asked for too", q.After)
	}
	return nil
}

// maxPattern is the length in bytes of the longest expression that is taken.
const maxPattern = 1 << 10

// Pattern returns what lines must match; nil: nothing.
func (q OutputQuery) Pattern() (*regexp.Regexp, error) {
	switch {
	case q.Grep == "":
		return nil, nil
	case len(q.Grep) > maxPattern:
		return nil, fmt.Errorf("the expression has %d bytes, and may have %d", len(q.Grep), maxPattern)
	}
	re, err := regexp.Compile(q.Grep)
	if err != nil {
		return nil, fmt.Errorf("the expression cannot be used: %w", err)
	}
	return re, nil
}

// OutputSpot is a place in one output stream.
type OutputSpot struct {
	Offset int64 // counts from the first byte ever written
	Era    int64 // differs when the file at that offset is another one
	Torn   bool  // the spot is inside of a line whose beginning nobody has: its rest is left out
}

// OutputPlace is a place in an instance's output. Its text is a cursor. A stream that is not read is nil.
type OutputPlace struct{ Stdout, Stderr *OutputSpot }

// Spot is where the place of a stream is kept.
func (p *OutputPlace) Spot(s Stream) **OutputSpot {
	if s == Stderr {
		return &p.Stderr
	}
	return &p.Stdout
}

func (p OutputPlace) String() string {
	text := make([]byte, 0, 64)
	for _, s := range []struct {
		name byte
		spot *OutputSpot
	}{{'o', p.Stdout}, {'e', p.Stderr}} {
		if s.spot == nil {
			continue
		}
		text = strconv.AppendInt(append(text, s.name), s.spot.Offset, 10)
		text = strconv.AppendInt(append(text, '.'), s.spot.Era, 10)
		if s.spot.Torn {
			text = append(text, '~')
		}
	}
	return string(text)
}

// ParseOutputPlace reads what String wrote, and nothing else.
func ParseOutputPlace(cursor string) (OutputPlace, error) {
	var p OutputPlace
	rest := cursor
	for _, s := range []struct {
		name byte
		spot **OutputSpot
	}{{'o', &p.Stdout}, {'e', &p.Stderr}} {
		if rest != "" && rest[0] == s.name {
			*s.spot, rest = parseSpot(rest[1:])
		}
	}
	if cursor == "" || rest != "" || p.String() != cursor {
		return OutputPlace{}, fmt.Errorf("the cursor %.80q is none that was given with a line of output", cursor)
	}
	return p, nil
}

// parseSpot reads as much as it can, and returns what is behind that.
func parseSpot(text string) (*OutputSpot, string) {
	var s OutputSpot
	s.Offset, text = parseDigits(text)
	if text == "" || text[0] != '.' {
		return &s, text
	}
	s.Era, text = parseDigits(text[1:])
	if text != "" && text[0] == '~' {
		s.Torn, text = true, text[1:]
	}
	return &s, text
}

func parseDigits(text string) (int64, string) {
	n := 0
	for n < len(text) && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	v, err := strconv.ParseInt(text[:n], 10, 64)
	if err != nil {
		return 0, text // shows in what is left
	}
	return v, text[n:]
}
