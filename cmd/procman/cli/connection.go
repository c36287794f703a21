package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"procman/actors/spawn"
	"procman/cmd/procman/daemon"
	"procman/cmd/procman/words"
	"procman/messages"
	"procman/supervisor/api"
	"procman/supervisor/config"
)

// client returns a client of the daemon: the one behind --socket, else the one of the configuration that is found, else
// the one with the default state directory.
func (a *app) client() (*api.Client, error) {
	at, err := a.place()
	if err != nil {
		return nil, err
	}
	if a.Verbose {
		a.say("the daemon is asked at %s", at.socket)
	}
	if strings.HasPrefix(at.socket, "http://") {
		token, err := a.tokenOf("")
		return api.NewRemoteClient(at.socket, token), err
	}
	a.awaitSocket(at)
	return api.NewClient(at.socket).For(at.config), nil
}

// socketWait is how long a daemon is waited for that has its state directory, and no socket: it is starting, or makes
// one again that was removed.
const socketWait = daemon.SocketEvery + time.Second

// awaitSocket returns when somebody listens, or nobody is expected to.
func (a *app) awaitSocket(at place) {
	for late := time.Now().Add(socketWait); ; time.Sleep(20 * time.Millisecond) {
		done := a.PendingIO.Begin("the socket " + at.socket)
		c, err := net.DialTimeout("unix", at.socket, time.Second)
		done()
		if err == nil {
			_ = c.Close() // it was opened to see whether it can be
			return
		}
		missing := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
		if !missing || at.dir == "" || time.Now().After(late) || a.owner(at.dir) == 0 {
			return
		}
	}
}

// owner is spawn.Owner.
func (a *app) owner(dir messages.StateDir) int {
	defer a.PendingIO.Begin("the state directory " + string(dir))()
	return spawn.Owner(dir)
}

// tokenOf reads what a daemon on TCP is to be shown, from the file that is named, or that the environment names.
func (a *app) tokenOf(path string) (string, error) {
	from := "--token-file"
	if path == "" {
		path, from = a.Env("PROCMAN_TOKEN_FILE"), "PROCMAN_TOKEN_FILE"
	}
	if path == "" {
		return "", usage("a daemon on TCP wants a token: set PROCMAN_TOKEN_FILE to the file of its api.token_file")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the token of %s cannot be read: %w", from, err)
	}
	return strings.TrimSpace(string(text)), nil
}

// place is where a daemon is to be found.
type place struct {
	socket string
	dir    messages.StateDir // empty: not known
	found  bool              // by --socket or a configuration; false: it is the default
	config string            // by which the daemon there must run; empty: --socket says which daemon is meant
}

func (a *app) place() (place, error) {
	if a.Socket != "" && a.Config == "" {
		at := place{socket: a.Socket, found: true}
		// A socket by its usual name lies in the state directory; any other may lie anywhere.
		if dir := messages.StateDir(filepath.Dir(a.Socket)); dir.Socket() == filepath.Clean(a.Socket) {
			at.dir = dir
		}
		return at, nil
	}
	if a.Socket == "" {
		return a.configured()
	}
	at, err := a.silently().configured()
	if err != nil {
		at.dir = "" // the socket is enough to speak to the daemon
	}
	at.socket, at.found, at.config = a.Socket, true, ""
	return at, nil
}

// configured returns the place that the configuration says.
func (a *app) configured() (place, error) {
	defer a.TouchConfig()()
	path, err := config.Find(a.Config)
	if errors.Is(err, config.ErrNotFound) && a.Config == "" && a.Env("PROCMAN_CONFIG") == "" {
		return defaultPlace()
	}
	if err != nil {
		return place{}, err
	}
	if p := a.pointed(path); p != nil {
		return place{p.Socket, p.StateDir, true, p.Path}, nil
	}
	file, err := config.LoadFor(path, config.DaemonHost())
	if err != nil {
		return a.brokenPlace(path, err)
	}
	at := place{file.Socket, file.StateDir, true, file.Path}
	// Whoever changes state_dir of a daemon that runs still means that daemon.
	if p := daemon.Pointed(path, a.Env); p != nil && p.Socket != at.socket && a.owner(at.dir) == 0 &&
		a.owner(p.StateDir) != 0 {
		a.say("the daemon of %s runs in %s; %s, where its state_dir is now or by this name of the file, is for a new "+
			"daemon only", path, p.StateDir, at.dir)
		at.socket, at.dir = p.Socket, p.StateDir
	}
	return at, nil
}

// pointed is daemon.PointedInForce.
func (a *app) pointed(path string) *daemon.Pointer {
	defer a.PendingIO.Begin("the runtime directory, or the state directory of the last daemon of " + path)()
	return daemon.PointedInForce(path, a.Env)
}

