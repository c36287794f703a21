package spawn

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
	"procman/actors/record"
	"procman/actors/runas"
	"procman/messages"
)

// programPatience is how long the file systems of a program, its directory and its module may take to answer before it
// is said that they do not; lateTime is how long an answer that came later is good for.
const (
	programPatience = time.Second
	lateTime        = 10 * time.Second
)

// inspection is what a look at the files of an app has found.
type inspection struct {
	spec    string // of the app
	program string
	as      *runas.Settings // as whom it runs; nil: as this process
	err     error
	at      time.Time
}

// looking is who looks at the files of programs on the same file systems; guarded by the Spawner's mu.
type looking struct {
	disk  *record.Disk
	users int // that look, or wait for their turn; with the last one it is forgotten
}

// preflight is check, for which nobody waits long: what lies on a file system that does not answer keeps only those
// starts waiting that need it. Of those that need the same, two looks may hang, and not one for each instance and try.
// The answer of one that is merely slow serves the next try.
func (s *Spawner) preflight(ctx context.Context, i *instance, app messages.AppInstance) (string,
	*runas.Settings, error) {
	if app.EnvFault != "" {
		return "", nil, fault(messages.FaultEnvFile, "", errors.New(app.EnvFault),
			"correct the file; it is watched, and what waits for it is started then")
	}
	key := app.Executable + "\x00" + app.WorkDir + "\x00" + filepath.Dir(app.WasmPath)
	found := &inspection{}
	s.mu.Lock()
	late := i.inspection
	i.inspection = nil
	if late != nil && time.Since(late.at) < lateTime && late.spec == app.SpecHash() {
		s.mu.Unlock()
		return late.program, late.as, late.err
	}
	looks := s.looks[key]
	if looks == nil {
		looks = &looking{disk: record.NewDisk("where "+app.Executable+", its module or its directory is", 2)}
		s.looks[key] = looks
	}
	looks.users++
	s.mu.Unlock()
	done := func() { // s.mu is held
		if looks.users--; looks.users == 0 {
			delete(s.looks, key)
		}
	}
	left, err := looks.disk.Do(ctx, programPatience, func() error {
		found.program, found.as, found.err = check(app)
		return nil
	}, func() {
		found.spec, found.at = app.SpecHash(), time.Now()
		s.mu.Lock()
		defer s.mu.Unlock()
		i.inspection = found
		done()
	})
	if !left {
		s.mu.Lock()
		done()
		s.mu.Unlock()
	}
	var stalled *record.StalledError
	switch {
	case errors.As(err, &stalled):
		return "", nil, fault(messages.FaultStalled, app.Executable, err, "look at that mount: `df`, `dmesg`")
	case left || err != nil:
		return "", nil, err
	}
	return found.program, found.as, found.err
}

// check finds out before the fork what exec would not say, or of which file it would not say it, and returns the
// program as an absolute path. To read the program here also keeps one that lies on a dead file system from blocking
// every fork of the manager: what exec then refuses, see explain, it refuses at once.
func check(app messages.AppInstance) (string, *runas.Settings, error) {
	program, err := findProgram(app.Executable)
	if err != nil {
		return "", nil, err
	}
	as, err := runas.Resolve(app.Process)
	if err != nil {
		return "", nil, fault(messages.FaultProcess, "", err, "correct process")
	}
	if err := checkProgram(program, app.WorkDir); err != nil {
		return "", nil, err
	}
	if err := checkDir(app.WorkDir); err != nil {
		return "", nil, err
	}
	if err := checkWasm(app); err != nil {
		return "", nil, err
	}
	if as.Name() == "" {
		return program, as, nil
	}
	return program, as, checkAs(as, program, app)
}

// checkAs finds out what another user may not do with the files of the app.
func checkAs(as *runas.Settings, program string, app messages.AppInstance) error {
	may := func(f messages.StartFault, path string, mode uint32, what string) error {
		err := as.Access(path, mode)
		if err == nil {
			return nil
		}
		help := fmt.Sprintf("let %s %s it", as.Name(), what)
		if dir := as.Refused(path); dir != "" {
			help = fmt.Sprintf("let %s enter %s", as.Name(), dir)
		}
		return missing(f, path, err, help)
	}
	if app.WorkDir != "" {
		if err := may(messages.FaultDirMissing, app.WorkDir, runas.Enter, "enter"); err != nil {
			return err
		}
	}
	if err := may(messages.FaultNotExecutable, program, runas.Execute, "execute"); err != nil {
		return err
	}
	if path := app.Module(); path != "" {
		return may(messages.FaultWasmMissing, path, runas.Read, "read")
	}
	return nil
}

func fault(f messages.StartFault, path string, err error, help string) error {
	return &messages.StartError{Fault: f, Path: path, Err: err, Help: help}
}

