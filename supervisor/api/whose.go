package api

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
)

// These say in a request by which configuration the daemon must run that is meant: where a daemon answers is a name,
// and another's may answer there.
const (
	configHeader = "Procman-Config"      // what [Canonical] returns, as in a query
	fileHeader   = "Procman-Config-File" // which file that is: one has several paths, by a bind mount or a hard link
)

// Canonical returns one name for a file, whatever links and relative paths it is spelt with. A file that does not exist
// has one, too.
func Canonical(path string) string {
	whole, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if file, err := filepath.EvalSymlinks(whole); err == nil {
		return file
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(whole)); err == nil {
		return filepath.Join(dir, filepath.Base(whole))
	}
	return whole
}

// SameFile reports whether two paths name one file, as [Canonical] tells or as the file system does.
func SameFile(one, other string) bool {
	if Canonical(one) == Canonical(other) {
		return true
	}
	id := fileID(one)
	return id != "" && id == fileID(other)
}

// fileID names a file as long as it exists, whatever its path; empty: it does not.
func fileID(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	s, is := info.Sys().(*syscall.Stat_t)
	if !is {
		return ""
	}
	return fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}

// For has every request refused by a daemon that does not run by the configuration at path; empty: by none. The error
// has CodeOther. A daemon of an earlier version answers all the same. It returns the client.
func (c *Client) For(path string) *Client {
	c.config, c.file = "", ""
	if path != "" {
		c.config, c.file = Canonical(path), fileID(path)
	}
	return c
}

// meant reports why the request is for another daemon; nil: it is not.
func (s *Server) meant(r *http.Request) *Error {
	config, err := url.QueryUnescape(r.Header.Get(configHeader))
	ours := s.options.Manager.Config
	if err != nil || config == "" || ours == "" || config == Canonical(ours) {
		return nil
	}
	if id := r.Header.Get(fileHeader); id != "" && id == fileID(ours) {
		return nil
	}
	return &Error{fmt.Sprintf("the daemon that answers here, pid %d, runs by %s, not by %s", s.options.Manager.PID,
		ours, config), CodeOther, http.StatusConflict}
}
