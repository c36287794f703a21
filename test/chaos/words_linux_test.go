package chaos

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestTheLastWordsOfARunAreForwardedAsItsOwn: run after run begins under a manager that dies soon after, and ends while
// none lives.
func TestTheLastWordsOfARunAreForwardedAsItsOwn(t *testing.T) { // 88
	t.Parallel()
	w := newWorld(t)
	w.declare(app{id: "a"}, Control{Flood: 3})
	w.write()
	for run := 1; run <= 4; run++ {
		w.start().up()
		var l Life
		w.eventually(5*time.Second, "the next run",
			func() bool { l, _ = w.newest("a"); return l.Run == run && l.Listening > 0 })
		w.eventually(5*time.Second, "its lines are forwarded", func() bool {
			all := w.forwarded()["a"]
			return len(all) > 0 && all[len(all)-1].Run == run
		})
		w.daemon.kill()
		require.True(t, signalProcess(l.Process, unix.SIGKILL))
		w.gone(l.Process)
	}
	w.start().up()
	w.converge(nil)
	w.judgeOutput()
	for _, f := range w.forwarded()["a"] {
		require.False(t, f.Foreign, "line %d of process %d, run %d, was forwarded by manager %d as another run's",
			f.Seq, f.PID, f.Run, f.Manager)
	}
}

// TestALineIsForwardedBeforeItsPlaceIsSaved: whoever reads the daemon's log is slow, and so it waits in the daemon when
// that is killed. The next one has to forward it again.
func TestALineIsForwardedBeforeItsPlaceIsSaved(t *testing.T) { // 88
	t.Parallel()
	w := newWorld(t)
	w.declare(app{id: "a"}, Control{Flood: 3000})
	w.write()
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer read.Close()
	_, err = unix.FcntlInt(write.Fd(), unix.F_SETPIPE_SZ, 4096)
	require.NoError(t, err)
	w.stderr = write
	w.start().up().healthy("a")
	require.NoError(t, write.Close())
	time.Sleep(1500 * time.Millisecond) // long enough for a place to be saved
	w.daemon.kill()
	log, err := io.ReadAll(read)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(w.logOf(1), log, 0o600))
	w.stderr = nil
	w.start().up()
	w.converge(nil)
	w.judgeOutput()
}
