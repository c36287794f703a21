package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	onDisk "procman/actors/record"
	"procman/messages"
	"procman/supervisor/api"
	"procman/supervisor/config"
)

// lastGood is a configuration that has been in force, as it is kept for a start at which the file is broken or gone.
type lastGood struct {
	At       time.Time       `json:"at"` // when it came into force
	Snapshot config.Snapshot `json:"snapshot"`
	// Draft is the digest of what the files were after it, that may be half of what is meant; empty: there was nothing.
	// A daemon that finds them so goes on with the last good configuration, as the one before did.
	Draft string `json:"draft,omitempty"`
}

const (
	lastGoodKind  = "configuration"
	lastGoodLimit = 64 << 20 // bytes: more than a configuration and what it names can have
)

// readLastGood reads what is kept in the directory. It wraps fs.ErrNotExist if nothing is.
func readLastGood(dir messages.StateDir) (*lastGood, error) {
	path := dir.LastGood()
	text, err := onDisk.ReadFile(path, lastGoodLimit)
	if err != nil {
		return nil, err
	}
	// It names programs to be run: by whoever could write it.
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if stat, is := info.Sys().(*syscall.Stat_t); !is || info.Mode().Perm()&0o022 != 0 ||
		int(stat.Uid) != os.Geteuid() && stat.Uid != 0 {
		return nil, fmt.Errorf("%s: others than this user can have written it", path)
	}
	var g lastGood
	if err := onDisk.Unseal(lastGoodKind, text, &g); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &g, nil
}

// FindLastGood looks for what is kept of the configuration at path, in every state directory that may be its: the one
// that the file says, so far as it can be read, the one of its last daemon, and the default. It returns nil and no
// error if nothing is kept.
func FindLastGood(path string, getenv func(string) string) (*config.File, time.Time, error) {
	var dirs []messages.StateDir
	if said, _ := config.Locate(path, config.ThisHost()); said.StateDir != "" {
		dirs = append(dirs, said.StateDir)
	}
	if p := Pointed(path, getenv); p != nil {
		dirs = append(dirs, p.StateDir)
	}
	if usual, err := DefaultFile(); err == nil {
		dirs = append(dirs, usual.StateDir)
	}
	var errs []error
	for _, dir := range dirs {
		g, err := readLastGood(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("the last good configuration is kept, but cannot be used: %w", err))
			continue
		}
		if !api.SameFile(g.Snapshot.Path, path) {
			continue // another's
		}
		file, err := g.Snapshot.Parse()
		if err != nil {
			errs = append(errs,
				fmt.Errorf("the last good configuration, kept in %s, cannot be used by this version: %w",
					dir.LastGood(), err))
			continue
		}
		if file.StateDir != dir { // by the environment of this start
			if file.Socket == file.StateDir.Socket() {
				file.Socket = dir.Socket()
			}
			file.StateDir = dir
		}
		return file, g.At, nil
	}
	return nil, time.Time{}, errors.Join(errs...)
}

// ErrUndecided is why what has left a good file runs on at a start.
var ErrUndecided = errors.New("entries are missing that the file may have lost, and nobody has confirmed that they " +
	"are to go")

// undecided returns, if the files are as they were when it was in doubt whether they are whole, what was in force then:
// what they say, and of the last good configuration what they have lost; nil if not. A file that was edited since is
// taken at its word.
func undecided(path string, dir messages.StateDir) (*config.File, time.Time) {
	g, err := readLastGood(dir)
	if err != nil || g.Draft == "" {
		return nil, time.Time{}
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, time.Time{}
	}
	now, err := config.Take(path, config.DaemonHost())
	if err != nil || now.Digest() != g.Draft {
		return nil, time.Time{}
	}
	good, err := g.Snapshot.Parse()
	if err != nil || good.StateDir != dir {
		return nil, time.Time{}
	}
	draft, err := now.Parse()
	if err != nil {
		return nil, time.Time{}
	}
	there := make(map[messages.InstanceID]bool, len(draft.Instances))
	for _, app := range draft.Instances {
		there[app.InstanceID] = true
	}
	all := slices.Clone(draft.Instances)
	for _, app := range good.Instances {
		if !there[app.InstanceID] {
			all = append(all, app)
		}
	}
	good.Instances = all
	return good, g.At
}

