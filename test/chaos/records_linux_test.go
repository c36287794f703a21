package chaos

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRecordsThatAreCutEmptiedOrDeletedDoNotLoseAProcess: reality wins over records.
func TestRecordsThatAreCutEmptiedOrDeletedDoNotLoseAProcess(t *testing.T) { // 90, 91
	t.Parallel()
	damage := map[string]func(string) error{
		"cut": func(path string) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return os.Truncate(path, info.Size()/2)
		},
		"emptied": func(path string) error { return os.Truncate(path, 0) },
		"deleted": os.Remove,
		"flipped": func(path string) error {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text[len(text)/2] ^= 4
			return os.WriteFile(path, text, 0o600)
		},
		"dir": func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Mkdir(path, 0o700)
		},
	}
	w := newWorld(t)
	for how := range damage {
		w.declare(app{id: how}, Control{})
	}
	w.declare(app{id: "nodir"}, Control{})
	w.write()
	w.start().up()
	w.converge(nil)
	before := w.processes()
	w.daemon.kill()
	for how, do := range damage {
		for _, name := range []string{"run.json", "memory.json", "output.json"} {
			path := filepath.Join(w.state, "instances", how, name)
			if err := do(path); err != nil && !os.IsNotExist(err) {
				require.NoError(t, err, "%s %s", how, name)
			}
		}
	}
	require.NoError(t, os.RemoveAll(filepath.Join(w.state, "instances", "nodir")))
	w.start().up()
	out := w.converge(nil)
	w.judge(out)
	require.Equal(t, before, w.processes())
	// And once more, with what was written now.
	w.again()
	w.converge(nil)
	require.Equal(t, before, w.processes())
}

func TestAStateDirectoryDeletedUnderTheManagerLosesNoProcess(t *testing.T) { // 91
	t.Parallel()
	w := one(t, app{}, Control{})
	before := w.processes()
	// The event log is made anew with the next event, which may come while the directory is being removed.
	w.eventually(5*time.Second, "the directory is gone", func() bool { return os.RemoveAll(w.state) == nil })
	w.daemon.kill()
	w.start().up()
	w.judge(w.converge(nil))
	require.Equal(t, before, w.processes())
	w.daemon.mustDo("restart", "a")
	w.eventually(5*time.Second, "a second run", func() bool { l, _ := w.newest("a"); return l.Run == 2 })
	w.judge(w.converge(nil))
}
