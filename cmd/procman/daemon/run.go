package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"procman/actors/spawn"
	"procman/cmd/procman/systemd"
	"procman/supervisor/api"
	"procman/supervisor/config"
)

func (o *Options) Run() error {
	if path := o.Named(); IsStream(path) {
		return fmt.Errorf("%s can be read once only, and a daemon reads its configuration again and again: write it "+
			"to a file", path)
	}
	e := o.signals
	if e == nil {
		e = newSignals()
		e.open()
	}
	defer e.shut()
	mayGrow(heapOpening, o.Env)
	g := guarded(o.Env)
	if err := settleFiles(o.Env, e); err != nil {
		fmt.Fprintf(systemd.ErrorWriter(o.Stderr), "procman: %v\n", err) // no reason not to run
	}
	e.inherit(o.Env)
	unwatch := o.PendingIO.watch(func(what string) {
		fmt.Fprintf(systemd.ErrorWriter(o.Stderr), "procman: the daemon waits, and touches nothing: %s\n", what)
	})
	path, file, instead, err := o.loadUnlessTold(e)
	unwatch()
	if file == nil {
		return err
	}
	if file.Fleet != nil && o.FleetStore == nil {
		var known []string
		if g != nil {
			line, err := g.pass()
			if err != nil {
				return err
			}
			known = []string{line}
		}
		return o.toFleet(known, e)
	}
	if o.Socket != "" {
		if file.Socket, err = filepath.Abs(o.Socket); err != nil {
			return fmt.Errorf("the socket %s cannot be located: %w", o.Socket, err)
		}
	}
	defer keepFromIgnored()()
	lock, err := inherited(o.Env)
	if err != nil {
		return err
	}
	left := handover{Options: o, lock: lock, instead: instead, stored: systemd.Stored(o.Env),
		origin: originOf(os.Args[0]), guard: g}
	left.origin.flags = o.flags(file)
	if err := left.learnNames(o.Env); err != nil {
		return err
	}
	left.manager = systemd.NewQueue(o.Env)
	for {
		next, kept, err := o.serve(path, file, &left, e)
		if next != nil || err == nil || errors.Is(err, errAbandoned) {
			left.guard.dismiss() // what it stood by for has come to an end that was wanted
		}
		if next == nil {
			err = ExplainInUse(err, file)
			left.manager.Close(lastWords(err))
			return err
		}
		left.manager.Flush(lastWords(nil))
		// If it returns, still the old program: it goes on, and adopts what it has just let go.
		err = next.replace(left.origin.args("run", file), left.store, e, kept)
		next.guard.dismiss()
		fmt.Fprintf(systemd.ErrorWriter(o.Stderr),
			"procman: the upgrade has failed, the daemon goes on as it was: %v\n", err)
		left.lock, left.renew, left.failed = next.lock, false, err.Error()
		left.stored = nameless(left.store.Kept())
	}
}

// ExplainInUse says by which configuration the daemon runs that has the state directory, or the socket.
func ExplainInUse(err error, file *config.File) error {
	socket := errors.Is(err, api.ErrSocketInUse)
	if !socket && !errors.Is(err, spawn.ErrInUse) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	other := ""
	client := api.NewClient(file.Socket)
	defer client.Close()
	d, askErr := client.Instances(ctx, "x")
	switch {
	case socket && askErr != nil:
		return fmt.Errorf("%w, and no daemon of procman has answered there: end that program, or set socket in %s to "+
			"another path", err, file.Path)
	case socket && api.SameFile(d.Manager.Config, file.Path):
		// it is that of the state directory, which had another name
		return fmt.Errorf("%w: process %d runs by this configuration; %w", spawn.ErrInUse, d.Manager.PID, err)
	case socket:
		return fmt.Errorf("%w; process %d runs by %s. Set socket in %s to a path of its own", err, d.Manager.PID,
			d.Manager.Config, file.Path)
	case askErr == nil && d.Manager.StateDir == file.StateDir:
		other = d.Manager.Config
	}
	if other == "" {
		if g, keptErr := readLastGood(file.StateDir); keptErr == nil {
			other = g.Snapshot.Path
		}
	}
	switch {
	case other == "":
		return err
	case api.SameFile(other, file.Path):
		return fmt.Errorf("%w; it runs by this configuration, %s", err, other)
	}
	return fmt.Errorf("%w; it runs by %s. Set state_dir in %s to a directory of its own", err, other, file.Path)
}

