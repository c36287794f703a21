package output

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTheIndexOfTimesNeverCallsAYoungByteOld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type write struct{ end, at int64 }
		var m timeIndex
		var writes []write
		var end, now int64 = 0, 1_700_000_000_000
		for range rapid.IntRange(1, 2000).Draw(t, "writes") {
			now += rapid.Int64Range(0, 3000).Draw(t, "pause")
			end += rapid.Int64Range(1, 100).Draw(t, "bytes")
			writes = append(writes, write{end, now})
			m = m.add(end, now)
		}
		require.LessOrEqual(t, len(m), maxMarks)
		require.True(t, slices.IsSortedFunc(m, func(a, b timeMark) int { return int(a.Offset - b.Offset) }))
		require.Equal(t, end, m.last())
		since := now - rapid.Int64Range(0, 2_000_000).Draw(t, "age")
		from := m.from(since)
		for _, w := range writes {
			if w.at > since {
				require.Greater(t, w.end, from, "written after it, left out")
			}
			require.GreaterOrEqual(t, m.at(w.end-1), w.at)
			// As fine as promised: two spans, since a mark may stand at either end of one.
			if age := now - w.at; w.at < since-2*max(markEvery, age/markShare)-3000-3000 && len(m) < maxMarks/2 {
				require.LessOrEqual(t, w.end, from, "%d ms old, since %d ms", age, now-since)
			}
		}
		data, err := json.Marshal(m)
		require.NoError(t, err)
		var back timeIndex
		require.NoError(t, json.Unmarshal(data, &back))
		require.Equal(t, m, back)
	})
}

func TestABadIndexOfTimesIsRefused(t *testing.T) {
	for _, s := range []string{`[1]`, `[5,5,-1,0]`, `[5,5,0,-1]`, `[-1,0]`, `"x"`, `[1.5,2]`} {
		var m timeIndex
		require.Error(t, json.Unmarshal([]byte(s), &m), s)
	}
}
