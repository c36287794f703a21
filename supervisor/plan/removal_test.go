package plan

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// F133.
func TestARemovalThatMayBeHalfAFileWaits(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name                   string
		draft                  Draft
		before, after, removed int
		again                  time.Duration
		doubt                  string
	}{
		{"nothing is removed", Draft{Writing: true}, 6, 6, 0, 0, ""},
		{"added only, and still written", Draft{Writing: true}, 6, 9, 0, 0, ""},
		{"replaced in one piece", Draft{Whole: true}, 6, 5, 1, 0, ""},
		{"replaced in one piece by an empty list", Draft{Whole: true}, 6, 0, 6, 0, ""},
		{"replaced, but somebody writes on", Draft{Whole: true, Writing: true}, 6, 5, 1, s, ""},
		{"written in place, just now", Draft{}, 6, 5, 1, 5 * s, ""},
		{"written in place, and quiet for a while", Draft{Quiet: 3 * s}, 6, 5, 1, 2 * s, ""},
		{"written in place, and quiet", Draft{Quiet: 5 * s}, 6, 5, 1, 0, ""},
		{"half of it, and quiet", Draft{Quiet: 5 * s}, 6, 3, 3, 0, ""},
		{"being written", Draft{Writing: true, Quiet: s}, 6, 1, 5, s, ""},
		{"open for writing, and quiet", Draft{Writing: true, Quiet: time.Hour}, 6, 5,
			1, s, "somebody has the configuration open for writing"},
		{"most of it, just now", Draft{}, 6, 2, 4, 5 * s, ""},
		{"most of it", Draft{Quiet: 5 * s}, 6, 2, 4, time.Minute,
			"4 of the 6 in the list have left the configuration, which was not replaced but written in place, so " +
				"that it may be half a file"},
		{"most of it, however long ago", Draft{Quiet: time.Hour}, 3, 1, 2, time.Minute,
			"2 of the 3 in the list have left the configuration, which was not replaced but written in place, so " +
				"that it may be half a file"},
		{"all of it", Draft{Quiet: time.Hour}, 1, 0, 1, time.Minute,
			"1 of the 1 in the list have left the configuration, which was not replaced but written in place, so " +
				"that it may be half a file"},
		{"all have other names", Draft{Quiet: time.Hour}, 3, 3, 3, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			again, doubt := Removal(c.draft, c.before, c.after, c.removed)
			require.Equal(t, c.again, again)
			require.Equal(t, c.doubt, doubt)
		})
	}
}
