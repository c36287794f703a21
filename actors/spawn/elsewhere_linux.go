package spawn

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"procman/actors/kernel"
	"procman/messages"
)

// Elsewhere returns the live processes of the instances that were started under another state directory than dir, and
// of which dir has no record: a manager there would start each of them a second time. It changes nothing, and needs no
// directory.
func Elsewhere(ctx context.Context, dir messages.StateDir, apps []*messages.AppInstance) ([]Foreign, error) {
	s, err := onlooker(dir)
	if err != nil {
		s = &Spawner{dir: dir, proc: "/proc"} // it does not exist yet: nothing is on record
	}
	records := map[messages.InstanceID]*runRecord{}
	ids, _ := s.known() // what cannot be read is told by Look
	for _, id := range ids {
		if r, err := s.readRun(id); err == nil {
			records[id] = r
		}
	}
	if _, err := s.scan(ctx, records); err != nil {
		return nil, fmt.Errorf("the processes of the host cannot be looked at: %w", err)
	}
	var found []Foreign
	for _, app := range apps {
		for _, x := range s.foreign(*app) {
			dir := messages.StateDir(x.Dir)
			found = append(found, Foreign{ID: app.InstanceID, PID: x.PID, Dir: dir, Manager: Owner(dir),
				Socket: socketOf(dir)})
		}
	}
	return found, nil
}

// foreign returns the processes of the instance that were started under other state directories, of those that the
// newest look at all processes has shown and that still live.
func (s *Spawner) foreign(app messages.AppInstance) []kernel.Process {
	s.mu.Lock()
	seen := s.others[app.InstanceID]
	s.mu.Unlock()
	var live, same []kernel.Process
	for _, x := range seen {
		if now, ok := s.again(&doubt{pid: x.PID, start: x.Start}); !ok || now.Zombie() {
			continue
		}
		live = append(live, x)
		if x.Leads(x.PID) && s.sameInstance(x, app) {
			same = append(same, x)
		}
	}
	if len(live) < len(seen) {
		s.mu.Lock()
		s.others[app.InstanceID] = live
		s.mu.Unlock()
	}
	return same
}

// sameInstance reports whether the process, whose id is the instance's, does what that would do: it was started by the
// same specification, or runs the same program in the same directory. Two projects may well have an instance of one id;
// the directory of their configurations, where their instances work, tells them apart.
func (s *Spawner) sameInstance(x kernel.Process, app messages.AppInstance) bool {
	if app.WorkDir == "" {
		return false
	}
	if x.Spec == app.SpecHash() {
		return true
	}
	exe, err1 := s.proc.Link(x.PID, "exe")
	cwd, err2 := s.proc.Link(x.PID, "cwd")
	if err1 != nil || err2 != nil {
		return false
	}
	return strings.TrimSuffix(exe, " (deleted)") == resolved(app) && cwd == canonical(app.WorkDir)
}

// resolved returns the program of the instance as the kernel names it.
func resolved(app messages.AppInstance) string {
	program, err := exec.LookPath(app.Executable)
	if err != nil {
		program = app.Executable
	}
	return canonical(program)
}

func canonical(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	return path
}

// elsewhere returns why the instance must not be started: it runs already, under another state directory. Nobody here
// has a record of that, so it is not taken over either.
func (s *Spawner) elsewhere(app messages.AppInstance) *messages.StartError {
	others := s.foreign(app)
	if len(others) == 0 {
		return nil
	}
	x, err := others[0], &messages.StartError{Fault: messages.FaultElsewhere}
	if m := Owner(messages.StateDir(x.Dir)); m != 0 {
		err.Err = fmt.Errorf("process %d, started under the state directory %s, which the manager with pid %d has",
			x.PID, x.Dir, m)
		err.Help = "it is started here once that process has ended, which that manager can end"
		if socket := socketOf(messages.StateDir(x.Dir)); socket != "" {
			err.Help = fmt.Sprintf("it is started here once that process has ended: `procman --socket %s stop %s`",
				socket, x.ID)
		}
		return err
	}
	err.Err = fmt.Errorf("process %d, started under the state directory %s, which no manager has", x.PID, x.Dir)
	err.Help = fmt.Sprintf("it is started here once that process has ended (`kill %d`), and a manager with "+
		"`state_dir: %s` takes it over as it is", x.PID, x.Dir)
	return err
}

// socketOf is where the manager of a state directory answers; empty: not where one usually does.
func socketOf(dir messages.StateDir) string {
	if info, err := os.Lstat(dir.Socket()); err != nil || info.Mode().Type() != fs.ModeSocket {
		return ""
	}
	return dir.Socket()
}
