package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"procman/actors/record"
	"procman/messages"
)

// ProviderOptions are the choices of a [Provider]. The zero value is good.
type ProviderOptions struct {
	Logger *slog.Logger // default: nothing is logged
	// Debounce is how long the files must be quiet before a change is signalled; default 250ms. Under writes that never
	// pause a change is signalled every 2 s; while somebody has a file open for writing once he has paused for 5 s, or
	// has been at it for a minute.
	Debounce time.Duration

	// LastGood is a configuration to begin with if the file is broken or missing then: the first list is its, and the
	// next one is asked of the file again. Nil: then there is no Provider.
	LastGood *File
	// Draft is what DraftDigest of an earlier Provider returned. If the files are as they were then, this one begins
	// with LastGood too, and what it reads next may be half of what is meant, still; see Draft.
	Draft string
	// StartFaults is that of the Host.
	StartFaults bool

	newWatcher func() (*fsnotify.Watcher, error)
	blind      time.Duration
}

const (
	signalAtLeast = 2 * time.Second // how long a change waits for a pause
	writingPause  = 5 * time.Second // how long somebody who has a file open for writing may pause and be waited for
	mostWriting   = time.Minute     // and how long he is waited for in all
	readPatience  = 8 * time.Second // for a file system that does not answer
	closePatience = 2 * time.Second
)

// Provider gives the instances of a configuration file, and says when it may have changed. Its methods may be called by
// any number of goroutines.
type Provider struct {
	path    string // absolute
	host    Host
	changes chan struct{}
	watcher *watcher

	cancel  context.CancelFunc
	running sync.WaitGroup

	disk *record.Disk // one read at a time, and nobody has to wait for it

	file atomic.Pointer[File] // asked for by who ends the daemon: no lock, and no disk, may keep him from it

	mu    sync.Mutex
	first bool     // file is ProviderOptions.LastGood, and nobody has been given it yet
	reads reads    // of file
	whole Snapshot // of file; empty for LastGood

	drafting drafting
	draft    string   // ProviderOptions.Draft, and the files were as they were then; until they are read again
	settled  Snapshot // see InForce
}

