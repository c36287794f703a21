package leash

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
	"procman/actors/spawn"
	"procman/messages"
)

// Look returns what is guarded in the state directory, and by whom. It changes nothing, and may wait for the disk. What
// could be learned is returned beside an error.
func Look(dir messages.StateDir) (Report, error) {
	dir, err := resolved(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Report{Over: ErrNone}, nil
	}
	if err != nil {
		return Report{}, err
	}
	newest, boot, err := spawn.Records(dir)
	if err != nil {
		return Report{}, err
	}
	var r Report
	r.Leash, r.Lives, err = Living(dir)
	marked, markErr := Marked(dir)
	for _, id := range marked {
		if runs(newest(id), boot) {
			r.Fenced = append(r.Fenced, id)
		}
	}
	slices.Sort(r.Fenced)
	record, readErr := Read(dir)
	if r.Over = readErr; readErr == nil {
		r.Over = Check(record, boot, Now())
		r.KillAt = int64(record.KillAt)
	}
	return r, errors.Join(err, markErr)
}

// runs reports whether the process of the run lives.
func runs(r *kernel.Run, boot string) bool {
	if r == nil || r.PID == 0 {
		return false
	}
	st, err := kernel.Procfs("/proc").Stat(r.PID)
	if err != nil || st.Zombie() {
		return false
	}
	verdict, _ := kernel.Judge(kernel.Evidence{Boot: boot, Record: r, PID: r.PID, Stat: st})
	return verdict == kernel.Leader
}

// Able returns why no leash could live on this host; nil: one can.
func Able() error {
	timer, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("timerfd_create: %w", err)
	}
	err = unix.TimerfdSettime(timer, unix.TFD_TIMER_ABSTIME, &unix.ItimerSpec{Value: unix.NsecToTimespec(1)}, nil)
	if err := errors.Join(err, unix.Close(timer)); err != nil {
		return fmt.Errorf("timerfd_settime: %w", err)
	}
	self, err := kernel.OpenPidfd(os.Getpid())
	if err != nil {
		return err
	}
	defer self.Close()
	if err := self.Signal(0); err != nil {
		return fmt.Errorf("pidfd_send_signal: %w", err)
	}
	return nil
}
