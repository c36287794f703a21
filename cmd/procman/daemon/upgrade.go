package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"procman/messages"
	"procman/supervisor"
	"procman/supervisor/config"
)

// lockVariable names the descriptor by which the program that replaces a daemon's inherits the lock on the state
// directory.
const lockVariable = "PROCMAN_LOCK_FD"

// unfit says why a successor would know less than this daemon does.
func (d *daemon) unfit() error {
	if err := d.spawner.Stalled(); err != nil {
		return fmt.Errorf("%w; a new program could not read what it must know", err)
	}
	all, _ := d.supervisor.Status(context.Background()) // it has no error: it is a snapshot
	for _, s := range all {
		if s.Unsaved != "" {
			return fmt.Errorf("instance %q: what a new program must know is %s", string(s.ID), s.Unsaved)
		}
	}
	return nil
}

// upgrade asks the binary on disk whether it can take over, and then has the daemon make room for it.
func (d *daemon) upgrade(ctx context.Context) (program string, err error) {
	if err := d.unfit(); err != nil {
		return "", fmt.Errorf("nothing was changed: %w", err)
	}
	if err := d.spawner.Keep(); err != nil { // the successor finds the lock and the records where it looks for them
		return "", fmt.Errorf("nothing was changed: %w", err)
	}
	next, err := d.origin.successor()
	if err != nil {
		return "", err
	}
	if err := d.staysAt(d.provider.File().Path); err != nil {
		return "", err
	}
	if next.guard, err = next.check(ctx, d.origin.args("preflight", d.provider.File())); err != nil {
		return "", fmt.Errorf("%s cannot take over, and nothing was changed: %w", next.program, err)
	}
	select {
	case d.upgrades <- next:
		by := supervisor.Operator(ctx)
		d.tell(messages.Event{What: messages.OperatorActed, By: by, Command: "upgrade", Why: next.program})
		return next.program, nil
	default:
		next.guard.dismiss()
		return "", errors.New("an upgrade is under way")
	}
}

// staysAt reports why a successor that reads the file could not take over what this daemon has: the lock is on this
// state directory.
func (d *daemon) staysAt(path string) error {
	file, err := config.LoadFor(path, config.DaemonHost())
	if err != nil {
		return nil // what is wrong with it the successor says better
	}
	was, now := d.spawner.Dir(), file.StateDir // a name of it may be a link that means another by now
	if a, err := os.Stat(string(was)); err == nil {
		if b, err := os.Stat(string(now)); err == nil && os.SameFile(a, b) {
			return nil
		}
	}
	if real, err := filepath.EvalSymlinks(string(now)); err == nil {
		now = messages.StateDir(real)
	}
	return fmt.Errorf("state_dir means %s now, and the daemon holds %s: an upgrade cannot move it, and nothing was "+
		"changed; put state_dir back", now, was)
}

// inherited returns the lock that a predecessor in this process has left; nil if there is none. No child may see the
// variable.
func inherited(env func(string) string) (*os.File, error) {
	text := env(lockVariable)
	if text == "" {
		return nil, nil
	}
	if err := os.Unsetenv(lockVariable); err != nil {
		return nil, err
	}
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s is %q; it is for procman's own use", lockVariable, text)
	}
	return os.NewFile(uintptr(fd), "lock"), nil
}
