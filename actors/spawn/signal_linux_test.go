package spawn

import (
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/actors"
	"procman/messages"
)

func TestASignalReachesTheGroupOfTheRunAndEndsNothingThatHandlesIt(t *testing.T) {
	t.Parallel()
	const script = `trap 'echo leader' USR1; (trap 'echo member' USR1; echo up; while :; do sleep 0.05; done) &
		(setsid sh -c 'trap "echo away" USR1; echo up; while :; do sleep 0.05; done' &); echo up; while :; do sleep 0.05; done`
	for _, old := range []bool{false, true} { // as before Linux 6.9
		s := opened(t, stateDir(t))
		s.old = old
		p := spawned(t, s, shell(script))
		eventually(t, "all are there", func() bool { return strings.Count(output(t, s), "up") == 3 })
		require.NoError(t, p.(actors.Sender).Send(syscall.SIGUSR1))
		eventually(t, "both have it", func() bool {
			return strings.Contains(output(t, s), "leader") && strings.Contains(output(t, s), "member")
		})
		require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
		p.Wait()
		eventually(t, "nobody is left", func() bool { return s.unlocked("a") })
		require.NotContains(t, output(t, s), "away")
		var gone *messages.GoneError
		require.ErrorAs(t, p.(actors.Sender).Send(syscall.SIGUSR1), &gone)
	}
}

func TestWhoIsAwayIsAskedByTheSignalOfThePolicyOnce(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	p := spawned(t,
		s,
		shell(
			`(setsid sh -c 'n=0; trap "n=\$((n+1)); echo asked \$n" USR1; echo up; while :; do sleep 0.05; done' &); sleep 300 & trap "exit 0" USR1; echo up; wait`))
	eventually(t, "both are there", func() bool { return strings.Count(output(t, s), "up") == 2 })
	require.NoError(t, p.Signal(syscall.SIGUSR1, messages.LeftoversEnd))
	require.NoError(t, p.Signal(syscall.SIGCONT, messages.LeftoversEnd))
	require.Equal(t, 0, p.Wait().Code)
	eventually(t, "it was asked", func() bool { return strings.Contains(output(t, s), "asked 1") })
	require.NoError(t, p.Signal(syscall.SIGUSR1, messages.LeftoversEnd))
	require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
	eventually(t, "nobody is left", func() bool { return s.unlocked("a") })
	require.NotContains(t, output(t, s), "asked 2")
}
