package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"procman/cmd/procman/systemd"
	"procman/supervisor/config"
)

// origin is how the program of this process is found. A name is where to look, and not what was found there: what runs
// may have been moved, and the name may mean another file by now.
type origin struct {
	// as it was called, if that means it: absolute, with its links, or a bare name for PATH; else running
	name    string
	running string   // the file that runs, without links
	flags   []string // what it was told beside the configuration, with absolute paths
}

// originOf finds the program that was called by a name.
func originOf(called string) origin {
	running, err := os.Executable()
	if err != nil {
		return origin{name: called}
	}
	o := origin{name: running, running: running}
	name, err := whole(called)
	if err != nil {
		return o
	}
	path, err := lookUp(name)
	if err != nil {
		return o
	}
	// Who executes a program may call it what he likes.
	is, err := os.Stat("/proc/self/exe")
	if err != nil {
		is, err = os.Stat(running)
	}
	if err != nil {
		return o
	}
	if found, err := os.Stat(path); err == nil && os.SameFile(found, is) {
		o.name = name
	}
	return o
}

// whole makes a name with a slash in it absolute, and follows none of its links.
func whole(name string) (string, error) {
	if !strings.Contains(name, "/") {
		return name, nil
	}
	return filepath.Abs(name)
}

// lookUp finds the file that a name means now.
func lookUp(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	return path, err
}

// successor is a program that is to take the place of this one. It is opened once: what was checked is what is
// executed.
type successor struct {
	program string // absolute, without links
	file    fs.FileInfo
	lock    *os.File
	guard   *guard
}

// successor looks for the program of this name now, and for the file that runs if there is none.
func (o origin) successor() (*successor, error) {
	path, err := lookUp(o.name)
	if err != nil && o.running != "" && o.running != o.name {
		var there error
		if path, there = lookUp(o.running); there != nil {
			err = errors.Join(err, there)
		} else {
			err = nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the binary on disk cannot be found, so nothing was changed; put it where it was: %w",
			err)
	}
	s := &successor{program: path}
	if s.file, err = os.Stat(path); err != nil {
		return nil, fmt.Errorf("the binary on disk cannot be looked at, so nothing was changed: %w", err)
	}
	return s, nil
}

// unchanged reports whether the program is still the file that was looked at.
func (s *successor) unchanged() error {
	now, err := os.Stat(s.program)
	if err == nil && !(os.SameFile(now, s.file) && now.Size() == s.file.Size() &&
		now.ModTime().Equal(s.file.ModTime())) {
		err = errors.New("it was replaced after it had been checked; `procman upgrade` checks what is there now")
	}
	if err != nil {
		return fmt.Errorf("%s cannot take over: %w", s.program, err)
	}
	return nil
}

// replace puts the program in the place of this one. It returns only if that fails.
func (s *successor) replace(args []string, store *systemd.FDStore, e signals, kept []os.Signal) error {
	e.hear(kept)
	if err := s.unchanged(); err != nil {
		return err
	}
	env := append(os.Environ(), lockVariable+"="+strconv.Itoa(int(s.lock.Fd())))
	names, release, err := store.Bequeath()
	defer release()
	if err == nil && names != "" { // without them what is stored is stored anew
		env = append(env, names)
	}
	guard, err := s.guard.arm()
	if err != nil {
		return fmt.Errorf("%s, which is to stand by while it takes over, does not: %w", s.program, err)
	}
	if guard != "" {
		env = append(env, guard)
	}
	return fmt.Errorf("%s could not be executed: %w", s.program, execute(s.program, args, env, e))
}

// args is the command line of a program that takes over: all that was relative to a directory, which may have been
// moved or removed since, is absolute.
func (o origin) args(command string, file *config.File) []string {
	return append([]string{o.name, command, "--config=" + file.Path}, o.flags...)
}
