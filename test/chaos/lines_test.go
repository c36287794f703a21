package chaos

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// written returns the lines from one to another of a process.
func written(pid, from, to int) (lines []Line) {
	for seq := from; seq <= to; seq++ {
		lines = append(lines, Line{"a", pid, pid, seq})
	}
	return lines
}

func by(manager int, lines []Line) (out []Forwarded) {
	for _, l := range lines {
		out = append(out, Forwarded{Line: l, Manager: manager})
	}
	return out
}

func TestATornLineIsFound(t *testing.T) { // I6
	lines, err := ParseFile([]byte("a 1 7 1\na 1 7 2\na 1 "))
	require.NoError(t, err)
	require.Equal(t, []Line{{"a", 1, 7, 1}, {"a", 1, 7, 2}}, lines)
	for _, text := range []string{"a 1 7 1\na 1\n", "a 1 7 1a 1 7 2\n", "\n", "a 1 7 x\n", "a 1 7 0\n",
		"\x00\x00a 1 7 1\n"} {
		_, err := ParseFile([]byte(text))
		require.Error(t, err, "%q", text)
	}
}

func TestAHoleInTheFileIsFound(t *testing.T) { // I6
	whole := append(written(1, 1, 3), written(2, 1, 2)...)
	first := ended(life(1, 1, 2), 3)
	first.Exit = &Exited{Lines: 3}
	require.Empty(t, FileWhole("a", whole, []Life{first}))
	require.NotEmpty(t, FileWhole("a", append(written(1, 1, 1), written(1, 3, 3)...), nil), "a gap")
	require.NotEmpty(t, FileWhole("a", written(1, 2, 3), nil), "no beginning")
	require.NotEmpty(t, FileWhole("a", append(written(1, 1, 2), written(1, 2, 3)...), nil), "twice")
	require.NotEmpty(t, FileWhole("a", append(whole, written(1, 4, 4)...), nil), "behind another's")
	require.NotEmpty(t, FileWhole("a", written(1, 1, 2), []Life{first}), "no end")
}

func TestAHoleInWhatWasForwardedIsFound(t *testing.T) { // I6
	file := append(written(1, 1, 5), written(2, 1, 3)...)
	all := by(1, file)
	require.Empty(t, ForwardedWhole("a", file, all, len(file)))
	require.Empty(t, ForwardedWhole("a", file, all[:6], 6))
	require.Len(t, ForwardedWhole("a", file, all[:6], 7), 1, "the end is missing")
	require.Len(t, ForwardedWhole("a", file, all[1:], len(file)), 1, "the beginning is missing")
	require.Len(t, ForwardedWhole("a", file, append(by(1, file[:2]), by(1, file[3:])...), len(file)), 1, "a gap")
	require.Len(t, ForwardedWhole("a", file, append(by(1, file[:2]), by(2, file[3:])...), len(file)),
		1, "a gap between two managers")
	require.Empty(t, ForwardedWhole("a", file, append(by(1, file[:4]), by(2, file[2:])...), len(file)),
		"repeated by the next manager")
	require.Len(t, ForwardedWhole("a", file, append(by(1, file[:4]), by(1, file[2:])...), len(file)),
		1, "repeated by the same")
	require.Len(t, ForwardedWhole("a", file[:3], all[:4], 0), 1, "never written")

	foreign := append(by(1, file[:4]), by(2, file[2:])...)
	foreign[4].Foreign = true
	require.Empty(t, ForwardedWhole("a", file, foreign, len(file)),
		"taken for another run's where a manager takes over")
	foreign[6].Foreign = true
	require.Len(t, ForwardedWhole("a", file, foreign, len(file)), 1, "but not later")
}

func TestForwardedLinesArePickedOutOfALog(t *testing.T) {
	record := func(stream, line string, pid int, more string) string {
		return fmt.Sprintf(
			`{"time":"2026-01-02T03:04:05Z","level":"INFO","msg":"output","instance":"a","run":1,"pid":%d,"stream":%q,"line":%q%s}`, pid, stream, line, more)
	}
	log := strings.Join([]string{
		`{"msg":"manager started"}`, record("stdout", "a 1 7 1", 7, ""), record("stderr", "oops", 7, ""),
		record("stdout", "a 1 7 2", 8, ""), `{"msg":"out`,
	}, "\n")
	into := map[string][]Forwarded{}
	require.NoError(t, ParseForwarded([]byte(log), 4, into))
	require.Equal(t, map[string][]Forwarded{"a": {{Line{"a", 1, 7, 1}, 4, false}, {Line{"a", 1, 7, 2}, 4, true}}}, into)
	for _, bad := range []string{
		record("stdout", "a 1 7", 7, ""), record("stdout", "a 1 7 1", 7, `,"partial":true`),
		record("stdout", "b 1 7 1", 7, ""), `{"msg":"output",}`,
	} {
		require.Error(t, ParseForwarded([]byte(bad+"\n"), 1, map[string][]Forwarded{}), bad)
	}
}
