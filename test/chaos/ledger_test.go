package chaos

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestAnEntryIsReadAsItWasWritten(t *testing.T) {
	word := rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,10}`)
	rapid.Check(t, func(t *rapid.T) {
		e := Entry{
			At: rapid.Int64Min(0).Draw(t, "at"), Instance: rapid.OneOf(word, rapid.Just("")).Draw(t, "instance"),
			Run:     rapid.IntMin(0).Draw(t, "run"),
			Process: Process{rapid.IntMin(1).Draw(t, "pid"), rapid.Uint64Max(1<<62).Draw(t, "start")},
			Port:    rapid.IntRange(0, 65535).Draw(t, "port"), Event: Event(word.Draw(t, "event")),
		}
		if n := rapid.MapOf(word, word).Draw(t, "note"); len(n) > 0 {
			e.Note = n
		}
		entries, rest, err := ParseLedger([]byte(e.String() + e.String() + "17 half a li"))
		require.NoError(t, err)
		require.Equal(t, []Entry{e, e}, entries)
		require.Equal(t, "17 half a li", string(rest))
	})
}

func TestALineThatIsNoEntryIsAnError(t *testing.T) {
	for _, text := range []string{"\n", "1 a 1 1 1 1\n", "1 a 1 x 1 1 start\n", "1 a 1 1 1 1 start note\n"} {
		_, _, err := ParseLedger([]byte(text))
		require.Error(t, err, text)
	}
}

func TestAControlFileIsReadAsItWasWritten(t *testing.T) {
	c := Control{
		Bind: BindWrong, BindAfter: Duration(time.Second), Health: HealthDrip, Term: TermIgnored,
		TermAfter: Duration(time.Minute),
		End:       &End{Code: 7, Chance: 0.5, Seed: 3, After: 1}, Rate: 5, Grandchildren: []Descent{{Setsid: true}},
	}
	text, err := json.Marshal(c)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "control")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	read, err := ReadControl(path)
	require.NoError(t, err)
	require.Equal(t, c, read)

	require.NoError(t, os.WriteFile(path, nil, 0o600))
	read, err = ReadControl(path)
	require.NoError(t, err)
	require.Zero(t, read)
	require.NoError(t, os.WriteFile(path, []byte(`{"bind_after":"soon"}`), 0o600))
	_, err = ReadControl(path)
	require.Error(t, err)
}

func TestARunEndsByItselfAsOftenAsItsChanceSays(t *testing.T) {
	e := End{After: Duration(time.Second), Chance: 0.3, Seed: 1}
	ends := 0
	for run := range 10000 {
		after, does := e.Drawn("a", run)
		again, _ := e.Drawn("a", run)
		require.Equal(t, after, again)
		require.Less(t, after, time.Second)
		if does {
			ends++
		}
	}
	require.InDelta(t, 3000, ends, 200)
	after, does := End{After: Duration(time.Second)}.Drawn("a", 1)
	require.True(t, does)
	require.Equal(t, time.Second, after)
}
