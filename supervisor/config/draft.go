package config

import (
	"context"
	"io/fs"
	"os"
	"slices"
	"time"

	"procman/supervisor"
)

// drafting is how the files of the list came to be as they are, since the list was last known to be whole.
type drafting struct {
	files   map[string]fs.FileInfo // as they were seen last; nil: it was not there
	inPlace bool                   // one of them was changed in place, or is gone
	changed time.Time
}

// statAll looks at files; nil: it is not there.
func statAll(paths []string) map[string]fs.FileInfo {
	files := make(map[string]fs.FileInfo, len(paths))
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			info = nil
		}
		files[path] = info
	}
	return files
}

// look takes in how the files are now. A file that is another one than before was put in its place in one piece, unless
// it is seen to change after that.
func (d *drafting) look(files map[string]fs.FileInfo, now time.Time) {
	if d.files == nil {
		d.files, d.changed = files, now
		return
	}
	for path, was := range d.files {
		is := files[path]
		switch {
		case was == nil && is == nil:
		case is == nil:
			d.inPlace, d.changed = true, now
		case was == nil || !os.SameFile(was, is):
			d.changed = now
		case was.Size() != is.Size() || !was.ModTime().Equal(is.ModTime()):
			d.inPlace, d.changed = true, now
		}
	}
	for path := range files {
		if _, known := d.files[path]; !known {
			d.changed = now
		}
	}
	d.files = files
}

// Draft says how the list that AppInstances returned last came about; see supervisor.Drafter.
func (p *Provider) Draft() supervisor.Draft {
	writing := p.writing()
	p.mu.Lock()
	defer p.mu.Unlock()
	return supervisor.Draft{Whole: !p.drafting.inPlace, Writing: writing, Quiet: time.Since(p.drafting.changed)}
}

// Settled says that the list that AppInstances returned last is in force.
func (p *Provider) Settled() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drafting.inPlace = false
	p.settled = p.whole
}

// InForce returns the configuration that was last said to be in force; its Path is empty if none was that was read from
// the file. One that may be half of what is meant is not.
func (p *Provider) InForce() Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.settled
}

// DraftDigest is that of what was read last, if it may be half of what is meant and is not in force for that; else
// empty. See ProviderOptions.Draft.
func (p *Provider) DraftDigest() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.draft == "" && p.drafting.inPlace {
		return p.whole.Digest()
	}
	return p.draft
}

// listFiles are the files that the list is written in; p.mu is held.
func (p *Provider) listFiles() []string { return append([]string{p.path}, p.reads.fragments...) }

// writing reports whether somebody has one of them open for writing. The disk that could tell may stall: no lock is
// held over that, and nobody waits for it for longer than for the files themselves.
func (p *Provider) writing() bool {
	p.mu.Lock()
	files := p.listFiles()
	p.mu.Unlock()
	var writing bool
	_, err := p.disk.Do(context.Background(), readPatience, func() error {
		writing = slices.ContainsFunc(files, beingWritten)
		return nil
	}, nil)
	return err == nil && writing
}