// loadTime is how long a daemon that is told to end stays for its configuration, which says what that means.
const loadTime = 5 * time.Second

// loadUnlessTold loads the configuration, but does not stay for ever if it is told to end: a file may lie on a disk
// that hangs. Without a file and an error it was told, and has touched nothing.
func (o *Options) loadUnlessTold(e signals) (path string, file *config.File, instead, err error) {
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		path, file, instead, err = o.LoadOrLastGood()
	}()
	if !e.unlessTold(loaded) {
		return "", nil, nil, nil
	}
	return path, file, instead, err
}

// unlessTold waits for what is done, but no longer than loadTime once the daemon is told to end, and reports whether it
// is done.
func (e signals) unlessTold(done <-chan struct{}) bool {
	var late <-chan time.Time
	var heard []os.Signal
	for {
		select {
		case <-done:
			e.hear(heard)
			return true
		case s := <-e:
			if s != syscall.SIGHUP && late == nil { // what HUP asks for is being done
				late, heard = time.After(loadTime), []os.Signal{s}
			}
		case <-late:
			return false
		}
	}
}

// serve is one life of the daemon, from the first part opened to the last one closed. If it ends in favour of another
// program, that is returned with the lock for it, and with the signals that are for it.
func (o *Options) serve(path string, file *config.File, left *handover, e signals) (next *successor, kept []os.Signal,
	err error) {
	log := newLog(o.Stderr, file.Log, o.Verbose, o.Quiet)
	defer log.Close()
	left.store = systemd.NewFDStore(left.manager, slices.Collect(maps.Keys(left.stored)), left.renew, log.Logger)
	defer o.PendingIO.watch(func(what string) {
		log.Error("the manager waits for a disk", "what", what, "consequence",
			"it goes on by itself as soon as that answers; what runs, runs on")
	})()
	d, err := openUnlessTold(path, file, log, *left, e)
	if d == nil {
		return nil, nil, err
	}
	err = d.live(e)
	if errors.Is(err, errAbandoned) {
		return nil, nil, err
	}
	if err == nil && d.successor != nil {
		next = d.successor
		if next.lock, err = d.spawner.Handover(); err != nil {
			next = nil
		}
	}
	closed := make(chan error, 1)
	go func() { closed <- d.close() }()
	for {
		select {
		case closeErr := <-closed:
			if next == nil {
				err = errors.Join(err, closeErr)
			}
			return next, d.kept, err
		case s := <-e:
			switch {
			case next != nil && d.keep(s):
			case next == nil && s == syscall.SIGHUP:
			default:
				return nil, nil, errAbandoned // at once, whatever closing it waits for
			}
		}
	}
}

// openUnlessTold opens the parts, but does not stay for ever if it is told to end: the state directory may be on a disk
// that hangs. Without a daemon and an error it was told, and has touched no process.
func openUnlessTold(path string, file *config.File, log log, left handover, e signals) (d *daemon, err error) {
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		d, err = open(path, file, log, left)
	}()
	if !e.unlessTold(opened) {
		log.Warn("told to end before it had its state directory: what runs, runs on")
		return nil, nil
	}
	return d, err
}

// lastWords is how long the service manager may take to read what is left to be said. A daemon that is told to end a
// third time waits for nobody.
func lastWords(err error) time.Duration {
	if errors.Is(err, errAbandoned) {
		return 0
	}
	return 10 * time.Second
}

// learnNames learns what the service manager keeps, if a predecessor in this process knew it and this process has not
// been given it.
func (h *handover) learnNames(env func(string) string) error {
	names, known, err := systemd.Bequeathed(env)
	if err != nil {
		return err
	}
	h.renew = h.lock != nil && !known
	if known {
		h.stored = nameless(names)
	}
	return nil
}

func nameless(names []string) map[string]*os.File {
	files := make(map[string]*os.File, len(names))
	for _, name := range names {
		files[name] = nil
	}
	return files
}
