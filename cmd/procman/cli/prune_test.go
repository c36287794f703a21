package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestPruneRemovesWhatLeftTheListAndNothingElse(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: serve", "c: serve")
	s.run()
	s.ok("stop", "c", "--wait")
	text, err := os.ReadFile(s.config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.config, text[:strings.Index(string(text), "  - id: b")], 0o600))
	s.ok("reload")
	directory := func(id string) string { return filepath.Join(s.dir, "state", "instances", id) }
	s.eventually("b to be gone", func() bool { return len(s.status().Instances) == 1 })
	s.eventually("b to be known no more", func() bool { return strings.Contains(s.ok("prune"), "b: removed\n") })
	require.NoDirExists(t, directory("b"))
	require.DirExists(t, directory("a"), "it runs")
	require.DirExists(t, directory("c"), "it is held, and may come back")
	require.Equal(t, "nothing to remove\n", s.ok("prune"))
	require.Len(t, s.events(messages.OutputRemoved), 1)
}