// NewProvider reads the file at path and watches it, together with all that it names: env files, the token file,
// included directories and what is in them. The error is that of [Load].
func NewProvider(path string, o ProviderOptions) (*Provider, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("the configuration %s cannot be located: %w", path, err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Debounce <= 0 {
		o.Debounce = 250 * time.Millisecond
	}
	if o.newWatcher == nil {
		o.newWatcher = fsnotify.NewWatcher
	}
	if o.blind <= 0 {
		o.blind = pollBlind
	}
	host := ThisHost()
	host.StartFaults = o.StartFaults
	touched := make(chan struct{}, 1)
	p := &Provider{path: whole, host: host, disk: record.NewDisk("the configuration's disk", 1),
		changes: make(chan struct{}, 1), watcher: &watcher{
			log: o.Logger, want: make(chan sights, 1), touched: touched, blind: o.blind,
			sights: sights{files: []string{whole}},
		}}
	w := p.watcher
	if w.fs, err = o.newWatcher(); err != nil {
		w.fs = nil
		w.warn(err)
	}
	w.names, _ = record.NewNames() // nil: it is looked at again and again
	p.file.Store(o.LastGood)       // what is still true of it is not read again
	// Watched before it is read: no change falls between.
	w.look()
	switch _, err := p.read(context.Background()); {
	case err == nil && (o.LastGood == nil || o.Draft == "" || p.whole.Digest() != o.Draft):
	case o.LastGood != nil:
		if err == nil {
			p.draft, p.whole = o.Draft, Snapshot{}
		}
		p.file.Store(o.LastGood)
		p.first = true
	default:
		if w.fs != nil {
			_ = w.fs.Close()
		}
		_ = w.names.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.running.Go(func() { w.run(ctx) })
	p.running.Go(func() {
		debounce(ctx, touched, p.changes, pace{o.Debounce, max(signalAtLeast, o.Debounce), writingPause,
			mostWriting, p.writing})
	})
	return p, nil
}

// AppInstances reads the file now and returns what it wants to run. An error means that this is not known; it never
// means nothing. It waits for a file system that does not answer until ctx ends, and for eight seconds at the most. Of
// a Provider that began with LastGood the first list is that one's.
func (p *Provider) AppInstances(ctx context.Context) ([]messages.AppInstance, error) {
	shared, err := p.Shared(ctx)
	if err != nil {
		return nil, err
	}
	return messages.Clones(shared), nil
}

// Shared is AppInstances for who does not change what is returned: it is the list of File itself.
func (p *Provider) Shared(ctx context.Context) ([]*messages.AppInstance, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f := p.begin()
	if f == nil {
		var err error
		if f, err = p.read(ctx); err != nil {
			return nil, err
		}
	}
	return slices.Clip(f.Instances), nil
}

// begin returns LastGood once, if that is what the Provider began with.
func (p *Provider) begin() *File {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.first {
		return nil
	}
	p.first = false
	return p.file.Load()
}

func (p *Provider) read(ctx context.Context) (*File, error) {
	var f *File
	var names reads
	var whole Snapshot
	p.mu.Lock()
	before, known, last, lastNames := p.listFiles(), p.file.Load(), p.whole, p.reads
	p.mu.Unlock()
	var files map[string]fs.FileInfo // looked at here: under the lock nobody waits for a disk
	_, err := p.disk.Do(ctx, readPatience, func() (err error) {
		text, err := readRegular(p.path)
		switch {
		case err != nil:
		case lastNames.none() && last.says(text):
			// it says what it said, as after each reload of what the watch has told of too
			whole, f, names = last, known, lastNames
		default:
			whole, f, names, err = take(p.path, text, p.host, known)
		}
		if err == nil {
			files = statAll(append([]string{p.path}, names.fragments...))
		} else {
			files = statAll(before)
		}
		if errors.Is(err, errNotRegular) {
			return fmt.Errorf("%w; a daemon reads it again and again, which a pipe does not allow: write it to a file",
				err)
		}
		return err
	}, nil)
	var stalled *record.StalledError
	var wrong Errors
	switch {
	case errors.As(err, &stalled), ctx.Err() != nil && errors.Is(err, ctx.Err()): // it may still be under way
		return nil, fmt.Errorf("the configuration cannot be read: %w", err)
	case err != nil && !errors.As(err, &wrong):
		err = fmt.Errorf("the configuration cannot be read: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// Also of a broken file: it may be broken because an env file is missing. And what a file without a single name of
	// one says, for it does not parse, may not be forgotten either.
	if err != nil {
		p.watch(names.with(p.reads))
		p.drafting.look(files, time.Now())
		return nil, err
	}
	p.watch(names)
	p.file.Store(f)
	p.reads, p.whole, p.first = names, whole, false
	p.drafting.look(files, time.Now())
	if p.draft != "" {
		p.draft, p.drafting.inPlace = "", true
	}
	return f, nil
}

// watch has the watcher look at all of it; p.mu is held.
func (p *Provider) watch(r reads) {
	s := sights{files: slices.Concat([]string{p.path}, r.others, r.fragments), dirs: r.dirs}
	select {
	case <-p.watcher.want: // an older wish that nobody has read
	default:
	}
	p.watcher.want <- s
}

// Changes has a value when the file, or what it names, may have changed since the last value.
func (p *Provider) Changes() <-chan struct{} { return p.changes }

// File returns the last good configuration that was read. It is never nil, and not to be changed.
func (p *Provider) File() *File {
	return p.file.Load()
}

// Snapshot returns all that the configuration of File was read from; nothing if that is LastGood, or as long as it may
// be half of one; see Draft.
func (p *Provider) Snapshot() Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drafting.inPlace {
		return Snapshot{}
	}
	return p.whole
}

// Notify signals a change at once, as on an operator's word.
func (p *Provider) Notify() { signal(p.changes) }

// Close ends the watch. Changes gives nothing more; AppInstances still reads.
func (p *Provider) Close() error {
	p.cancel()
	ended := make(chan struct{})
	go func() { p.running.Wait(); close(ended) }()
	late := time.NewTimer(closePatience)
	defer late.Stop()
	select {
	case <-ended:
		return nil
	case <-late.C:
		return errors.New("the watch of the configuration still waits for its disk, and is left behind")
	}
}
