package spawn

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/actors"
	"procman/actors/kernel"
	"procman/messages"
	"procman/test/fake"
)

func TestAProcessHasItsStreamsAndItsLockAndNoOtherDescriptor(t *testing.T) {
	t.Parallel()
	leaked, err := unix.Open("/dev/null", unix.O_RDONLY, 0) // as a careless parent leaves it: not close-on-exec
	require.NoError(t, err)
	defer unix.Close(leaked)
	s := opened(t, stateDir(t))
	other := spawned(t, s, sleeper("other"))
	require.Equal(t, "exited with code 0", spawned(t, s, player(t, "descriptors")).Wait().String())
	require.Equal(t, fmt.Sprintf("0 /dev/null\n1 %s\n2 %s\n3 %s\n", s.dir.Stdout("a"), s.dir.Stderr("a"),
		s.dir.InstanceLock("a")), output(t, s))
	require.NoError(t, other.Signal(syscall.SIGKILL, messages.LeftoversEnd))
}

func TestAProcessLeadsItsOwnSessionAndDoesNotDieWithItsParent(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	p := spawned(t, s, sleeper("a"))
	st, err := s.proc.Stat(p.PID())
	require.NoError(t, err)
	require.Equal(t, p.PID(), st.Group)
	require.Equal(t, p.PID(), st.Session)
	orphan := orphaned(t, stateDir(t), sleeper("a"))
	require.True(t, alive(orphan), "no Pdeathsig")
}

func TestTheEnvironmentIsSmallAndProcmansOwnVariablesCannotBeOverridden(t *testing.T) {
	t.Setenv("LANG", "C.UTF-8")
	t.Setenv("SECRET_OF_THE_MANAGER", "x")
	t.Setenv("TZ", "manager")
	s := opened(t, stateDir(t))
	app := messages.AppInstance{InstanceID: "a", Executable: "env", Env: map[string]string{
		"OWN": "1=2", "TZ": "own", "PORT": "1", EnvTag: "forged", EnvStateDir: "/forged",
	}}
	require.Equal(t, "exited with code 0", spawned(t, s, app).Wait().String())
	env := kernel.Environ(strings.ReplaceAll(output(t, s), "\n", "\x00"))
	for name, want := range map[string]string{
		"OWN": "1=2", "TZ": "own", "PORT": "30001", "LANG": "C.UTF-8", EnvInstance: "a", EnvRun: "1",
		EnvSpec: app.SpecHash(), EnvStateDir: string(s.dir), "PATH": os.Getenv("PATH"),
	} {
		got, _ := env.Lookup(name)
		require.Equal(t, want, got, name)
	}
	tag, _ := env.Lookup(EnvTag)
	require.Regexp(t, "^[0-9a-f]{32}$", tag)
	_, leaked := env.Lookup("SECRET_OF_THE_MANAGER")
	require.False(t, leaked)
}

func TestWhatTheLauncherAddsToTheEnvironmentIsOverriddenByNobodyAndOnlyHeSetsTheFleetsVariables(t *testing.T) {
	t.Setenv("LANG", "C.UTF-8")
	s := opened(t, stateDir(t))
	app := messages.AppInstance{InstanceID: "a", Executable: "env", Env: map[string]string{
		kernel.EnvEpoch: "forged", kernel.EnvFence: "forged", "X": "own", "OWN": "1",
	}}
	l := messages.Launch{App: app, Run: 1, Port: 30001}
	shown := func(extra ...string) kernel.Environ {
		l.Extra = extra
		p, err := s.Spawn(t.Context(), l)
		require.NoError(t, err)
		require.Equal(t, "exited with code 0", p.Wait().String())
		return kernel.Environ(strings.ReplaceAll(output(t, s), "\n", "\x00"))
	}
	env := shown()
	for _, name := range []string{kernel.EnvEpoch, kernel.EnvFence} {
		_, there := env.Lookup(name)
		require.False(t, there, name)
	}
	require.NoError(t, os.Truncate(s.dir.Stdout("a"), 0))
	l.Run = 2
	env = shown(kernel.EnvEpoch+"=7", kernel.EnvFence+"=leash", "X=a=b", "LANG=", EnvTag+"=forged")
	for name, want := range map[string]string{
		kernel.EnvEpoch: "7", kernel.EnvFence: "leash", "X": "a=b", "OWN": "1", "LANG": "", EnvSpec: app.SpecHash(),
		EnvRun: "2",
	} {
		got, there := env.Lookup(name)
		require.True(t, there, name)
		require.Equal(t, want, got, name)
	}
	tag, _ := env.Lookup(EnvTag)
	require.Regexp(t, "^[0-9a-f]{32}$", tag)
}