// findProgram looks a bare name up in PATH; any other is relative to the manager's directory.
func findProgram(name string) (string, error) {
	const help = "correct executable, or build it"
	switch {
	case name == "":
		return "", fault(messages.FaultExecutableMissing, "", errors.New("no executable is named"), help)
	case !strings.Contains(name, "/"):
		path, err := exec.LookPath(name)
		switch {
		case errors.Is(err, fs.ErrPermission):
			return "", fault(messages.FaultNotExecutable, name, err, "make it executable")
		case err != nil:
			return "", fault(messages.FaultExecutableMissing,
				name, err, "name it with its directory, or correct the manager's PATH")
		}
		name = path
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return "", fault(messages.FaultOther, name, err, "")
	}
	return path, nil
}

func checkProgram(path, workDir string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fault(messages.FaultExecutableMissing, path, cause(err), "correct executable, or build it")
	case errors.Is(err, fs.ErrPermission):
		return fault(messages.FaultNotExecutable, path, cause(err), "let the manager's user reach it")
	case err != nil:
		return startError(err, path)
	case !info.Mode().IsRegular():
		return fault(messages.FaultNotExecutable, path, errors.New("not a regular file"), "name a program")
	}
	head, err := kernel.ReadInto(path, make([]byte, 4096))
	if errors.Is(err, fs.ErrPermission) {
		return nil // a program may be executed without being readable; exec tells what is wrong with it
	}
	if err != nil {
		return startError(err, path)
	}
	if script, ok := bytes.CutPrefix(head, []byte("#!")); ok {
		return checkInterpreter(path, script, workDir)
	}
	return nil
}

// wrongFormat says what is wrong with a program that the kernel does not know how to run, and what is to be done about
// it.
func wrongFormat(head []byte) (help string, err error) {
	const typeAt, machineAt = 16, 18
	help, err = "build it for "+runtime.GOOS+"/"+runtime.GOARCH,
		errors.New("neither an ELF program nor a script with an interpreter line")
	switch {
	case len(head) == 0:
		return "it is empty; build it, or write it anew", err
	case utf8.Valid(head[:max(0, len(head)-utf8.UTFMax)]) && !bytes.ContainsRune(head, 0):
		return "it is text: if it is a script, let its first line name the interpreter, such as #!/bin/sh", err
	case !bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return help, err
	case len(head) < machineAt+2:
		return help, errors.New("a cut off ELF header")
	}
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	return help, fmt.Errorf("an ELF file for %v, of type %v", elf.Machine(order.Uint16(head[machineAt:])),
		elf.Type(order.Uint16(head[typeAt:])))
}

func checkInterpreter(path string, script []byte, workDir string) error {
	line, _, _ := bytes.Cut(script, []byte("\n"))
	// Not the CR of a Windows line end: for the kernel it is part of the name.
	fields := strings.FieldsFunc(string(line), func(r rune) bool { return r == ' ' || r == '\t' })
	windows := bytes.HasSuffix(line, []byte("\r"))
	if len(fields) == 0 || fields[0] == "\r" {
		return fault(messages.FaultWrongFormat, path, errors.New("its first line names no interpreter"),
			"correct its first line")
	}
	interpreter := fields[0]
	if !filepath.IsAbs(interpreter) {
		interpreter = filepath.Join(workDir, interpreter)
	}
	help := "install it, or correct the first line of " + path
	// Behind the name the CR is an argument, or part of one: env looks for a program of such a name.
	if windows && (len(fields) == 1 || filepath.Base(fields[0]) == "env") {
		return fault(messages.FaultInterpreter, path,
			fmt.Errorf("it has Windows line ends, and the name of its interpreter is %q by that",
				fields[len(fields)-1]),
			"write it with Unix line ends: sed -i 's/\\r$//' "+path)
	}
	info, err := os.Stat(interpreter)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err == nil {
		err = unix.Faccessat(unix.AT_FDCWD, interpreter, unix.X_OK, unix.AT_EACCESS)
	}
	if err != nil {
		return missing(messages.FaultInterpreter, interpreter, err, help)
	}
	return nil
}

func checkDir(dir string) error {
	if dir == "" {
		return nil
	}
	const help = "create it, or correct work_dir"
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return missing(messages.FaultDirMissing, dir, err, help)
	case !info.IsDir():
		return fault(messages.FaultDirMissing, dir, errors.New("not a directory"), help)
	}
	return nil
}

