package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"procman/actors/record"
	"procman/actors/runas"
	"procman/messages"
)

// ErrNotFound says that there is no configuration in any of the places where one is looked for.
var ErrNotFound = errors.New("no configuration found")

// Host is what a configuration depends on beside its own text.
type Host struct {
	Getenv   func(name string) string
	Hostname func() (string, error)            // nil: it is not known
	Root     bool                              // the daemon runs as root
	ReadFile func(path string) ([]byte, error) // for env files, the token file and fragments
	// ReadDir returns the names of the regular files in a directory, and of links to them, in their order. A link that
	// cannot be followed is one of them: reading it tells why, and to pass over it would end its instances.
	ReadDir func(path string) ([]string, error)
	// StartFaults makes an env file that cannot be used a fault of the start of its instances
	// (messages.AppInstance.EnvFault), and not of the configuration: for a daemon, whose other instances have nothing
	// to do with it.
	StartFaults bool
	// Group looks a group up by its name or number; nil: what names a group is taken as it is.
	Group func(name string) error
	// Process returns why this host and this user cannot do what `process:` asks for; nil: nobody asks.
	Process func(messages.ProcessPolicy) error
}

// DaemonHost is ThisHost for a daemon: with StartFaults.
func DaemonHost() Host {
	h := ThisHost()
	h.StartFaults, h.Process = true, nil // what cannot be met is a fault of the start
	return h
}

// ThisHost is the host this process runs on. Its ReadFile refuses what is no regular file, and more than 16 MiB.
func ThisHost() Host {
	return Host{
		Getenv:   os.Getenv,
		Hostname: os.Hostname,
		Root:     os.Geteuid() == 0,
		ReadFile: readRegular,
		ReadDir:  readDir,
		Group: func(name string) error {
			_, err := GroupID(name)
			return err
		},
		Process: func(p messages.ProcessPolicy) error {
			_, err := runas.Resolve(p)
			return err
		},
	}
}

// GroupID returns the number of a group that is given by its name or its number, of which no group need exist.
func GroupID(name string) (int, error) {
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("there is no group of this name on this host")
	}
	return strconv.Atoi(g.Gid)
}

func readDir(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		kind := e.Type()
		if kind&fs.ModeSymlink != 0 && fragmentName(e.Name()) {
			if target, err := os.Stat(filepath.Join(path, e.Name())); err == nil {
				kind = target.Mode().Type()
			} else {
				kind = 0
			}
		}
		if kind.IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Find returns the configuration to use: explicit if it is not empty, else $PROCMAN_CONFIG, ./procman.yaml,
// $XDG_CONFIG_HOME/procman/procman.yaml (~/.config without that variable), /etc/procman/procman.yaml; the first that
// exists. One that is named by the caller or by $PROCMAN_CONFIG must exist. The error wraps [ErrNotFound].
func Find(explicit string) (string, error) { return find(explicit, os.Getenv) }

func find(explicit string, getenv func(string) string) (string, error) {
	if explicit != "" {
		return named(explicit, "given")
	}
	if path := getenv("PROCMAN_CONFIG"); path != "" {
		return named(path, "$PROCMAN_CONFIG")
	}
	places := Places("", getenv)
	for _, path := range places {
		if exists(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w; looked for\n  %s\n`procman init` writes an example to procman.yaml, -c FILE and "+
		"$PROCMAN_CONFIG name another place",
		ErrNotFound, strings.Join(places, "\n  "))
}

// Places returns where [Find] looks, in its order.
func Places(explicit string, getenv func(string) string) []string {
	if explicit == "" {
		explicit = getenv("PROCMAN_CONFIG")
	}
	if explicit != "" {
		return []string{explicit}
	}
	places := []string{"procman.yaml"}
	if dir := xdg(getenv, "XDG_CONFIG_HOME", ".config"); dir != "" {
		places = append(places, filepath.Join(dir, "procman", "procman.yaml"))
	}
	return append(places, "/etc/procman/procman.yaml")
}

func named(path, how string) (string, error) {
	if exists(path) {
		return path, nil
	}
	if to, err := os.Readlink(path); err == nil {
		return "", fmt.Errorf("%w: %s (%s) is a link to %s, which does not exist", ErrNotFound, path, how, to)
	}
	return "", fmt.Errorf("%w: %s (%s) does not exist; `procman init %s` writes an example there", ErrNotFound,
		path, how, messages.ShellWord(path))
}

// exists also says yes to what cannot be looked at: reading it tells why, and passing over it would run another
// configuration than the one that is meant.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// UsualStateDir is the state directory of a configuration that names none; empty if the environment gives none.
func UsualStateDir() messages.StateDir { return ThisHost().stateDir() }

// stateDir is the default state directory; empty if the environment names none.
func (h Host) stateDir() messages.StateDir {
	// systemd puts several directories there if the unit asks for several.
	if dir, _, _ := strings.Cut(h.Getenv("STATE_DIRECTORY"), ":"); filepath.IsAbs(dir) {
		return messages.StateDir(filepath.Clean(dir))
	}
	if h.Root {
		return "/var/lib/procman"
	}
	if dir := xdg(h.Getenv, "XDG_STATE_HOME", ".local/state"); dir != "" {
		return messages.StateDir(filepath.Join(dir, "procman"))
	}
	return ""
}

// xdg returns a base directory, empty if there is none. The XDG specification has relative ones ignored.
func xdg(getenv func(string) string, name, underHome string) string {
	if dir := getenv(name); filepath.IsAbs(dir) {
		return dir
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, underHome)
	}
	return ""
}

var errNotRegular = errors.New("not a regular file")

// readRegular returns what a regular file holds, and waits for nothing else: a read from a pipe could wait for ever.
func readRegular(path string) ([]byte, error) {
	text, err := record.ReadLinked(path, maxFile)
	var other *record.NotRegularError
	if info, statErr := os.Stat(path); errors.As(err, &other) && statErr == nil && info.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: syscall.EISDIR}
	}
	if errors.As(err, &other) {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%s, %w", other.Is, errNotRegular)}
	}
	return text, err
}
