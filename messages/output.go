package messages

import "time"

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
	Stream Stream     `json:"stream"`
	Text   string     `json:"text"`
	// Skipped is not 0 in place of text that is no longer there: so many bytes had to go.
	Skipped int64 `json:"skipped,omitempty"`
}

// OutputQuery says which output of an instance is asked for.
type OutputQuery struct {
	ID      InstanceID
	Stream  Stream        // empty: both
	Lines   int           // the newest so many lines to begin with, over both streams; negative: all that is kept
	Since   time.Duration // only what is not older than this; 0: any age
	Earlier bool          // only what runs before the newest one wrote; nothing if that is not known
	Follow  bool          // go on with new lines until the context ends
}