func checkWasm(app messages.AppInstance) error {
	if len(app.Args) == 0 {
		app.Args = messages.DefaultArgs()
	}
	path := app.Module()
	if path == "" {
		return nil
	}
	const help = "build it, or correct wasm_path"
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return missing(messages.FaultWasmMissing, path, err, help)
	case !info.Mode().IsRegular():
		return fault(messages.FaultWasmMissing, path, errors.New("not a regular file"), help)
	}
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK, unix.AT_EACCESS); err != nil {
		return fault(messages.FaultWasmMissing, path, err, "let the manager's user read it")
	}
	return nil
}

// missing says that a file that a start needs cannot be had: by its own fault, unless the file system or the host is
// what fails.
func missing(f messages.StartFault, path string, err error, help string) error {
	if e := startError(err, path); e.Fault.Host() {
		return e
	}
	return fault(f, path, cause(err), help)
}

// cause returns the error without the path, which the StartError names already.
func cause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// startError says what an error of a system call means for a start whose preflight went well.
func startError(err error, path string) *messages.StartError {
	var setting *runas.SettingError
	if errors.As(err, &setting) {
		return &messages.StartError{Fault: messages.FaultProcess, Err: err,
			Help: "correct it, or let the daemon do that"}
	}
	e := &messages.StartError{Fault: messages.FaultOther, Path: path, Err: cause(err)}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return e
	}
	switch errno {
	case syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE:
		e.Fault, e.Help = messages.FaultResources, "look at the limits of processes, open files and memory: procman "+
			"doctor"
	case syscall.EIO, syscall.ESTALE, syscall.ETIMEDOUT, syscall.ENOTCONN, syscall.EHOSTDOWN, syscall.EHOSTUNREACH,
		syscall.ECONNABORTED:
		e.Fault, e.Help = messages.FaultStalled, "look at that mount: `df`, `dmesg`"
	case syscall.ETXTBSY:
		e.Fault, e.Help = messages.FaultBusy, "replace programs by rename, not in place"
	case syscall.ENOEXEC, syscall.ELIBBAD:
		e.Fault, e.Help = messages.FaultWrongFormat, "build it for "+runtime.GOOS+"/"+runtime.GOARCH
	case syscall.EACCES, syscall.EPERM:
		e.Fault, e.Help = messages.FaultNotExecutable, "make it executable: chmod +x, and no file system mounted noexec"
	case syscall.ENOENT:
		// The program was there a moment ago; what exec misses is its interpreter, unless it has just been removed.
		e.Fault, e.Help = messages.FaultInterpreter, "install the interpreter or dynamic loader it asks for"
		if _, err := os.Stat(path); err != nil {
			e.Fault, e.Help = messages.FaultExecutableMissing, "correct executable, or build it"
		}
	}
	return e
}

// stateError says that a start failed for a file of the state directory.
func stateError(err error, path string) *messages.StartError {
	e := startError(err, path)
	if e.Fault == messages.FaultResources {
		return e
	}
	e.Fault, e.Help = messages.FaultStateDir, "look at its permissions and the space on its file system"
	var stalled *record.StalledError
	var other *record.NotRegularError
	switch {
	case errors.As(err, &stalled):
		e.Help = "it goes on by itself as soon as the disk answers"
	case errors.As(err, &other): // it names the path, and what to do
		e.Path, e.Help = "", ""
	}
	return e
}

// explain adds to what exec has refused what can be found out about it.
func explain(e *messages.StartError, dir, program string, args, env []string) *messages.StartError {
	switch e.Err {
	case syscall.ENOEXEC:
		if head, err := kernel.ReadInto(program, make([]byte, 4096)); err == nil {
			e.Help, e.Err = wrongFormat(head)
		}
	case syscall.EACCES, syscall.EPERM:
		if dir != "" && unix.Faccessat(unix.AT_FDCWD, dir, unix.X_OK, unix.AT_EACCESS) != nil {
			e.Fault, e.Path, e.Help = messages.FaultDirMissing, dir, "let the manager's user enter it"
		}
	case syscall.E2BIG:
		e.Err, e.Help = tooLarge(args, env), "give the process the path of a file in place of the text"
	}
	return e
}

// tooLarge says what of a command line and an environment the kernel did not take. Values are not shown.
func tooLarge(args, env []string) error {
	sum, most, what := 0, 0, ""
	for n, arg := range args {
		sum += len(arg) + 1
		if len(arg) > most {
			most, what = len(arg), fmt.Sprintf("argument %d", n)
		}
	}
	for _, v := range env {
		sum += len(v) + 1
		if len(v) > most {
			name, _, _ := strings.Cut(v, "=")
			most, what = len(v), "the variable "+name
		}
	}
	return fmt.Errorf("the command line and the environment have %d bytes, most of them %s with %d: %w (at most %d "+
		"for one, and a quarter of the stack limit in all)",
		sum, what, most, syscall.E2BIG, 32*os.Getpagesize())
}
