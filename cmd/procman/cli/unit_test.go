package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// unit is a unit file that is shipped.
type unit struct {
	path string
	text string
}

// units returns the unit files, those of the system first.
func units(t *testing.T) []unit {
	t.Helper()
	var all []unit
	for _, path := range []string{"../deploy/procman.service", "../deploy/user/procman.service"} {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		all = append(all, unit{path, string(text)})
	}
	return all
}

// value returns what a key is set to in the end.
func (u unit) value(key string) (value string) {
	for line := range strings.Lines(u.text) {
		if v, found := strings.CutPrefix(strings.TrimSpace(line), key+"="); found {
			value = v
		}
	}
	return value
}

// readBy returns the unit as a systemd of that version reads it: what is newer, it passes over with a warning.
func (u unit) readBy(version int) string {
	newer := map[string]int{
		"Type=notify-reload": 253, "RestartSteps=": 254, "RestartMaxDelaySec=": 254,
		"FileDescriptorStorePreserve=": 254, "DelegateSubgroup=": 254,
	}
	var lines []string
	for line := range strings.Lines(u.text) {
		known := true
		for start, since := range newer {
			known = known && (!strings.HasPrefix(line, start) || since <= version)
		}
		if known {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func TestSystemdFindsNothingWrongWithTheUnits(t *testing.T) {
	t.Parallel()
	real(t)
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	answer, err := exec.Command(analyze, "--version").Output()
	require.NoError(t, err)
	version := 0
	_, err = fmt.Sscanf(string(answer), "systemd %d", &version)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)

	verify := func(u unit, text string) string {
		dir := t.TempDir()
		path := filepath.Join(dir, "procman.service")
		text = regexp.MustCompile(`(?m)^ExecStart=\S+`).ReplaceAllString(text, "ExecStart="+self)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		args := []string{"verify", "--recursive-errors=no", path}
		if strings.Contains(u.path, "user") {
			args = slices.Insert(args, 1, "--user")
		}
		cmd := exec.Command(analyze, args...)
		cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+dir)
		said, err := cmd.CombinedOutput()
		if err != nil && len(said) == 0 {
			return err.Error()
		}
		return string(said)
	}
	for _, u := range units(t) {
		require.Empty(t, verify(u, u.readBy(version)), u.path)
		require.Contains(t, verify(u, strings.Replace(u.text, "KillMode=process", "KillMod=process", 1)), "KillMod",
			"this test can fail")
	}
}
