package spawn

import (
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/actors/kernel"
	"procman/messages"
)

func TestAManagersProtectionFromTheOOMKillerIsNotTheInstances(t *testing.T) { // 19
	own := newOOMScore("/proc", slog.New(slog.DiscardHandler))
	require.Zero(t, own.own, "these tests run unprotected")
	s := opened(t, messages.StateDir(t.TempDir()))
	var mu sync.Mutex
	var set []int
	s.oom.own = -500
	s.oom.set = func(v int) error {
		mu.Lock()
		defer mu.Unlock()
		set = append(set, v)
		return nil
	}
	first, second := s.forks(), s.forks()
	first()
	require.Equal(t, []int{0}, set, "another start is under way")
	second()
	require.Equal(t, []int{0, -500}, set)
	p, err := s.Spawn(t.Context(), messages.Launch{App: sleeper("a"), Run: 1})
	require.NoError(t, err)
	require.Equal(t, []int{0, -500, 0, -500}, set)
	require.NoError(t, p.Signal(unix.SIGKILL, messages.LeftoversEnd))
	p.Wait()
}

// What the kernel does, where it lets us have a protection at all.
func TestTheProtectionIsGivenUpAndHadBack(t *testing.T) {
	const path = "/proc/self/oom_score_adj"
	if err := os.WriteFile(path, []byte("-10"), 0); err != nil {
		t.Skip("no protection can be had here: ", err)
	}
	defer func() { require.NoError(t, os.WriteFile(path, []byte("0"), 0)) }()
	o := newOOMScore(kernel.Procfs("/proc"), slog.New(slog.DiscardHandler))
	for _, step := range []struct {
		do   func()
		want string
	}{{o.giveUp, "0"}, {o.regain, "-10"}} {
		step.do()
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, step.want, strings.TrimSpace(string(text)))
	}
}
