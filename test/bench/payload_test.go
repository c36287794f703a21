package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBothPayloadsNoteWhatTheyDoAndAnswerAndEndAtTERM(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the clock is Linux's")
	}
	for name, cc := range map[string]string{"C": compiler(), "Go": ""} {
		t.Run(name, func(t *testing.T) {
			if name == "C" && cc == "" {
				t.Skip("no C compiler")
			}
			ctx, end := context.WithTimeout(context.Background(), 2*time.Minute)
			defer end()
			b := &bench{dir: t.TempDir()}
			missing, err := b.build(ctx, cc, []binary{{name: "procman", path: "/dev/null"}})
			require.NoError(t, err)
			require.Equal(t, cc == "", missing != "", "without a compiler it is said what is missing")
			board, err := newBoard(filepath.Join(b.dir, "board"), 2)
			require.NoError(t, err)
			defer func() { require.NoError(t, board.close()) }()
			port, err := free(20000, 32000, 1)
			require.NoError(t, err)
			begin := func(more ...string) *process {
				cmd := exec.Command(b.payload, append([]string{"-port", fmt.Sprint(port), "-board", board.path,
					"-slot", "app-00001"}, more...)...)
				p, err := newFamily().launch(cmd)
				require.NoError(t, err)
				t.Cleanup(func() { _ = p.signal(syscall.SIGKILL); <-p.done }) // it has ended, mostly
				return p
			}

			p := begin("-exit")
			_, err = p.wait(ctx)
			require.NoError(t, err)
			require.Equal(t, 1, p.cmd.ProcessState.ExitCode())

			p = begin("-flood", "20")
			s := &board.slots[1]
			require.NoError(t, until(ctx, "it does not listen", time.Millisecond,
				func() (bool, error) { return s.listening.Load() != 0, nil }))
			require.EqualValues(t, 2, s.runs.Load())
			require.EqualValues(t, p.pid(), s.pid.Load())
			require.Greater(t, s.began.Load(), uint64(p.began))
			require.GreaterOrEqual(t, time.Duration(s.writing.Load()), 20*time.Millisecond)
			require.Positive(t, s.written.Load())
			require.Zero(t, board.slots[0].runs.Load(), "it keeps to its slot")
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for range 2 {
				response, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/any", port))
				require.NoError(t, err)
				require.NoError(t, response.Body.Close())
				require.Equal(t, http.StatusOK, response.StatusCode)
			}
			require.NoError(t, p.signal(os.Signal(syscall.SIGTERM)))
			_, err = p.wait(ctx)
			require.NoError(t, err)
			require.Zero(t, p.cmd.ProcessState.ExitCode())
		})
	}
}
