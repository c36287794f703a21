package cli

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/test/fake"
)

func TestAHookIsToldOfAnInstanceThatFailsAndDiesWithADaemonThatIsKilledAndIsNeverTakenForAnInstance(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hook := filepath.Join(dir, "hook")
	require.NoError(t, fake.Executable(hook, []byte("#!/bin/sh\ncat > "+dir+"/payload.new\necho $$ > "+dir+"/pid\nmv "+
		dir+"/payload.new "+dir+"/payload\nexec sleep 600\n")))
	s := newSite(t, "hooks: [{on: failed, command: ['"+hook+"', '{id}'], timeout: 10m}]", "a: serve",
		"b: fail; restart: {mode: never}")
	d := s.run()
	s.ok("wait", "a")
	s.eventually("the hook is told",
		func() bool { _, err := os.Stat(filepath.Join(dir, "payload")); return err == nil })
	payload, err := os.ReadFile(filepath.Join(dir, "payload"))
	require.NoError(t, err)
	require.Contains(t, string(payload), `"hook":"failed"`)
	require.Contains(t, string(payload), `"instance":"b"`)
	require.Contains(t, string(payload), "exited with code 3")
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, 0), "it lives, and nobody waits for it")
	require.NoError(t, d.cmd.Process.Kill())
	d.ends()
	s.eventually("it is gone", func() bool {
		stat, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(text)), "stat"))
		_, rest, _ := strings.Cut(string(stat), ") ")
		return err != nil || strings.HasPrefix(rest, "Z")
	})
	s.run()
	s.ok("wait", "a", "--timeout", (time.Minute).String())
	require.True(t, s.instance("a").Adopted)
	require.NotEqual(t, pid, s.instance("b").PID)
}
