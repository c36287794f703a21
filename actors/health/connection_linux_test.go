package health

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestAConnectionThatIsAcceptedIsHealthyIfItIsTheInstancesOwn(t *testing.T) {
	t.Parallel()
	inEveryWay(t, func(t *testing.T, ask asker) {
		tcp := func(pid, port int) messages.Target {
			return messages.Target{ID: "a", PID: pid, Port: port,
				Policy: messages.HealthPolicy{Kind: messages.HealthTCP, Path: "/", Timeout: 5 * time.Second}}
		}
		c := New(Options{Owner: true, Concurrency: 9})
		pid, port := startServer(t, "127.0.0.1:0", "")
		p := ask(c, tcp(pid, port))
		require.True(t, p.OK, p.Error)
		require.Zero(t, p.Status)

		p = ask(c, tcp(sleeper(t), port))
		require.False(t, p.OK)
		require.Contains(t, p.Error, "is answered by another process")
		require.True(t, p.Conflict)

		_, port6 := startServer(t, "[::1]:0", "")
		require.True(t, ask(New(Options{}), tcp(0, port6)).OK)

		p = ask(c, tcp(pid, unusedPort(t)))
		require.False(t, p.OK)
		require.True(t, strings.HasPrefix(p.Error, "connection refused") ||
			strings.Contains(p.Error, "listens on"), p.Error)
	})
}
