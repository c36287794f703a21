package spawn

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/actors"
	"procman/actors/record"
	"procman/messages"
)

func TestAManagerThatHasTheDirectoryKeepsOthersOut(t *testing.T) {
	t.Parallel() // it waits
	dir := stateDir(t)
	m := predecessor(t, "manager", order{Dir: dir, Launches: []messages.Launch{{App: sleeper("a"), Run: 1}}})
	_, err := Open(dir, Options{})
	require.ErrorIs(t, err, ErrInUse)
	require.Contains(t, err.Error(), string(dir))
	require.Contains(t, err.Error(), fmt.Sprintf("process %d", m.cmd.Process.Pid))
	m.kill()
	opened(t, dir)
}

func TestALockThatIsHeldForAnInstantIsWaitedFor(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	require.NoError(t, os.MkdirAll(string(dir), 0o700))
	f, err := os.Create(dir.Lock())
	require.NoError(t, err)
	require.NoError(t, tryLock(f, unix.LOCK_EX))
	free := time.AfterFunc(50*time.Millisecond, func() { f.Close() })
	defer free.Stop()
	opened(t, dir)
}

func TestOneStateDirectoryHasOneName(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	pid := orphaned(t, dir, sleeper("a"))
	link := t.TempDir() + "/link"
	require.NoError(t, os.Symlink(string(dir), link))
	require.Equal(t, pid, adopted(t, opened(t, messages.StateDir(link+"/."))).PID())
}

func TestCloseTouchesNoProcessAndEndsEveryWait(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := opened(t, dir)
	p := spawned(t, s, sleeper("a"))
	got := make(chan messages.Exit)
	go func() { got <- p.Wait() }()
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	exit := <-got
	require.Equal(t, messages.ReasonUnknown, exit.Unasked())
	require.False(t, exit.Known)
	require.True(t, alive(p.PID()))
	require.ErrorIs(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd), ErrClosed)
	require.True(t, alive(p.PID()))
	_, err := s.Adopt(t.Context(), "a", actors.AnyRun)
	require.ErrorIs(t, err, ErrClosed)
	_, err = s.Spawn(t.Context(), messages.Launch{App: sleeper("b"), Run: 1})
	require.ErrorIs(t, err, ErrClosed)
	_, err = s.Survivors(t.Context())
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, s.Remember(messages.Memory{ID: "a"}), ErrClosed)
	var r runRecord
	require.NoError(t, record.Read(dir.Run("a"), runKind, &r))
	require.Nil(t, r.Exit, "it has not ended")
	require.Equal(t, p.PID(), adopted(t, opened(t, dir)).PID())
}

func TestAStateDirectoryDeletedUnderTheManagerIsTakenAnew(t *testing.T) {
	t.Parallel() // it waits
	dir := stateDir(t)
	var log journal
	s := openedWith(t, dir, Options{Logger: log.logger()})
	first := spawned(t, s, sleeper("a"))
	require.NoError(t, os.RemoveAll(string(dir)))
	b := sleeper("b")
	spawned(t, s, b)
	require.Contains(t, log.String(), "deleted or replaced under the manager")
	_, err := Open(dir, Options{})
	require.ErrorIs(t, err, ErrInUse)
	require.NoError(t, s.Remember(messages.Memory{ID: "a"}))
	require.NoError(t, s.Close())
	found := survivors(t, opened(t, dir))
	require.Equal(t, first.PID(), found["a"].PID)
	require.True(t, found["b"].Alive)
}

func TestAStateDirectoryTakenByAnotherManagerIsLeftToIt(t *testing.T) {
	t.Parallel() // it waits
	dir := stateDir(t)
	s := opened(t, dir)
	require.NoError(t, os.RemoveAll(string(dir)))
	opened(t, dir)
	_, err := s.Spawn(t.Context(), messages.Launch{App: sleeper("a"), Run: 1})
	var start *messages.StartError
	require.ErrorAs(t, err, &start)
	require.Equal(t, messages.FaultStateDir, start.Fault)
	require.ErrorIs(t, err, ErrInUse)
}

func TestALockThatIsNotThatOfTheDirectoryAnyMoreEndsNoManager(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := opened(t, dir)
	handed, err := s.Handover()
	require.NoError(t, err)
	require.NoError(t, s.Close())
	moved := dir + ".moved"
	require.NoError(t, os.Rename(string(dir), string(moved)))
	next, err := Open(dir, Options{Lock: handed})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, next.Close()) })
	for _, taken := range []messages.StateDir{dir, moved} {
		_, err := Open(taken, Options{})
		require.ErrorIs(t, err, ErrInUse, "what it locks may have moved, and has this manager")
	}
}

func TestWhatRunsIsPutOnRecordAgainWhenItsDirectoryIsReplaced(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := opened(t, dir)
	spawned(t, s, sleeper("a"))
	require.NoError(t, os.Rename(string(dir), string(dir)+".moved"))
	require.NoError(t, s.Keep())
	eventually(t, "its record is there", func() bool { _, err := os.Stat(dir.Run("a")); return err == nil })
}
