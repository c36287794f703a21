package messages

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestACursorIsReadBackAsItWasGiven(t *testing.T) {
	for _, p := range []OutputPlace{
		{Stdout: &OutputSpot{}},
		{Stderr: &OutputSpot{Offset: 5, Era: 2, Torn: true}},
		{Stdout: &OutputSpot{Offset: 1<<63 - 1, Torn: true}, Stderr: &OutputSpot{Offset: 12, Era: 1<<63 - 1}},
	} {
		back, err := ParseOutputPlace(p.String())
		require.NoError(t, err, p.String())
		require.Equal(t, p, back)
	}
}

func FuzzAGarbledCursorIsRefused(f *testing.F) {
	for _, s := range []string{"o1.0e2.0", "o1.0~", "", "o", "o1", "o1.", "e1.0o1.0", "o01.0", "o-1.0", "o1.0x",
		"o99999999999999999999.0", "o1.0o1.0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseOutputPlace(s)
		if err == nil {
			require.Equal(t, s, p.String())
		} else {
			require.ErrorContains(t, err, "cursor")
		}
	})
}

func TestAQueryThatCannotBeAnsweredIsRefused(t *testing.T) {
	for _, q := range []OutputQuery{
		{After: "nonsense"}, {After: "o1.0"}, {After: "e1.0"}, {After: "o1.0", Stream: Stderr},
		{Earlier: true, Follow: true}, {Until: time.Second, Follow: true},
		{Grep: "("}, {Grep: strings.Repeat("x", 1025)},
	} {
		require.Error(t, q.Validate(), q)
	}
	for _, q := range []OutputQuery{{}, {After: "o1.0e0.0"}, {After: "o1.0e0.0", Stream: Stderr, Follow: true},
		{After: "o1.0", Stream: Stdout}, {Earlier: true}} {
		require.NoError(t, q.Validate(), q)
	}
}
