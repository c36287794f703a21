package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"procman/messages"
	"procman/supervisor/api"
	"procman/supervisor/config"
)

// client returns a client of the daemon: the one behind --socket, else the one of the configuration that is found, else the
// one with the default state directory.
func (a *app) client() (*api.Client, error) {
	socket, err := a.place()
	if err != nil {
		return nil, err
	}
	if a.verbose {
		a.say("the daemon is asked at %s", socket)
	}
	if strings.HasPrefix(socket, "http://") {
		token, err := a.token()
		return api.NewRemoteClient(socket, token), err
	}
	return api.NewClient(socket), nil
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

func (a *app) place() (string, error) {
	if a.socket != "" {
		return a.socket, nil
	}
	path, err := config.Find(a.config)
	if errors.Is(err, config.ErrNotFound) && a.config == "" && os.Getenv("PROCMAN_CONFIG") == "" {
		return defaultSocket()
	}
	if err != nil {
		return "", err
	}
	file, err := config.Load(path)
	if err == nil {
		return file.Socket, nil
	}
	var broken config.Errors
	if !errors.As(err, &broken) {
		return "", fmt.Errorf("%w; --socket says where the daemon is without it", err)
	}
	// A broken edit must not keep an operator from the daemon that runs on with the last good one.
	a.say("the configuration is broken, `procman validate` says where: %s", broken[0].Head())
	return socketIn(path)
}

// defaultSocket is the socket of a configuration that says nothing.
func defaultSocket() (string, error) {
	file, err := config.Parse("procman.yaml", []byte("instances: []"), config.ThisHost())
	if err != nil {
		return "", fmt.Errorf("where the daemon answers is not known (%w); use --socket or -c", err)
	}
	return file.Socket, nil
}

var placeLine = regexp.MustCompile(`(?m)^(state_dir|socket)[ \t]*:[ \t]*(?:"([^"\n]*)"|'([^'\n]*)'|([^"'#\n]*?))[ \t]*(?:[ \t]#.*)?\r?$`)

// socketIn reads from a file that does not parse where its daemon would answer.
func socketIn(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	said := map[string]string{}
	for _, m := range placeLine.FindAllStringSubmatch(string(text), -1) {
		said[m[1]] = m[2] + m[3] + m[4]
	}
	socket := said["socket"]
	if socket == "" && said["state_dir"] != "" {
		socket = messages.StateDir(said["state_dir"]).Socket()
	}
	if socket == "" {
		return defaultSocket()
	}
	if strings.HasPrefix(socket, "/") {
		return socket, nil
	}
	return filepath.Abs(filepath.Join(filepath.Dir(path), socket))
}

// reach says what to do about a daemon that cannot be reached.
func (a *app) reach(err error) error {
	if !errors.Is(err, api.ErrUnreachable) {
		return err
	}
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w; it answers its own user and root only", err)
	}
	command := "procman run"
	if a.config != "" {
		command += " -c " + a.config
	}
	return fmt.Errorf("%w; `%s` starts one", err, command)
}
