package spawn

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func sampleRecord() runRecord {
	c := readClock()
	r := runRecord{ID: "a", Boot: "boot", PID: 4711, Start: 123456, Tag: newTag(), Run: 3, Port: 30001, Spec: "abc", Started: c.stamp(time.Now())}
	r.Exit = c.exitRecord(unknownExit(time.Now()))
	return r
}

func TestNoCutAndNoFlippedBitOfARecordGoesUnnoticed(t *testing.T) {
	good, err := seal(runKind, sampleRecord())
	require.NoError(t, err)
	require.NoError(t, unseal(runKind, good, &runRecord{}))
	require.Error(t, unseal(memoryKind, good, &runRecord{}), "a record of another kind")
	for n := range good {
		require.Error(t, unseal(runKind, good[:n], &runRecord{}), "cut at %d", n)
		for bit := range 8 {
			bad := append([]byte(nil), good...)
			bad[n] ^= 1 << bit
			require.Error(t, unseal(runKind, bad, &runRecord{}), "bit %d of byte %d", bit, n)
		}
	}
	require.Error(t, unseal(runKind, append(good, ' '), &runRecord{}))
}

func TestNothingThatMayLieInARecordPanics(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		record := rapid.SliceOf(rapid.Byte()).Draw(t, "record")
		require.Error(t, unseal(runKind, record, &runRecord{}))
		var raw json.RawMessage
		if json.Unmarshal(record, &raw) == nil {
			sealed, err := sealRaw(runKind, raw)
			require.NoError(t, err)
			_ = unseal(runKind, sealed, &runRecord{})
		}
	})
}

func TestAStatOfAnyProgramNameIsRead(t *testing.T) {
	rest := " S 1 77 78 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 9 10 11 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 256\n"
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		s, err := parseStat([]byte("42 (" + name + ")" + rest))
		require.NoError(t, err)
		require.Equal(t, stat{state: 'S', group: 77, session: 78, start: 987654, status: 256}, s)
		_, err = parseStat([]byte(name))
		require.Error(t, err)
	})
	own, err := procfs("/proc").stat(os.Getpid())
	require.NoError(t, err)
	require.WithinRange(t, sinceBoot(own.start), time.Now().Add(-time.Hour), time.Now().Add(time.Second))
}

func TestATimeSurvivesInTheRecordOfThisBoot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64().Draw(t, "offset"))
		c := readClock()
		at := c.now.Add(d)
		later := clock{now: c.now.Add(5 * time.Second), mono: c.mono + int64(5*time.Second)}
		got := later.time(c.nanos(at))
		if d.Abs() < 100*365*24*time.Hour {
			require.Equal(t, at.UnixNano(), got.UnixNano())
		}
	})
	c := readClock()
	require.Nil(t, c.nanos(time.Time{}))
	require.True(t, c.time(nil).IsZero())
}
