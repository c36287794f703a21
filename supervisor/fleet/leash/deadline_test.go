package leash

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"procman/messages"
	"procman/supervisor/fleet/member"
)

func sample(renewed int64) member.Record {
	t0 := time.Duration(renewed)
	return member.Record{
		Lease: 7, Incarnation: "i", Boot: "b", TTL: 9 * time.Second, Grace: 1500 * time.Millisecond,
		Renewed: t0, KillAt: t0 + 8500*time.Millisecond, Deadline: t0 + 8910*time.Millisecond,
	}
}

func opened(t testing.TB, dir messages.StateDir) *File {
	f, err := Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestTheDeadlineThatWasWrittenLastIsReadAlsoByASuccessor(t *testing.T) {
	t.Parallel()
	dir := messages.StateDir(t.TempDir())
	_, err := Read(dir)
	require.ErrorIs(t, err, ErrNone)
	f := opened(t, dir)
	_, err = Read(dir)
	require.ErrorIs(t, err, ErrNone)
	for i := range int64(5) {
		require.NoError(t, f.Write(sample(i)))
		got, err := Read(dir)
		require.NoError(t, err)
		require.Equal(t, sample(i), got)
	}
	require.NoError(t, opened(t, dir).Write(sample(5)))
	got, err := Read(dir)
	require.NoError(t, err)
	require.Equal(t, sample(5), got)
	require.NoError(t, Remove(dir))
	require.NoError(t, Remove(dir))
	_, err = Read(dir)
	require.ErrorIs(t, err, ErrNone)
}

func TestADeadlineIsInForceOnItsBootFromWhenItWasAskedForUntilItsEnd(t *testing.T) {
	t.Parallel()
	r := sample(1000)
	require.NoError(t, Check(r, "b", 1000))
	require.NoError(t, Check(r, "b", int64(r.KillAt)-1))
	require.ErrorIs(t, Check(r, "b", int64(r.KillAt)), ErrPassed)
	require.Error(t, Check(r, "another", 1000))
	require.Error(t, Check(r, "b", 999), "asked for later than now")
	for _, change := range []func(*member.Record){
		func(r *member.Record) { r.KillAt = r.Renewed }, func(r *member.Record) { r.KillAt = r.Deadline + 1 },
		func(r *member.Record) { r.Deadline = r.Renewed + 10*time.Second }, func(r *member.Record) { r.Renewed = -1 },
		func(r *member.Record) { *r = member.Record{} },
	} {
		r := sample(1000)
		change(&r)
		require.Error(t, Check(r, "b", 1001))
	}
	r.KillAt, r.Deadline = r.Renewed, r.Renewed
	require.ErrorIs(t, Check(r, "b", 1001), ErrVoid)
}

// Whatever half of the file is torn, and wherever, what is read was written, and is never later than what was written
// last.
func TestATornWriteLeavesAnEarlierDeadlineInForceAndNeverALaterOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name, err := os.MkdirTemp("", "deadline")
		require.NoError(t, err)
		defer os.RemoveAll(name)
		dir := messages.StateDir(name)
		f, err := Open(dir)
		require.NoError(t, err)
		defer f.Close()
		n := rapid.IntRange(1, 4).Draw(t, "writes")
		for i := range n {
			require.NoError(t, f.Write(sample(int64(i))))
		}
		content, err := os.ReadFile(dir.Deadline())
		require.NoError(t, err)
		next := (uint64(n) + 1) % 2 * half // where the next write is torn
		for range rapid.IntRange(1, 30).Draw(t, "bytes") {
			content[next+uint64(rapid.IntRange(0, half-1).Draw(t, "at"))] = rapid.Byte().Draw(t, "byte")
		}
		require.NoError(t, os.WriteFile(dir.Deadline(), content, 0o600))
		got, err := Read(dir)
		require.NoError(t, err)
		require.Equal(t, sample(int64(n-1)), got)
	})
}

func TestADeadlineThatCannotBeWrittenLeavesTheOneBefore(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no device that is always full")
	}
	dir := messages.StateDir(t.TempDir())
	f := opened(t, dir)
	require.NoError(t, f.Write(sample(1)))
	whole := f.file
	f.file = full
	f.path = "/dev/full"
	require.ErrorContains(t, f.Write(sample(2)), "the one before stays in force")
	f.file, f.path = whole, dir.Deadline()
	got, err := Read(dir)
	require.NoError(t, err)
	require.Equal(t, sample(1), got)
	require.NoError(t, full.Close())
	require.NoError(t, f.Write(sample(3)))
	got, err = Read(dir)
	require.NoError(t, err)
	require.Equal(t, sample(3), got)
}

func TestAFileThatWasDeletedOrReplacedIsMadeAnew(t *testing.T) {
	t.Parallel()
	dir := messages.StateDir(t.TempDir())
	f := opened(t, dir)
	require.NoError(t, f.Write(sample(1)))
	require.NoError(t, os.Remove(dir.Deadline()))
	require.NoError(t, f.Write(sample(2)))
	require.NoError(t, os.WriteFile(dir.Deadline()+"x", []byte("short"), 0o600))
	require.NoError(t, os.Rename(dir.Deadline()+"x", dir.Deadline()))
	require.NoError(t, f.Write(sample(3)))
	got, err := Read(dir)
	require.NoError(t, err)
	require.Equal(t, sample(3), got)
}

func TestAnInstanceIsFencedByItsMarkWhateverIsInIt(t *testing.T) {
	t.Parallel()
	dir := messages.StateDir(t.TempDir())
	marked, err := Marked(dir)
	require.NoError(t, err)
	require.Empty(t, marked)
	require.NoError(t, Fence(dir, "a", Mark{Epoch: 3, Incarnation: "i"}))
	require.NoError(t, Fence(dir, "b", Mark{Epoch: 4}))
	require.NoError(t, os.MkdirAll(dir.Instance("c"), 0o700))
	m, err := MarkOf(dir, "a")
	require.NoError(t, err)
	require.Equal(t, Mark{Epoch: 3, Incarnation: "i"}, m)
	require.NoError(t, os.WriteFile(dir.Fence("b"), []byte("torn"), 0o600))
	marked, err = Marked(dir)
	require.NoError(t, err)
	require.Equal(t, []messages.InstanceID{"a", "b"}, marked)
	require.NoError(t, Unfence(dir, "a"))
	require.NoError(t, Unfence(dir, "a"))
	marked, err = Marked(dir)
	require.NoError(t, err)
	require.Equal(t, []messages.InstanceID{"b"}, marked)
	require.Error(t, Fence(dir, "../x", Mark{}))
	require.NoError(t, os.WriteFile(filepath.Join(string(dir), "file"), nil, 0o600))
	err = Fence(messages.StateDir(filepath.Join(string(dir), "file")), "a", Mark{})
	require.True(t, err != nil && strings.Contains(err.Error(), "must not be started"))
}
