package output

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestPiecesAreTheLineAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(4, 12).Draw(t, "limit")
		parts := rapid.SliceOf(rapid.OneOf(
			rapid.SampledFrom([]string{"\n", "\x00", "\xff", "\xe2\x82", "€", "\U0001F600", "\x1b[31m", "\r\n"}),
			rapid.StringOfN(rapid.RuneFrom([]rune("ab\n")), 0, 20, -1),
		)).Draw(t, "parts")
		in := []byte(strings.Join(parts, ""))
		var lines [][]byte // as bytes.Split would have them
		var whole []byte
		rest, inside := in, false
		for {
			text, size, partial := cutLine(rest, limit)
			if size == 0 {
				break
			}
			require.LessOrEqual(t, len(text), limit)
			if inside {
				require.NotEmpty(t, text, "a piece is never empty")
			}
			if partial && utf8.Valid(in) {
				require.True(t, utf8.Valid(text), "no rune is torn")
			}
			whole, rest, inside = append(whole, text...), rest[size:], partial
			if !partial {
				lines, whole = append(lines, whole), nil
			}
		}
		require.LessOrEqual(t, len(rest), limit)
		require.NotContains(t, string(rest), "\n")
		want := bytes.Split(in, []byte("\n"))
		lines = append(lines, append(whole, rest...))
		require.Equal(t, len(want), len(lines))
		for i := range want {
			require.Equal(t, string(want[i]), string(lines[i]))
		}
	})
}

func FuzzALegibleLineLosesNoByte(f *testing.F) {
	for _, s := range []string{"", "plain", "\x00\x1b[1m\r", "\xff\xfe", "caf\xc3", "\"\\x41"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, quoted := legible(string(b))
		require.True(t, utf8.ValidString(s))
		if quoted {
			back, err := strconv.Unquote(s)
			require.NoError(t, err)
			s = back
		}
		require.Equal(t, string(b), s)
	})
}
