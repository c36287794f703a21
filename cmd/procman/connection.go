package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"procman/actors/spawn"
	"procman/messages"
	"procman/supervisor/api"
	"procman/supervisor/config"
)

// client returns a client of the daemon: the one behind --socket, else the one of the configuration that is found, else the
// one with the default state directory.
func (a *app) client() (*api.Client, error) {
	at, err := a.place()
	if err != nil {
		return nil, err
	}
	if a.verbose {
		a.say("the daemon is asked at %s", at.socket)
	}
	if strings.HasPrefix(at.socket, "http://") {
		token, err := a.token()
		return api.NewRemoteClient(at.socket, token), err
	}
	return api.NewClient(at.socket), nil
}

// token reads what a daemon on TCP is to be shown.
func (a *app) token() (string, error) {
	path := a.env("PROCMAN_TOKEN_FILE")
	if path == "" {
		return "", usage("a daemon on TCP wants a token: set PROCMAN_TOKEN_FILE to the file of its api.token_file")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the token of PROCMAN_TOKEN_FILE cannot be read: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// place is where a daemon is to be found.
type place struct {
	socket string
	dir    messages.StateDir // empty: not known
	found  bool              // by --socket or a configuration; false: it is the default
}

func (a *app) place() (place, error) {
	if a.socket != "" && a.config == "" {
		at := place{socket: a.socket, found: true}
		// A socket by its usual name lies in the state directory; any other may lie anywhere.
		if dir := messages.StateDir(filepath.Dir(a.socket)); dir.Socket() == filepath.Clean(a.socket) {
			at.dir = dir
		}
		return at, nil
	}
	if a.socket == "" {
		return a.configured()
	}
	at, err := a.silently().configured()
	if err != nil {
		at.dir = "" // the socket is enough to speak to the daemon
	}
	at.socket, at.found = a.socket, true
	return at, nil
}

// configured returns the place that the configuration says.
func (a *app) configured() (place, error) {
	path, err := config.Find(a.config)
	if errors.Is(err, config.ErrNotFound) && a.config == "" && os.Getenv("PROCMAN_CONFIG") == "" {
		return defaultPlace()
	}
	if err != nil {
		return place{}, err
	}
	file, err := config.Load(path)
	if err == nil {
		return place{file.Socket, file.StateDir, true}, nil
	}
	var broken config.Errors
	if !errors.As(err, &broken) {
		return place{}, fmt.Errorf("%w; --socket says where the daemon is without it", err)
	}
	// A broken edit must not keep an operator from the daemon that runs on with the last good one.
	a.say("the configuration is broken, `procman validate` says where: %s", broken[0].Head())
	return placeIn(path)
}

// defaultPlace is the place of a configuration that says nothing.
func defaultPlace() (place, error) {
	file, err := defaultFile()
	if err != nil {
		return place{}, err
	}
	return place{socket: file.Socket, dir: file.StateDir}, nil
}

// defaultFile is a configuration that says nothing.
func defaultFile() (*config.File, error) {
	file, err := config.Parse("procman.yaml", []byte("instances: []"), config.ThisHost())
	if err != nil {
		return nil, fmt.Errorf("where the daemon answers is not known (%w); use --socket or -c", err)
	}
	return file, nil
}

var placeLine = regexp.MustCompile(`(?m)^(state_dir|socket)[ \t]*:[ \t]*(?:"([^"\n]*)"|'([^'\n]*)'|([^"'#\n]*?))[ \t]*(?:[ \t]#.*)?\r?$`)

// placeIn reads from a file that does not parse where its daemon would answer.
func placeIn(path string) (place, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return place{}, fmt.Errorf("%w; --socket says where the daemon is without it", err)
	}
	said := map[string]string{}
	for _, m := range placeLine.FindAllStringSubmatch(string(text), -1) {
		if s := m[2] + m[3] + m[4]; s != "" {
			said[m[1]] = s
		}
	}
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return place{}, err
	}
	for key, s := range said {
		if !filepath.IsAbs(s) {
			said[key] = filepath.Join(folder, s)
		}
	}
	at := place{socket: said["socket"], dir: messages.StateDir(said["state_dir"]), found: true}
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

// reach says what to do about a daemon that cannot be reached.
func (a *app) reach(err error) error {
	if !errors.Is(err, api.ErrUnreachable) {
		return err
	}
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w; it answers its own user and root only: try as that user, or with sudo", err)
	}
	at, placeErr := a.silently().place()
	if placeErr != nil {
		return err
	}
	if at.dir != "" {
		if pid := spawn.Owner(at.dir); pid != 0 {
			return fmt.Errorf("%w; but process %d has the state directory %s: it is starting or ending, or hangs; its log says which", err, pid, at.dir)
		}
	}
	command := "procman run"
	if a.config != "" {
		command += " -c " + a.config
	}
	if a.socket != "" {
		command += " --socket " + a.socket
	}
	hint := ""
	if !at.found {
		hint = "; no configuration was found, so the default place was tried: -c or --socket name another"
	}
	return fmt.Errorf("%w; `%s` starts one%s", err, command, hint)
}

// silently is the app without what it has to say.
func (a *app) silently() *app {
	b := *a
	b.quiet, b.verbose = true, false
	return &b
}
