package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor/api"
	"procman/supervisor/config"
	"procman/test/fake"
)

// configured writes a configuration into a directory of its own, and loads it.
func configured(t *testing.T, text string) *config.File {
	t.Helper()
	dir, err := os.MkdirTemp("", "pm") // for a socket the name must be short
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	path := filepath.Join(dir, "procman.yaml")
	require.NoError(t, os.WriteFile(path, []byte("state_dir: state\n"+text), 0o600))
	file, err := config.Load(path)
	require.NoError(t, err)
	return file
}

// unaware are options without an environment.
func unaware() *Options { return &Options{Env: func(string) string { return "" }} }

func TestASupervisorThatEndsByItselfIsAFailure(t *testing.T) {
	t.Parallel()
	file := configured(t, "instances: []")
	var records fake.Journal
	log := newLog(&records, file.Log, false, false)
	d, err := open(file.Path, file, log, handover{Options: unaware()})
	require.NoError(t, err)
	go func() { _ = d.supervisor.Detach(t.Context()) }() // not by way of the daemon
	require.ErrorContains(t, d.live(nil), "ended by itself")
	require.NoError(t, d.close())
	log.Close()
	require.Contains(t, records.String(), `"msg":"manager failed`)
	require.Contains(t, records.String(), `"msg":"manager stopped"`)
}

func TestADaemonThatStandsInGoesOnWithoutASocketUntilItCanHaveOne(t *testing.T) {
	t.Parallel()
	file := configured(t, "instances: []")
	require.NoError(t, os.MkdirAll(file.Socket, 0o700))
	var records fake.Journal
	log := newLog(&records, file.Log, false, false)
	_, err := open(file.Path, file, log, handover{Options: unaware()})
	require.ErrorContains(t, err, "not a socket", "one that is started by somebody tells him")
	in := unaware()
	in.standsIn = true
	d, err := open(file.Path, file, log, handover{Options: in})
	require.NoError(t, err)
	require.NoError(t, os.Remove(file.Socket))
	client := api.NewClient(file.Socket)
	defer client.Close()
	require.Eventually(t, func() bool { _, err := client.Instances(t.Context()); return err == nil }, time.Minute,
		10*time.Millisecond, "it answers")
	d.endAs(api.ModeLeave, "the test")
	require.NoError(t, d.live(nil))
	require.NoError(t, d.close())
	log.Close()
}

// FAULTS 18: the first time as on_shutdown says, the second time at once and in order, the third time at once.
func TestAThirdTermDoesNotEvenCloseTheParts(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	file := configured(t, fmt.Sprintf("executable: %s\nports: {range: 61040-61069}\nhealth: {interval: 200ms}\nstop: "+
		"{grace: 1h}\n"+
		"instances: [{id: a, args: [deaf], env: {TEST_CHILD: deaf}}]", self))
	var records fake.Journal
	log := newLog(&records, file.Log, false, false)
	d, err := open(file.Path, file, log, handover{Options: unaware()})
	require.NoError(t, err)
	var a messages.Status
	require.Eventually(t, func() bool {
		all, err := d.supervisor.Status(t.Context())
		if err == nil && len(all) == 1 {
			a = all[0]
		}
		return a.Phase == messages.Running
	}, 10*time.Second, 10*time.Millisecond, "it runs")
	defer func() { require.NoError(t, syscall.Kill(a.PID, syscall.SIGKILL)) }()
	told := make(chan os.Signal, maxTerms)
	for range maxTerms {
		told <- syscall.SIGTERM
	}
	err = d.live(told)
	require.ErrorIs(t, err, errAbandoned)
	require.Zero(t, lastWords(err), "it waits for nobody")
	<-d.supervisor.Done()
	d.end.Wait()
	require.NoError(t, d.close())
	require.NoError(t, syscall.Kill(a.PID, 0), "it lives")
	log.Close()
	require.Contains(t, records.String(), "told to end a second time")
}

func TestAConfigurationInSharedMemoryIsAFileAndOneOfAShellsPipeIsNot(t *testing.T) {
	t.Parallel()
	for path, stream := range map[string]bool{
		"/dev/shm/site/procman.yaml": false, "/dev/procman.yaml": false, "procman.yaml": false,
		"/home/proc/procman.yaml": false,
		"/dev/fd/63":              true, "/dev/stdin": true, "/proc/self/fd/63": true, "/proc/self/fd/0": true,
	} {
		require.Equal(t, stream, IsStream(path), path)
	}
}
