package output

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// talker is a process that writes to its standard output what it is told to.
type talker struct {
	pid  int
	in   io.WriteCloser
	stop func()
}

func (h *house) talker() *talker {
	h.t.Helper()
	stdout, err := os.OpenFile(h.dir.Stdout(web), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	require.NoError(h.t, err)
	defer stdout.Close()
	cmd := exec.Command("cat")
	cmd.Stdout = stdout
	in, err := cmd.StdinPipe()
	require.NoError(h.t, err)
	require.NoError(h.t, cmd.Start())
	p := &talker{pid: cmd.Process.Pid, in: in}
	ended := false
	p.stop = func() {
		if !ended {
			ended = true
			require.NoError(h.t, in.Close())
			require.NoError(h.t, cmd.Wait())
		}
	}
	h.t.Cleanup(p.stop)
	return p
}

func (p *talker) say(t *testing.T, text string) {
	t.Helper()
	_, err := p.in.Write([]byte(text))
	require.NoError(t, err)
}

// F151: after mv or rm of stdout.log `logs` was silent and empty, and the old file grew without bound.
func TestAFileThatWasMovedOrRemovedIsFollowedReadAndBoundedWhereTheProcessWrites(t *testing.T) {
	for name, change := range map[string]func(h *house){
		"moved":   func(h *house) { require.NoError(h.t, os.Rename(h.dir.Stdout(web), h.dir.Stdout(web)+".1")) },
		"removed": func(h *house) { require.NoError(h.t, os.Remove(h.dir.Stdout(web))) },
		"replaced": func(h *house) {
			require.NoError(h.t, os.Rename(h.dir.Stdout(web), h.dir.Stdout(web)+".1"))
			require.NoError(h.t, os.WriteFile(h.dir.Stdout(web), []byte("not of the process\n"), 0o600))
		},
		"a link": func(h *house) {
			require.NoError(h.t, os.Rename(h.dir.Stdout(web), h.dir.Stdout(web)+".1"))
			require.NoError(h.t, os.Symlink("/etc/hostname", h.dir.Stdout(web)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			var told []string
			moved := func(id messages.InstanceID, run, pid int, why string) { told = append(told, string(id)+": "+why) }
			h := newHouse(t, t.TempDir(), Options{Forward: true, MaxSize: minMaxSize, Moved: moved})
			p := h.talker()
			f := h.out.Follow(web, 1, p.pid)
			p.say(t, "before\n")
			h.rec.await(t, 1, 0)
			change(h)
			p.say(t, "after\n")
			h.rec.await(t, 2, 1)
			require.Equal(t, []string{"before", "after"}, h.rec.texts("stdout"))
			require.Equal(t, []string{"before", "after"}, h.readTexts(messages.OutputQuery{Lines: -1}))
			require.Len(t, told, 1)
			require.Contains(t, told[0], "web: stdout.log was moved or removed, and the process writes on into what "+
				"was there")
			line := strings.Repeat("x", 1023) + "\n"
			for n := range 12 {
				p.say(t, strings.Repeat(line, 16))
				h.rec.await(t, 2+16*(n+1), 1)
			}
			p.say(t, "last\n")
			p.stop()
			f.Stop()
			require.Equal(t, "last", h.rec.texts("stdout")[2+12*16], "also what it wrote last")
			kept := h.readTexts(messages.OutputQuery{Lines: -1})
			require.Less(t, len(kept), 100, "it is bounded")
			require.Equal(t, "last", kept[len(kept)-1])

			// The next run makes a new file, which counts from then on.
			require.NoError(t, os.RemoveAll(h.dir.Stdout(web)))
			require.NoError(h.t, h.out.Begin(context.Background(), web))
			next := h.talker()
			f = h.out.Follow(web, 2, next.pid)
			next.say(t, "anew\n")
			h.rec.await(t, 2+12*16+2, 1)
			next.stop()
			f.Stop()
			require.Equal(t, []string{"anew"}, h.readTexts(messages.OutputQuery{Lines: -1}))
			require.Len(t, told, 1)
		})
	}
}

func TestAProcessThatWritesElsewhereByItselfIsLeftAlone(t *testing.T) {
	own := filepath.Join(t.TempDir(), "own.log")
	h := newHouse(t, t.TempDir(), Options{Forward: true})
	h.stdout("before\n")
	stdout, err := os.Create(own)
	require.NoError(t, err)
	defer stdout.Close()
	cmd := exec.Command("sleep", "30")
	cmd.Stdout = stdout
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	h.out.Follow(web, 1, cmd.Process.Pid)
	h.rec.await(t, 1, 0)
	require.NoError(t, os.Remove(h.dir.Stdout(web)))
	h.rec.await(t, 1, 1)
	require.Contains(t, h.rec.others()[0], "output file is gone")
	_, err = stdout.WriteString("its own\n")
	require.NoError(t, err)
	require.Empty(t, h.readTexts(messages.OutputQuery{Lines: -1}))
}

// F158: the end of a process is reported before its last words have been forwarded, and then everything is closed.
func TestTheLastWordsOfProcessesThatAreGoneAreForwardedBeforeTheEnd(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{Forward: true})
	h.stdout("first\n")
	h.out.Follow(web, 1, gonePID(t))
	h.rec.await(t, 1, 0)
	var last strings.Builder
	for range 3000 {
		last.WriteString(strings.Repeat("y", 1000) + "\n")
	}
	h.stdout(last.String() + "end")
	require.NoError(t, h.out.Close())
	texts := h.rec.texts("stdout")
	require.Len(t, texts, 3002)
	require.Equal(t, "end", texts[3001], "also what has no line end")
}
