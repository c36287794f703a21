package chaos

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
)

// judgeOutput checks I6 for every instance that ever wrote. It waits for what is on its way. What a run left when it
// ended while no daemon lived is forwarded with the next run: so the end of a file must have been forwarded only where
// a process lives.
func (w *world) judgeOutput() {
	w.Helper()
	dirs, err := os.ReadDir(filepath.Join(w.state, "instances"))
	require.NoError(w, err)
	lives, run := w.lives(), w.processes()
	written := map[string]int{} // lines that must have been forwarded
	for _, dir := range dirs {
		if _, runs := run[dir.Name()]; runs {
			written[dir.Name()] = len(w.stdout(dir.Name()))
		}
	}
	deadline := time.Now().Add(inTime(5 * time.Second))
	for {
		forwarded := w.forwarded()
		var wrong violations
		late := false
		for _, dir := range dirs {
			id := dir.Name()
			file := w.stdout(id) // read after the log: it has all that was forwarded
			over := slices.DeleteFunc(Of(lives, id), func(l Life) bool { return l.Ended == 0 })
			found := append(FileWhole(id, file, over), ForwardedWhole(id, file, forwarded[id], 0)...)
			if len(found) == 0 {
				if found = ForwardedWhole(id, file, forwarded[id], written[id]); len(found) > 0 {
					late = true
				}
			}
			wrong = append(wrong, found...)
		}
		if len(wrong) == 0 {
			return
		}
		if !late || time.Now().After(deadline) {
			w.fail(wrong)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stdout returns the numbered lines that stand in an instance's file.
func (w *world) stdout(id string) []Line {
	w.Helper()
	text, err := os.ReadFile(filepath.Join(w.state, "instances", id, "stdout.log"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	require.NoError(w, err)
	lines, err := ParseFile(text)
	require.NoError(w, err, "I6: %s", id)
	return lines
}

// forwarded returns what all daemons of this world forwarded, by instance.
func (w *world) forwarded() map[string][]Forwarded {
	w.Helper()
	for n := len(w.parsed) + 1; n < w.managers; n++ { // dead: their log does not change any more
		w.parsed = append(w.parsed, w.parse(n))
	}
	all := map[string][]Forwarded{}
	for _, parsed := range append(w.parsed, w.parse(w.managers)) {
		for id, lines := range maps.All(parsed) {
			all[id] = append(all[id], lines...)
		}
	}
	return all
}

func (w *world) parse(manager int) map[string][]Forwarded {
	w.Helper()
	log, err := os.ReadFile(w.logOf(manager))
	require.NoError(w, err)
	into := map[string][]Forwarded{}
	require.NoError(w, ParseForwarded(log, manager, into), "I6: manager %d", manager)
	return into
}
