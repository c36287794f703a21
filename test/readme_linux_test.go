package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/test/fake"
)

// TestTheHostProgramOfTheReadmeRunsAsItStands builds it, and runs it beside a servicehost that is this test binary.
func TestTheHostProgramOfTheReadmeRunsAsItStands(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, chapter, found := strings.Cut(string(text), "\n## Embed\n")
	require.True(t, found)
	_, rest, found := strings.Cut(chapter, "```go\n")
	require.True(t, found)
	body, _, found := strings.Cut(rest, "```")
	require.True(t, found)

	dir := t.TempDir()
	program := filepath.Join(dir, "host")
	require.NoError(t, os.WriteFile(program+".go", []byte(`package main

import (
	"context"
	"fmt"
	"log"

	"procman/supervisor"
	"procman/supervisor/engine"
)

func main() {
`+body+`
	if err := e.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
}
`), 0o600))
	build := fake.Program(program, program+".go")
	build.Dir = ".." // the file is compiled as one of this module
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	self, err := os.Executable()
	require.NoError(t, err)
	for path, text := range map[string]string{
		"dist/bin/servicehost": "#!/bin/sh\n" + fake.ServerVariable + "=1 exec " + self + " \"$@\"\n",
		"apps/users.wasm":      "",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755))
		require.NoError(t, fake.Executable(filepath.Join(dir, path), []byte(text)))
	}
	host := exec.Command(program)
	host.Dir = dir
	said, err := host.Output()
	require.NoError(t, err)
	require.Regexp(t, `^users is healthy on port 3\d{4}\n$`, string(said))
}
