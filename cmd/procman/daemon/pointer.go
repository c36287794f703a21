package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	onDisk "procman/actors/record"
	"procman/actors/spawn"
	"procman/messages"
	"procman/supervisor/api"
	"procman/supervisor/config"
)

// Pointer says where the daemon of a configuration is, or was: for those who cannot read that out of the configuration,
// because it is broken, or says something else by now. It is a hint: whether a daemon is there its lock says.
type Pointer struct {
	Config   string            `json:"config"` // see api.Canonical
	StateDir messages.StateDir `json:"state_dir"`
	Socket   string            `json:"socket"`
	// without links: StateDir is a name, and may come to mean another
	Real messages.StateDir `json:"real_state_dir,omitempty"`
	// Sum is that of the configuration's text that is in force, and Usual where a daemon would be by one that says
	// nothing: to whom both are the same the configuration says what it has said to the daemon. Empty: it is not known.
	Sum string `json:"sum,omitempty"`
	// of the configuration, as the daemon has it: relative names are relative to that
	Path  string            `json:"path,omitempty"`
	Usual messages.StateDir `json:"usual_state_dir,omitempty"`
}

// lives reports whether a daemon has the state directory, whatever its name means by now.
func (p *Pointer) lives() bool {
	return spawn.Owner(p.StateDir) != 0 || p.Real != "" && spawn.Owner(p.Real) != 0
}

const pointerKind = "pointer"

// runtimeDirs are the places for pointers, the best one first.
func runtimeDirs(getenv func(string) string) []string {
	var dirs []string
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		dirs = append(dirs, filepath.Join(dir, "procman"))
	}
	uid := strconv.Itoa(os.Geteuid())
	if os.Geteuid() == 0 {
		dirs = append(dirs, "/run/procman")
	} else if dir := "/run/user/" + uid; ownDir(dir) == nil {
		dirs = append(dirs, dir+"/procman")
	}
	return append(dirs, filepath.Join(os.TempDir(), "procman-"+uid))
}

// ownDir reports why a directory is not ours alone. In a directory that anybody may write to anybody may have made it.
func ownDir(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	stat, is := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || info.Mode().Perm()&0o077 != 0 || !is || int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is not a directory of this user's alone", path)
	}
	return nil
}

// pointerNames are the names under which a configuration's pointer lies: by the path with its links, which is what
// people write, and by the one without.
func pointerNames(path string) []string {
	names := []string{api.Canonical(path)}
	if whole, err := filepath.Abs(path); err == nil && whole != names[0] {
		names = append(names, whole)
	}
	for n, name := range names {
		sum := sha256.Sum256([]byte(name))
		names[n] = hex.EncodeToString(sum[:12]) + ".json"
	}
	return names
}

// Point leaves a pointer to a daemon, in the first place that takes it. text is that of the configuration in force;
// nil: it is not known.
func Point(file *config.File, text []byte, getenv func(string) string) error {
	p := Pointer{Config: api.Canonical(file.Path), StateDir: file.StateDir, Socket: file.Socket}
	if usual := config.UsualStateDir(); usual != "" && text != nil {
		p.Sum, p.Path, p.Usual = sumOf(text), file.Path, usual
	}
	if dir, err := filepath.EvalSymlinks(string(file.StateDir)); err == nil {
		p.Real = messages.StateDir(dir)
	}
	var errs []error
	for _, dir := range runtimeDirs(getenv) {
		err := os.MkdirAll(dir, 0o700)
		if err == nil {
			err = ownDir(dir)
		}
		for _, name := range pointerNames(file.Path) {
			if err == nil {
				err = onDisk.Write(filepath.Join(dir, name), pointerKind, p, false)
			}
		}
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Pointed returns where the daemon of a configuration is, or was the last time; nil: there is no telling. One that
// lives comes first.
func Pointed(path string, getenv func(string) string) *Pointer {
	var last *Pointer
	for _, dir := range runtimeDirs(getenv) {
		if ownDir(dir) != nil {
			continue
		}
		for _, name := range pointerNames(path) {
			var p Pointer
			// What is damaged or missing points nowhere.
			if onDisk.Read(filepath.Join(dir, name), pointerKind, &p) != nil || p.StateDir == "" {
				continue
			}
			if p.lives() {
				return &p
			}
			if last == nil {
				last = &p
			}
		}
	}
	return last
}

// PointedInForce is Pointed for a configuration that is what the daemon there has in force, so that it need not be
// parsed to find that daemon: with ten thousand instances that takes a second. Nil: it has to be.
func PointedInForce(path string, getenv func(string) string) *Pointer {
	p := Pointed(path, getenv)
	if p == nil || p.Sum == "" || IsStream(path) || !p.lives() {
		return nil
	}
	if whole, err := filepath.Abs(path); err != nil || whole != p.Path {
		return nil
	}
	text, err := onDisk.ReadLinked(path, lastGoodLimit)
	// What stands for something else may mean another thing to the daemon.
	if err != nil || sumOf(text) != p.Sum || bytes.ContainsAny(text, "$~") {
		return nil
	}
	if config.UsualStateDir() != p.Usual {
		return nil
	}
	return p
}

func sumOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// ElsewhereError says that the daemon of a configuration has another state directory than the one of that name.
type ElsewhereError string

func (e ElsewhereError) Error() string { return string(e) }

// repointed returns an [elsewhereError] if the name of that has come to mean another directory than a daemon has that
// runs by this configuration: what is there keeps nobody out, and that daemon would not be noticed.
func repointed(file *config.File, getenv func(string) string) error {
	p := Pointed(file.Path, getenv)
	if p == nil || p.StateDir != file.StateDir || p.Real == "" {
		return nil
	}
	now, err := filepath.EvalSymlinks(string(file.StateDir))
	pid := spawn.Owner(p.Real)
	if pid == 0 || err == nil && now == string(p.Real) {
		return nil
	}
	return ElsewhereError(fmt.Sprintf("the daemon of this configuration, process %d, has the state directory %s, and "+
		"%s means another now; let it mean that one again, or end that daemon first",
		pid, p.Real, file.StateDir))
}

// pruneTime is how long the disks of other daemons may take to say whether these are gone.
const pruneTime = 2 * time.Second

// prune removes the pointers of daemons that are gone with their state directories: nothing is found by them any more.
func prune(ctx context.Context, getenv func(string) string) error {
	isGone := func(dir messages.StateDir) bool {
		_, err := os.Lstat(string(dir))
		return errors.Is(err, fs.ErrNotExist)
	}
	_, err := onDisk.NewDisk("a disk of another daemon", 1).Do(ctx, pruneTime, func() error {
		var errs []error
		for _, dir := range runtimeDirs(getenv) {
			if ownDir(dir) != nil {
				continue
			}
			names, err := filepath.Glob(filepath.Join(dir, "*.json"))
			errs = append(errs, err)
			for _, name := range names {
				var p Pointer
				if onDisk.Read(name, pointerKind, &p) != nil || p.StateDir == "" {
					continue
				}
				if !isGone(p.StateDir) || p.Real != "" && !isGone(p.Real) {
					continue
				}
				if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
					errs = append(errs, err)
				}
			}
		}
		return errors.Join(errs...)
	}, nil)
	return err
}
