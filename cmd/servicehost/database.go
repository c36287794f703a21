package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
)

var errDatabase = errors.New("cannot open the database")

// database is one SQLite file.
type database struct {
	path  string
	file  os.FileInfo // what was opened
	pool  *sql.DB     // for the module: as many connections as instances, so none waits for one
	probe *sql.DB     // for the status: one connection of its own, so it never waits for the module
}

// openDatabase opens or creates the file and its directory, and makes sure that it is a database in WAL mode.
func openDatabase(ctx context.Context, name string, connections int) (*database, error) {
	// Absolute, so that no name has a second meaning (":memory:", "file:…").
	path, err := filepath.Abs(name)
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", errDatabase, name, err)
	}
	d := &database{path: path}
	if err := d.open(ctx, connections); err != nil {
		return nil, errors.Join(fmt.Errorf("%w %s: %w: check -dbPath, its directory's permissions and the free space", errDatabase, path, err), d.close())
	}
	return d, nil
}

func (d *database) open(ctx context.Context, connections int) error {
	if err := os.MkdirAll(filepath.Dir(d.path), 0o755); err != nil {
		return err
	}
	// A busy timeout, because two instances that write at the same moment are normal.
	shared := "_busy_timeout=5000&_defensive=1&_foreign_keys=1"
	var err error
	if d.pool, err = connect(d.path, shared+"&_journal_mode=WAL&_synchronous=FULL", connections); err != nil {
		return err
	}
	var mode string
	if err := d.pool.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("the file system does not support WAL (journal_mode is %s)", mode)
	}
	if d.probe, err = connect(d.path, shared+"&_query_only=1", 1); err != nil {
		return err
	}
	if d.file, err = os.Stat(d.path); err != nil {
		return err
	}
	return d.check(ctx)
}

func connect(path, parameters string, connections int) (*sql.DB, error) {
	name := url.URL{Scheme: "file", Path: path, RawQuery: parameters}
	connector, err := sqlite.NewConnector(name.String())
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(confined{connector})
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	return pool, nil
}

// confined makes connections that reach no other file: ATTACH and VACUUM INTO are refused.
type confined struct{ driver.Connector }

func (c confined) Connect(ctx context.Context) (driver.Conn, error) {
	connection, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	err = connection.(sqlite.AuthorizerRegisterer).RegisterAuthorizer(
		func(action sqlite.AuthorizerActionCode, file, _, _, _ string) sqlite.AuthorizerReturnCode {
			if action == sqlite.AuthAttach && file != "" { // a plain VACUUM attaches ""
				return sqlite.AuthorizerDeny
			}
			return sqlite.AuthorizerOK
		})
	if err != nil {
		return nil, errors.Join(err, connection.Close())
	}
	return connection, nil
}

// check asks the database something cheap. It notices a file that was damaged, removed or replaced.
func (d *database) check(ctx context.Context) error {
	// SQLite would write on into a file that has no name any more.
	now, err := os.Stat(d.path)
	if err != nil {
		return fmt.Errorf("database: %w: what is written now is lost; stop the application and restore the file", err)
	}
	if !os.SameFile(now, d.file) {
		return fmt.Errorf("database %s was replaced while it was open: restart the application", d.path)
	}
	// Without its cache the connection has to read the first page again. The file must not be opened to look at it: closing it
	// would drop the locks that SQLite holds on it.
	if _, err := d.probe.ExecContext(ctx, "PRAGMA shrink_memory"); err != nil {
		return fmt.Errorf("database %s: %w", d.path, err)
	}
	var tables int
	if err := d.probe.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return fmt.Errorf("database %s: %w", d.path, err)
	}
	return nil
}

func (d *database) close() error {
	var err error
	for _, pool := range []*sql.DB{d.probe, d.pool} { // the writer last: it folds the WAL into the file
		if pool != nil {
			err = errors.Join(err, pool.Close())
		}
	}
	return err
}
