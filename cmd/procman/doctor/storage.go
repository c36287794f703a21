package doctor

import (
	"errors"
	"fmt"
	"io/fs"
)

func stateDirectory(f Facts) Finding {
	const check = "state directory"
	d := f.Dir
	if d.Err != nil || d.Path == "" {
		return unknown(check, d.Err, "")
	}
	what := d.Path
	if d.Exists {
		what += fmt.Sprintf(", mode %04o, of uid %d", d.Mode.Perm(), d.Owner)
	} else {
		what += " does not exist yet; `procman run` makes it; looked at " + d.Looked
	}
	switch {
	case d.ReadOnly:
		return Finding{check, Fault, what + "; the file system is read-only", "no daemon can run with it",
			"mount it writable, or set state_dir to another place"}
	case d.Write.Fails() && errors.Is(d.Write.Err, fs.ErrPermission) && d.Owner != d.User:
		return Finding{check, Unknown, fmt.Sprintf("%s; uid %d may not write there", what, d.User),
			"it cannot be examined by this user",
			"run `procman doctor` as the user that the daemon runs as"}
	case d.Write.Fails():
		return Finding{check, Fault, what + "; a file there cannot be written: " + d.Write.Err.Error(),
			"no daemon can run with it", "see to it that the daemon's user can write there: " + d.Looked}
	case d.Exists && !f.Daemon.Answers && d.Owner != d.User && d.Owner != 0:
		return Finding{check, Warning, what, fmt.Sprintf("a daemon of uid %d does not start with it", d.User),
			fmt.Sprintf("run procman as uid %d", d.Owner)}
	case d.Exists && d.Mode.Perm()&0o022 != 0:
		return Finding{check, Warning, what, "other users can change the records, and the daemon believes them",
			"chmod go-w " + d.Path}
	case !d.Write.Made:
		return unknown(check, nil, "")
	}
	return ok(check, "%s", what)
}

// volume is a kind of file system.
type volume struct {
	name   string
	remote bool // on another host
	memory bool // gone at a reboot
}

// volumes are the usual kinds, and those of which something is to be said, by their magic numbers.
func volumes() map[int64]volume {
	return map[int64]volume{
		0xEF53: {name: "ext4"}, 0x58465342: {name: "xfs"}, 0x9123683E: {name: "btrfs"}, 0x2FC12FC1: {name: "zfs"},
		0xF2F52010: {name: "f2fs"}, 0xCA451A4E: {name: "bcachefs"}, 0x794C7630: {name: "overlayfs"},
		0xF15F:     {name: "ecryptfs"},
		0x01021994: {name: "tmpfs", memory: true}, 0x858458F6: {name: "ramfs", memory: true},
		0x6969: {name: "nfs", remote: true}, 0xFF534D42: {name: "cifs", remote: true},
		0xFE534D42: {name: "smb2", remote: true},
		0x517B:     {name: "smbfs", remote: true}, 0x01021997: {name: "9p", remote: true},
		0x00C36400: {name: "ceph", remote: true},
		0x5346414F: {name: "afs", remote: true}, 0x0BD00BD0: {name: "lustre", remote: true},
		0x47504653: {name: "gpfs", remote: true},
		0x7461636F: {name: "ocfs2", remote: true}, 0x01161970: {name: "gfs2", remote: true}, 0x65735546: {name: "fuse"},
	}
}

