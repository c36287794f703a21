package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/cmd/procman/daemon"
)

func TestEveryCommandHasAManualPageThatManIsPleasedWith(t *testing.T) {
	t.Parallel()
	real(t)
	dir := t.TempDir()
	var stderr strings.Builder
	require.Zero(t, Main([]string{"man", dir}, os.Stdout, &stderr, func(string) string { return "" }, nil),
		stderr.String())
	root := (&app{Options: daemon.Options{Env: os.Getenv}}).root()
	for _, cmd := range root.Commands() {
		page := filepath.Join(dir, "procman-"+cmd.Name()+".1")
		if !cmd.IsAvailableCommand() {
			require.NoFileExists(t, page)
			continue
		}
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		require.Contains(t, string(text), cmd.Short)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.[15]"))
	require.NoError(t, err)
	require.Contains(t, pages, filepath.Join(dir, "procman.yaml.5"))
	man, err := exec.LookPath("man")
	if err != nil {
		t.Skip("man is not installed; the pages were not rendered")
	}
	for _, page := range pages {
		render := exec.Command(man, "--warnings", "-l", page)
		var warnings strings.Builder
		render.Stderr = &warnings
		render.Env = append(os.Environ(), "MANPAGER=cat", "MANWIDTH=100")
		out, err := render.Output()
		require.NoError(t, err)
		require.Contains(t, string(out), "SYNOPSIS")
		require.Empty(t, warnings.String(), page)
	}
}

func TestTheSameProgramWritesTheSamePages(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	for _, dir := range []string{one, two} {
		require.Zero(t, Main([]string{"-q", "man", dir}, os.Stdout, os.Stderr, func(string) string { return "" }, nil))
	}
	a, err := os.ReadFile(filepath.Join(one, "procman-run.1"))
	require.NoError(t, err)
	b, err := os.ReadFile(filepath.Join(two, "procman-run.1"))
	require.NoError(t, err)
	require.Equal(t, string(a), string(b))
	require.NotZero(t, Main([]string{"man", filepath.Join(one, "nowhere")}, os.Stdout, os.Stderr,
		func(string) string { return "" }, nil))
}

func TestTheCompletionScriptsAreAcceptedByTheirShells(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var script strings.Builder
		require.Zero(t, Main([]string{"completion", shell}, &script, os.Stderr, os.Getenv, nil))
		path, err := exec.LookPath(shell)
		if err != nil {
			continue // its script was written, and nobody here can judge it
		}
		file := filepath.Join(t.TempDir(), "procman")
		require.NoError(t, os.WriteFile(file, []byte(script.String()), 0o600))
		out, err := exec.Command(path, "-n", file).CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

func TestCompletionKnowsTheInstancesAndTheWordsOfFlags(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "web: serve", "worker: serve")
	complete := func(words ...string) []string {
		out := s.call(append([]string{"__complete"}, words...)...).stdout
		var found []string
		for line := range strings.Lines(out) {
			if !strings.HasPrefix(line, ":") {
				word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
				found = append(found, word)
			}
		}
		return found
	}
	require.Empty(t, complete("-c", s.config, "why", "w"), "without a daemon there is nothing to offer")
	s.run()
	require.Equal(t, []string{"web", "worker"}, complete("-c", s.config, "why", "w"))
	require.Equal(t, []string{"worker"}, complete("-c", s.config, "logs", "-f", "wo"))
	require.Equal(t, []string{"running", "healthy", "stopped"}, complete("wait", "--for", ""))
	require.Equal(t, []string{"stdout", "stderr"}, complete("logs", "--stream", ""))
	require.Equal(t, []string{"table", "wide", "json", "jsonl"}, complete("status", "-o", ""))
	require.Contains(t, complete("comp"), "completion")
}