// brokenPlace finds the daemon of a configuration that is broken: a broken edit must not keep an operator from the
// daemon that runs on with the last good one. What the file says counts, if it can be read so far; then where its
// daemon was the last time; then the default.
func (a *app) brokenPlace(path string, why error) (place, error) {
	var broken config.Errors
	if errors.As(why, &broken) {
		a.say("the configuration is broken, %s says where: %s", a.word("validate"), broken[0].Head())
	} else {
		a.say("%v", why)
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return place{}, err
	}
	said, _ := config.Locate(path, config.ThisHost()) // what is wrong with it has been said
	p := daemon.Pointed(path, a.Env)
	at := place{said.Socket, said.StateDir, true, whole}
	if p != nil && (at.dir == "" || a.owner(at.dir) == 0 && a.owner(p.StateDir) != 0) {
		at.socket, at.dir = p.Socket, p.StateDir
	}
	if at.dir == "" {
		usual, err := defaultPlace()
		if err != nil && at.socket == "" {
			return place{}, err
		}
		at.dir = usual.dir
	}
	if at.socket == "" {
		at.socket = at.dir.Socket()
	}
	return at, nil
}

// defaultPlace is the place of a configuration that says nothing.
func defaultPlace() (place, error) {
	file, err := daemon.DefaultFile()
	if err != nil {
		return place{}, err
	}
	return place{socket: file.Socket, dir: file.StateDir}, nil
}

// reach says what to do about a daemon that cannot be reached.
func (a *app) reach(err error) error {
	if !errors.Is(err, api.ErrUnreachable) && !others(err) {
		return err
	}
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w; it answers its own user and root only: try as that user, or with sudo", err)
	}
	at, placeErr := a.silently().place()
	if placeErr != nil {
		return err
	}
	if others(err) {
		return fmt.Errorf("%w; nothing was asked of it. Set %s in one of the two, or name the daemon that is meant: "+
			"--socket %s", err, shared(at), at.socket)
	}
	if at.dir != "" {
		if pid := a.owner(at.dir); pid != 0 {
			help := "it is starting or ending, or hangs; its log says which"
			if info, statErr := os.Lstat(at.socket); statErr == nil && info.Mode()&fs.ModeSocket == 0 {
				help = "what lies at the place of its socket is none; remove that, and it makes its socket again " +
					"within seconds"
			} else if errors.Is(err, fs.ErrNotExist) {
				help = "it is starting or ending, or its socket was removed or is elsewhere; one that runs makes its " +
					"socket again within seconds"
			}
			return fmt.Errorf("%w; but process %d has the state directory %s: %s", err, pid, at.dir, help)
		}
	}
	return fmt.Errorf("%w; %s", err, a.aStart(at))
}

// aStart says how a daemon is started that would answer at the place, or what is in its way.
func (a *app) aStart(at place) string {
	_, file, instead, err := a.silently().LoadOrLastGood()
	var last *daemon.InsteadError
	var broken config.Errors
	switch {
	case errors.Is(err, config.ErrNotFound) && !at.found:
		return "no configuration was found, so the default place was tried: -c or --socket name another, and " +
			"`procman init` writes an example of one"
	case errors.As(err, &broken):
		return "none would start, for want of a configuration that can be used: " + broken[0].Head()
	case err != nil:
		return "none would start, for want of a configuration that can be used: " +
			words.Head(strings.TrimPrefix(err.Error(), daemon.BrokenConfiguration))
	}
	if a.Socket != "" {
		file.Socket = a.Socket
	}
	defer a.PendingIO.Begin("the socket " + file.Socket + ", or the state directory " + string(file.StateDir))()
	if err := api.Vacant(file.Socket); err != nil {
		return "none would start: " + daemon.ExplainInUse(err, file).Error()
	}
	if err := writeable(string(file.StateDir)); err != nil {
		return "none would start: " + err.Error()
	}
	by := ""
	if errors.As(instead, &last) && !errors.Is(last, daemon.ErrUndecided) {
		by = ", by the last good configuration, of " + last.At.Format(time.RFC3339)
	}
	return a.word("run") + " starts one" + by
}

// writeable reports why nothing could be made in a directory, or, if that does not exist, in the one that it would be
// made in.
func writeable(path string) error {
	for {
		err := syscall.Access(path, 2)
		if !errors.Is(err, syscall.ENOENT) || path == "/" {
			if err != nil {
				err = &fs.PathError{Op: "write", Path: path, Err: err}
			}
			return err
		}
		path = filepath.Dir(path)
	}
}

// shared is the key by which the configuration has come to the socket of another's daemon.
func shared(at place) string {
	if at.dir != "" && at.socket == at.dir.Socket() {
		return "state_dir"
	}
	return "socket"
}

// word is a command as it has to be typed to be about the same configuration and the same daemon.
func (a *app) word(command string) string {
	if a.Config != "" {
		command += " -c " + messages.ShellWord(a.Config)
	}
	if a.Socket != "" {
		command += " --socket " + messages.ShellWord(a.Socket)
	}
	return "`procman " + command + "`"
}

// silently is the app without what it has to say.
func (a *app) silently() *app {
	b := *a
	b.Quiet, b.Verbose = true, false
	return &b
}