func fileSystem(f Facts) Finding {
	const check = "file system"
	d := f.Dir
	if d.Type == 0 {
		return unknown(check, d.Err, "")
	}
	system := volumes()[d.Type]
	what := system.name
	if what == "" {
		what = fmt.Sprintf("type %#x", d.Type)
	}
	bound := "output is cut from its head"
	switch {
	case d.Flock.Fails():
		return Finding{check, Fault, what + "; flock does not work: " + d.Flock.Err.Error(),
			"two daemons, and two processes of one instance, cannot be told apart",
			"set state_dir to a directory on a local disk"}
	case d.Collapse.Fails() && d.Punch.Fails():
		return Finding{check, Warning, what + "; it neither cuts nor punches holes into files: " + d.Punch.Err.Error(),
			"output files cannot be bounded and grow until the disk is full",
			"set state_dir to ext4, xfs, btrfs or tmpfs, or have the instances write less"}
	case d.Collapse.Fails() && d.Punch.Works():
		bound = "output is bounded by a hole at its head"
	case !d.Collapse.Works():
		bound = "what it can do was not tried"
	}
	if d.Flock.Works() {
		bound = "flock works, " + bound
	}
	found := ok(check, "%s; %s", what, bound)
	switch {
	case system.remote:
		found.Verdict, found.Means = Warning, "when the server does not answer the daemon waits, and whether a lock "+
			"is one depends on it"
		found.Do = "set state_dir to a directory on a local disk"
	case system.memory:
		found.Means = "it is empty after a reboot: holds (`procman stop`), counters and kept output are gone then"
	case d.Collapse.Fails():
		found.Means = "`ls -l` shows output files larger than what they occupy; `du` shows that"
	}
	return found
}

// What a daemon needs to write its records, whatever the instances print.
const (
	leastFree  = 16 << 20
	filesEach  = 10
	filesAlone = 64
)

func diskSpace(f Facts) Finding {
	const check = "disk space"
	d := f.Dir
	if d.FreeBytes == nil {
		return unknown(check, d.Err, "")
	}
	output := 2 * f.Wants.Output * int64(f.Wants.Instances)
	if f.Wants.Total > 0 {
		output = min(output, f.Wants.Total)
	}
	need := leastFree + max(0, output-d.OutputBytes)
	files := int64(filesEach*f.Wants.Instances + filesAlone)
	what := fmt.Sprintf("%s free, output may still grow by %s", size(*d.FreeBytes), size(need-leastFree))
	if d.FreeFiles != nil {
		what += fmt.Sprintf("; %d inodes free", *d.FreeFiles)
	}
	do := "free space on the file system of " + d.Looked + ", or lower output.max_size or output.total"
	switch {
	case *d.FreeBytes < leastFree, d.FreeFiles != nil && *d.FreeFiles < filesAlone:
		return Finding{check, Fault, what,
			"records cannot be written: what is held and counted is lost with the daemon", do}
	case *d.FreeBytes < need:
		return Finding{check, Warning, what, "the disk is full before output is bounded", do}
	case d.FreeFiles != nil && *d.FreeFiles < files:
		return Finding{check, Warning, what, fmt.Sprintf("%d may be needed", files), do}
	}
	return ok(check, "%s", what)
}

// maxSocket is the longest path at which the API makes its socket, in bytes.
const maxSocket = 99

func socket(f Facts) Finding {
	const check = "socket"
	s := f.Socket
	what := fmt.Sprintf("%s, %d of %d bytes", s.Path, len(s.Path), maxSocket)
	switch {
	case s.Path == "":
		return unknown(check, nil, "")
	case len(s.Path) > maxSocket:
		return Finding{check, Fault, what, "a unix socket cannot have so long a path, and the daemon does not start",
			"set socket in the configuration to a shorter path, such as /run/procman.sock"}
	case s.Mode == nil:
		return ok(check, "%s; not there while no daemon runs", what)
	case s.Mode.Type() != fs.ModeSocket:
		return Finding{check, Fault, what + "; it is no socket", "the daemon does not start",
			"remove it, or set socket to another path: rm " + s.Path}
	case s.Mode.Perm()&0o077 != 0:
		return Finding{check, Warning, fmt.Sprintf("%s, mode %04o", what, s.Mode.Perm()),
			"others can connect; they are refused by their uid, but take up connections", "chmod 600 " + s.Path}
	}
	return ok(check, "%s, mode %04o", what, s.Mode.Perm())
}
