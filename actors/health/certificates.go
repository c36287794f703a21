package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"procman/actors/record"
	"procman/messages"
)

const (
	// diskPatience is how long a probe waits for the disk on which its certificates are.
	diskPatience = time.Second
	// keptFor is how long a probe goes on with what it has read when the files are not what they should be: who renews
	// certificates replaces one file after the other.
	keptFor = time.Minute
	// unusedFor is how long certificates are kept that nobody has asked for.
	unusedFor = time.Hour
	mostPEM   = 1 << 20
)

// certificates has those that probes need, as they are in their files. What has not changed is read once.
type certificates struct {
	mu    sync.Mutex
	known map[messages.TLSFiles]*identity
}

// identity is what is read of the files of one policy.
type identity struct {
	disk *record.Disk // one look at a time

	mu     sync.Mutex
	used   time.Time
	seen   [3]fs.FileInfo // the files that config was read from
	config *tls.Config    // nil: they could not be read yet
	failed time.Time      // since when the files cannot be used; zero: they can
}

// material is what a look at the files found.
type material struct {
	seen   [3]fs.FileInfo
	config *tls.Config // nil: they have not changed
	err    error
}

func newCertificates() *certificates {
	return &certificates{known: map[messages.TLSFiles]*identity{}}
}

// config returns how TLS is spoken with the target.
func (c *certificates) config(ctx context.Context, t target, check *messages.HealthCheck) (*tls.Config, error) {
	base, err := c.of(check.TLS).now(ctx, check.TLS, t.deadline)
	if err != nil {
		return nil, err
	}
	config := base.Clone()
	config.ServerName = serverName(check)
	return config, nil
}

func (c *certificates) of(files messages.TLSFiles) *identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	i := c.known[files]
	if i == nil {
		for other, i := range c.known {
			if i.idle(now) {
				delete(c.known, other)
			}
		}
		i = &identity{disk: record.NewDisk("where the files of health.tls are", 1)}
		c.known[files] = i
	}
	i.mu.Lock()
	i.used = now
	i.mu.Unlock()
	return i
}

func (i *identity) idle(now time.Time) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return now.Sub(i.used) > unusedFor
}

// now returns what the files say now. If they cannot be read it is for a while what they said before.
func (i *identity) now(ctx context.Context, files messages.TLSFiles, deadline time.Time) (*tls.Config, error) {
	i.mu.Lock()
	before := i.seen
	i.mu.Unlock()
	found := make(chan material, 1)
	_, err := i.disk.Do(ctx, min(diskPatience, time.Until(deadline)), func() error {
		found <- look(files, before)
		return nil
	}, nil)
	m := material{err: err}
	if err == nil {
		m = <-found
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	at := time.Now()
	switch {
	case m.err == nil && m.config != nil:
		i.seen, i.config, i.failed = m.seen, m.config, time.Time{}
	case m.err == nil:
		i.failed = time.Time{}
	case i.failed.IsZero():
		i.failed = at
	}
	if m.err != nil && (i.config == nil || at.Sub(i.failed) > keptFor) {
		return nil, &filesError{m.err}
	}
	return i.config, nil
}

// filesError is why the files of health.tls cannot be used: nobody was asked.
type filesError struct{ err error }

func (e *filesError) Error() string { return "not probed: " + e.err.Error() }

func (e *filesError) Unwrap() error { return e.err }

// look reads the files if they are others than those seen before.
func look(files messages.TLSFiles, before [3]fs.FileInfo) (m material) {
	same := true
	for n, path := range []string{files.CA, files.Cert, files.Key} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			m.err = fmt.Errorf("health.tls: %w", err)
			return m
		}
		was := before[n]
		same = same && was != nil && os.SameFile(was, info) && was.Size() == info.Size() &&
			was.ModTime().Equal(info.ModTime())
		m.seen[n] = info
	}
	if same && before != [3]fs.FileInfo{} {
		return m
	}
	m.config, m.err = readTLS(files)
	return m
}

// readTLS reads the files.
func readTLS(files messages.TLSFiles) (*tls.Config, error) {
	config := &tls.Config{NextProtos: []string{"http/1.1"}}
	if files.CA != "" {
		text, err := record.ReadLinked(files.CA, mostPEM)
		if err != nil {
			return nil, fmt.Errorf("health.tls.ca_file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("health.tls.ca_file: there is no certificate in %s", files.CA)
		}
	}
	if files.Cert != "" {
		certificate, err1 := record.ReadLinked(files.Cert, mostPEM)
		key, err2 := record.ReadLinked(files.Key, mostPEM)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("health.tls: %w", err)
		}
		pair, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("health.tls: %s and %s: %w", files.Cert, files.Key, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