func TestTheCommandLineDirectoryAndOutputAreTheInstances(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	work := t.TempDir()
	require.NoError(t, os.WriteFile(work+"/app.wasm", nil, 0o600))
	app := messages.AppInstance{
		InstanceID: "a", Executable: "/bin/sh", WorkDir: work, WasmPath: "app.wasm", DbName: "db",
		Args: append([]string{"-c", `pwd; echo "$0 $@"; echo err >&2`}, messages.DefaultArgs()...),
	}
	for range 2 {
		require.Equal(t, "exited with code 0", spawned(t, s, app).Wait().String())
	}
	line := work + "\n-wasm app.wasm -dbPath db -port 30001\n"
	require.Equal(t, line+line, output(t, s), "output is appended")
	stderr, err := os.ReadFile(s.dir.Stderr("a"))
	require.NoError(t, err)
	require.Equal(t, "err\nerr\n", string(stderr))
	for _, file := range []string{s.dir.Stdout("a"), s.dir.Run("a"), s.dir.InstanceLock("a"), s.dir.Lock()} {
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode(), file)
	}
	info, err := os.Stat(s.dir.Instance("a"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

func TestARelativeExecutableIsRelativeToTheManagersDirectory(t *testing.T) {
	here := t.TempDir()
	t.Chdir(here)
	require.NoError(t, os.Mkdir("bin", 0o700))
	require.NoError(t, fake.Executable("bin/app", []byte("#!/bin/sh\nexit 5\n")))
	s := opened(t, stateDir(t))
	app := messages.AppInstance{InstanceID: "a", Executable: "bin/app", WorkDir: "/"}
	require.Equal(t, 5, spawned(t, s, app).Wait().Code)
}

func TestTheHelpOfAFailedStartIsTrueOfTheScript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := opened(t, stateDir(t))
	for _, c := range []struct{ name, text, want string }{
		{"crlf", "#!/bin/sh\r\nexit 0\r\n", "it has Windows line ends, and the name of its interpreter is " +
			"\"/bin/sh\\r\" by that; write it with Unix line ends: sed -i 's/\\r$//' " + dir + "/crlf"},
		{"env", "#!/usr/bin/env bash\r\nexit 0\r\n", "the name of its interpreter is \"bash\\r\" by that"},
		{"bare", "exit 0\n", "let its first line name the interpreter, such as #!/bin/sh"},
		{"utf8", "# grün\nexit 0\n", "let its first line name the interpreter, such as #!/bin/sh"},
		{"empty", "", "it is empty"},
		{"other", "\x7fELG\x00\x01", "build it for linux/"},
	} {
		path := filepath.Join(dir, c.name)
		require.NoError(t, fake.Executable(path, []byte(c.text)))
		_, err := s.Spawn(t.Context(), messages.Launch{App: messages.AppInstance{InstanceID: "a", Executable: path,
			Args: []string{"x"}}, Run: 1})
		require.ErrorContains(t, err, c.want, c.name)
	}
	require.NoError(t, fake.Executable(dir+"/fine", []byte("#!/bin/sh -e\nexit 0\n")))
	spawned(t, s, messages.AppInstance{InstanceID: "a", Executable: dir + "/fine", Args: []string{"x"}}).Wait()
	for _, app := range []messages.AppInstance{
		{InstanceID: "a", Executable: dir + "/fine",
			Env: map[string]string{"SMALL": "x", "BIG": strings.Repeat("hunter2", 20000)}},
		{InstanceID: "a", Executable: dir + "/fine", Env: map[string]string{"BIG": strings.Repeat("hunter2", 18000),
			"BIG2": "x"}, Args: slices.Repeat([]string{strings.Repeat("x", 100_000)}, 100)},
	} {
		_, err := s.Spawn(t.Context(), messages.Launch{App: app, Run: 1})
		require.ErrorContains(t, err, "the variable BIG with", "F152: it is named")
		require.ErrorIs(t, err, syscall.E2BIG)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestAModuleThatTheCommandLineDoesNotUseNeedNotBeThere(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	app := shell("exit 5")
	app.WasmPath = "/no/such/module"
	require.Equal(t, 5, spawned(t, s, app).Wait().Code)
}

func TestWhatIsWrongIsSaidAndLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
		require.NoError(t, os.Chmod(path, mode))
		return path
	}
	self, err := os.ReadFile("/bin/sh")
	require.NoError(t, err)
	foreign := append([]byte(nil), self[:4096]...)
	foreign[18], foreign[19] = 0x16, 0x00 // s390
	require.NoError(t, unix.Mkfifo(dir+"/fifo", 0o700))
	ok := shell("exit 0")
	with := func(change func(*messages.AppInstance)) messages.AppInstance {
		app := ok
		change(&app)
		return app
	}
	program := func(path string) messages.AppInstance {
		return with(func(a *messages.AppInstance) { a.Executable = path })
	}
	for name, c := range map[string]struct {
		app   messages.AppInstance
		fault messages.StartFault
		path  string
	}{
		"no executable": {program(""), messages.FaultExecutableMissing, ""},
		"missing":       {program(dir + "/none"), messages.FaultExecutableMissing, dir + "/none"},
		"below a file": {program(file("plain", "", 0o600) + "/x"), messages.FaultExecutableMissing,
			dir + "/plain/x"},
		"not in PATH": {program("no-such-program-anywhere"), messages.FaultExecutableMissing,
			"no-such-program-anywhere"},
		"a directory": {program(dir), messages.FaultNotExecutable, dir},
		"a fifo":      {program(dir + "/fifo"), messages.FaultNotExecutable, dir + "/fifo"},
		"no x": {program(file("nox", "#!/bin/sh\n", 0o600)), messages.FaultNotExecutable,
			dir + "/nox"},
		"empty":   {program(file("empty", "", 0o700)), messages.FaultWrongFormat, dir + "/empty"},
		"text":    {program(file("text", "hello\n", 0o700)), messages.FaultWrongFormat, dir + "/text"},
		"cut ELF": {program(file("cut", "\x7fELF\x02", 0o700)), messages.FaultWrongFormat, dir + "/cut"},
		"another architecture": {program(file("foreign", string(foreign), 0o700)), messages.FaultWrongFormat,
			dir + "/foreign"},
		"no interpreter": {program(file("script", "#!/no/such/sh -e\n", 0o700)), messages.FaultInterpreter,
			"/no/such/sh"},
		"Windows line ends":      {program(file("crlf", "#!/bin/sh\r\n", 0o700)), messages.FaultInterpreter, ""},
		"no name of interpreter": {program(file("bare", "#!\n", 0o700)), messages.FaultWrongFormat, dir + "/bare"},
		"no directory": {with(func(a *messages.AppInstance) { a.WorkDir = dir + "/none" }),
			messages.FaultDirMissing, dir + "/none"},
		"a file as directory": {with(func(a *messages.AppInstance) { a.WorkDir = dir + "/plain" }),
			messages.FaultDirMissing, dir + "/plain"},
		"no module": {with(func(a *messages.AppInstance) {
			a.WorkDir, a.WasmPath, a.Args = dir, "none.wasm", []string{"-c", "exit 0", "{wasm_path}"}
		}), messages.FaultWasmMissing, dir + "/none.wasm"},
		"a directory as module": {with(func(a *messages.AppInstance) { a.WasmPath, a.Args = dir, nil }),
			messages.FaultWasmMissing, dir},
		"a NUL": {with(func(a *messages.AppInstance) { a.Args = []string{"\x00"} }),
			messages.FaultOther, "/bin/sh"},
		"a bad id": {with(func(a *messages.AppInstance) { a.InstanceID = "../x" }),
			messages.FaultOther, ""},
	} {
		t.Run(name, func(t *testing.T) {
			state := stateDir(t)
			s := opened(t, state)
			_, err := s.Spawn(t.Context(), messages.Launch{App: c.app, Run: 1})
			start, typed := err.(*messages.StartError)
			require.True(t, typed, "%T: %v", err, err)
			require.Equal(t, c.fault, start.Fault, err)
			if c.path != "" {
				require.Equal(t, c.path, start.Path)
			}
			require.NotEmpty(t, start.Error())
			require.Empty(t, tagged(t, state))
			_, err = s.Adopt(t.Context(), "a", actors.AnyRun)
			require.ErrorIs(t, err, messages.ErrNoRun)
		})
	}
}

func TestAProgramThatIsBeingWrittenIsTriedAgainAndThenReported(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	sh, err := os.ReadFile("/bin/sh")
	require.NoError(t, err)
	program := t.TempDir() + "/sh"
	require.NoError(t, os.WriteFile(program, sh, 0o700))
	app := shell("exit 4")
	app.Executable = program

	writer, err := os.OpenFile(program, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer writer.Close()
	_, err = s.Spawn(t.Context(), messages.Launch{App: app, Run: 1})
	var start *messages.StartError
	require.ErrorAs(t, err, &start)
	require.Equal(t, messages.FaultBusy, start.Fault)

	done := time.AfterFunc(30*time.Millisecond, func() { writer.Close() })
	defer done.Stop()
	require.Equal(t, 4, spawned(t, s, app).Wait().Code)
}

func TestAManagerOutOfDescriptorsSaysSoAndLosesNoProcess(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVariable+"=out of descriptors", "DIR="+string(dir), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	require.Greater(t, len(lines), 3, "every call that needs a descriptor has failed once")
	for _, line := range lines {
		require.Equal(t, string(messages.FaultResources), line)
	}
	require.Empty(t, tagged(t, dir))
}

func TestAnInstanceThatIsAliveIsNotStartedAgain(t *testing.T) {
	t.Parallel() // it waits
	s := opened(t, stateDir(t))
	p := spawned(t, s, sleeper("a"))
	// Not even when its lock was deleted.
	require.NoError(t, os.Remove(s.dir.InstanceLock("a")))
	_, err := s.Spawn(t.Context(), messages.Launch{App: sleeper("a"), Run: 2})
	var start *messages.StartError
	require.ErrorAs(t, err, &start)
	require.Equal(t, messages.FaultLocked, start.Fault)
	require.Contains(t, err.Error(), strconv.Itoa(p.PID()))
	again, err := s.Adopt(t.Context(), "a", actors.AnyRun)
	require.NoError(t, err)
	require.Same(t, p, again)
}

// strayed runs a process that ends, and returns what it leaves in another session.
func strayed(t *testing.T, s *Spawner) int {
	t.Helper()
	file := t.TempDir() + "/pid"
	app := shell("setsid sh -c 'echo $$ >" + file + "; exec sleep 300' & while [ ! -s " +
		file + " ]; do sleep 0.01; done; exit 3")
	require.Equal(t, 3, spawned(t, s, app).Wait().Code)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	eventually(t, "it executes its program", func() bool {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return string(name) == "sleep\n"
	})
	return pid
}

func TestAGrandchildInItsOwnSessionBelongsToTheRunAndIsNamed(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	pid := strayed(t, s)
	p := s.instance("a").process()
	rest, err := p.Rest(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, []messages.Member{{PID: pid, Name: "sleep", Away: true}}, rest)
	_, err = s.Spawn(t.Context(), messages.Launch{App: sleeper("a"), Run: 2})
	var start *messages.StartError
	require.ErrorAs(t, err, &start)
	require.Equal(t, messages.FaultLocked, start.Fault)
	require.Contains(t, err.Error(), strconv.Itoa(pid))

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = s.Spawn(ctx, messages.Launch{App: sleeper("a"), Run: 2})
	require.Equal(t, context.DeadlineExceeded, err)

	// It is not taken for the process of the instance either, not by a later manager; but its run is not over.
	require.NoError(t, s.Close())
	s = opened(t, s.dir)
	v := survivors(t, s)["a"]
	require.True(t, v.Alive && v.Outlived)
	require.Equal(t, 3, adopted(t, s).Wait().Code)
	require.True(t, alive(pid))
	require.NoError(t, adopted(t, s).Signal(syscall.SIGTERM, messages.LeftoversLeave))
	require.NoError(t, adopted(t, s).Signal(syscall.SIGCONT, messages.LeftoversEnd))
	require.True(t, alive(pid), "what is left by policy is not signalled")
	require.NoError(t, adopted(t, s).Signal(syscall.SIGTERM, messages.LeftoversEnd))
	eventually(t, "it is ended", func() bool { return !alive(pid) })
	require.NotNil(t, spawned(t, s, sleeper("a")))
}

func TestAStartThatIsGivenUpLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := opened(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Spawn(ctx, messages.Launch{App: sleeper("a"), Run: 1})
	require.Equal(t, context.Canceled, err)
	require.Empty(t, tagged(t, s.dir))
}

func TestAStartWithoutSpaceForTheRecordIsNoFailure(t *testing.T) {
	t.Parallel()
	var log journal
	s := openedWith(t, stateDir(t), Options{Logger: log.logger()})
	require.NoError(t, os.MkdirAll(s.dir.Run("a")+"/in/the/way", 0o700))
	p := spawned(t, s, sleeper("a"))
	require.Contains(t, log.String(), "the record of a run cannot be written")
	require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
	require.Equal(t, "KILL", p.Wait().Signal)
}

func TestALookAtAProgramIsForgottenOnceNobodyLooks(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	for range 3 {
		app := shell("true")
		app.WorkDir = t.TempDir() // a release in a directory of its own, as each deployment may make one
		require.Equal(t, "exited with code 0", spawned(t, s, app).Wait().String())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Empty(t, s.looks)
}