// InsteadError is why the last good configuration is in force.
type InsteadError struct {
	err error
	At  time.Time
}

func (e *InsteadError) Error() string { return e.err.Error() }
func (e *InsteadError) Unwrap() error { return e.err }

// lastGoodWriter keeps what comes into force. Nothing waits for it.
type lastGoodWriter struct {
	dir      messages.StateDir
	provider *config.Provider
	point    func(text []byte) // leaves a pointer with what is in force
	log      *slog.Logger
	news     chan struct{}
	quit     chan struct{}
	writing  sync.WaitGroup

	// Of the disk's one writer.
	kept *lastGood
	file fs.FileInfo // of kept, as it was written; nil: nothing was
}

// lastGoodPatience is how long the state disk may take for it, and how long an end of the daemon waits.
const lastGoodPatience = 2 * time.Second

func keepLastGood(dir messages.StateDir, p *config.Provider, point func(text []byte),
	log *slog.Logger) *lastGoodWriter {
	k := &lastGoodWriter{dir: dir, provider: p, point: point, log: log, news: make(chan struct{}, 1),
		quit: make(chan struct{})}
	k.writing.Go(k.run)
	return k
}

// reconciled hears that a list is in force.
func (k *lastGoodWriter) reconciled(messages.Reconciled) { k.again() }

// again has it looked whether what is kept is what is in force.
func (k *lastGoodWriter) again() {
	select {
	case k.news <- struct{}{}:
	default:
	}
}

func (k *lastGoodWriter) Close() error {
	close(k.quit)
	k.writing.Wait()
	return nil
}

func (k *lastGoodWriter) run() {
	disk := onDisk.NewDisk("the state disk", 1)
	var pointed []byte
	keep := func() error {
		whole, draft := k.provider.InForce(), k.provider.DraftDigest()
		if text := whole.Files[whole.Path]; text != nil && !bytes.Equal(text, pointed) {
			k.point(text)
			pointed = text
		}
		_, err := disk.Do(context.Background(), lastGoodPatience, func() error { return k.save(whole, draft) }, nil)
		return err
	}
	untilWritten(k.news, k.quit, keep, func(err error) {
		if err == nil {
			k.log.Info("the configuration in force is kept again")
			return
		}
		k.log.Warn("the configuration in force cannot be kept; that is tried again until it is", "error", err.Error(),
			"consequence", "a daemon that finds the file broken when it starts has an older one, or none")
	})
}

// save keeps what is in force; nothing if that is what is kept.
func (k *lastGoodWriter) save(whole config.Snapshot, draft string) error {
	g, err := k.read()
	next := lastGood{At: time.Now().UTC(), Snapshot: whole, Draft: draft}
	if err == nil && (whole.Path == "" || g.Snapshot.Equal(whole)) {
		next.At, next.Snapshot = g.At, g.Snapshot
	}
	if next.Snapshot.Path == "" || err == nil && g.Snapshot.Equal(next.Snapshot) && g.Draft == draft {
		return nil
	}
	text, err := onDisk.Seal(lastGoodKind, next)
	if err != nil {
		return err
	}
	if err := onDisk.WriteFile(k.dir.LastGood(), text, true); err != nil {
		return err
	}
	k.kept, k.file = &next, nil
	if info, err := os.Lstat(k.dir.LastGood()); err == nil { // else it is read the next time
		k.file = info
	}
	return nil
}

// read is readLastGood, unless the file is what was written here: then it is known.
func (k *lastGoodWriter) read() (*lastGood, error) {
	info, err := os.Lstat(k.dir.LastGood())
	if err == nil && k.file != nil && os.SameFile(info, k.file) && info.Size() == k.file.Size() &&
		info.ModTime().Equal(k.file.ModTime()) &&
		info.Mode() == k.file.Mode() {
		return k.kept, nil
	}
	return readLastGood(k.dir)
}
