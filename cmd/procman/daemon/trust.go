package daemon

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"procman/cmd/procman/doctor"
	"procman/supervisor/config"
)

// Distrust finds what of a configuration others than the daemon's user and root could change or read. It is said when
// the daemon starts and by the doctor: none of it keeps anything from running.
func Distrust(file *config.File, uid int) []doctor.Finding {
	var found []doctor.Finding
	warn := func(check, means, do, format string, args ...any) {
		found = append(found, doctor.Finding{Check: check, Verdict: doctor.Warning, What: fmt.Sprintf(format, args...),
			Means: means, Do: do})
	}
	commands := "whoever can change it has commands run as the daemon's user"
	looked := map[string]bool{}
	for _, path := range append([]string{file.Path}, file.Includes...) {
		for _, place := range []string{path, filepath.Dir(path)} {
			if looked[place] {
				continue
			}
			looked[place] = true
			if why, do := writable(place, uid); why != "" {
				warn("configuration's owner", commands, do, "%s %s", place, why)
			}
		}
	}
	for _, path := range file.EnvFiles {
		if why, do := writable(path, uid); why != "" {
			warn("secrets' owner", "whoever can change it decides what the daemon and its instances believe",
				do, "%s %s", path, why)
		}
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o044 != 0 {
			warn("secrets' owner", "other users can read the secrets in it", "chmod 600 "+path, "%s has mode %04o",
				path, info.Mode().Perm())
		}
	}
	if host, _, err := net.SplitHostPort(file.API.Listen); err == nil && file.API.Listen != "" && !loopback(host) {
		warn("api.listen", "the token, and all that is asked and answered, can be read on the network, and whoever "+
			"reads the token can end every instance",
			"set api.listen to 127.0.0.1, and let a proxy with TLS or an ssh tunnel speak to it",
			"api.listen is %s: HTTP in clear text, open to the network", file.API.Listen)
	}
	return found
}

// writable says who beside the user and root can change what is at the path; empty: nobody, or there is nothing.
func writable(path string, uid int) (why, do string) {
	info, err := os.Stat(path)
	if err != nil {
		return "", ""
	}
	s, is := info.Sys().(*syscall.Stat_t)
	mode := info.Mode()
	switch {
	case !is, mode.IsDir() && mode&fs.ModeSticky != 0: // there everybody has his own
		return "", ""
	case int(s.Uid) != uid && s.Uid != 0:
		return fmt.Sprintf("belongs to uid %d", s.Uid), fmt.Sprintf("chown %d %s", uid, path)
	case mode.Perm()&0o002 != 0, uid == 0 && mode.Perm()&0o020 != 0 && s.Gid != 0:
		return fmt.Sprintf("has mode %04o", mode.Perm()), "chmod go-w " + path
	}
	return "", ""
}

// loopback reports whether nobody but this host can speak to the host of an address. A name may be anything.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// examine logs, once each, what would void the adoption of instances. It asks systemd, and so is for a goroutine.
func (d *daemon) examine(ctx context.Context) {
	facts, err := doctor.LookAdoption(ctx, os.Getpid())
	if err != nil {
		return // the daemon ends, or this host has no such facts
	}
	for _, f := range doctor.Adoption(facts) {
		if f.Verdict == doctor.Warning || f.Verdict == doctor.Fault {
			d.log.Warn("adoption is at risk", "check", f.Check, "what", f.What, "means", f.Means, "do", f.Do)
		}
	}
}
