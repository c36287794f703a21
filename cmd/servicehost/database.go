package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"procman/cmd/servicehost/guest"
)

const maxRows = 8 << 20 // bytes of one query's result

var errDatabase = errors.New("cannot open the database")

// database is one SQLite file.
type database struct {
	path string
	pool *sql.DB
}

// openDatabase opens or creates the file and its directory, and makes sure that it is a database. There are two
// connections at least.
func openDatabase(ctx context.Context, name string, connections int) (*database, error) {
	path, err := filepath.Abs(name) // so that no name has a second meaning (":memory:", "file:…")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	d := &database{path: path}
	if err == nil {
		// A busy timeout, because two instances that write at the same moment are normal.
		// The default of 2 MB of cached pages would be each connection's own; the kernel has them once.
		parameters := "_busy_timeout=5000&_defensive=1&_foreign_keys=1&_journal_mode=WAL&_synchronous=FULL" +
			"&_pragma=cache_size(-256)"
		d.pool, err = sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: parameters}).String())
	}
	if err == nil {
		d.pool.SetMaxOpenConns(connections)
		var first *sql.Conn
		if first, err = d.connect(ctx); err == nil {
			err = errors.Join(d.check(ctx), first.Close()) // so there is one for the first instance, too
		}
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w: check -dbPath, its directory's permissions and the free space",
			errDatabase, name, err)
	}
	return d, nil
}

// check asks the database something cheap. It notices a file that was damaged or removed.
func (d *database) check(ctx context.Context) error {
	// Without its cache the connection has to read the first page again.
	if _, err := d.pool.ExecContext(ctx, "PRAGMA shrink_memory; SELECT count(*) FROM sqlite_schema"); err != nil {
		return fmt.Errorf("database %s: %w", d.path, err)
	}
	// SQLite would write on into a file that has no name any more.
	if _, err := os.Stat(d.path); err != nil {
		return fmt.Errorf("database: %w: what is written now is lost; stop the application and restore the file", err)
	}
	return nil
}

// close folds the WAL into the file.
func (d *database) close() error { return d.pool.Close() }

// connect makes a connection for an instance. It reaches no other file: ATTACH and VACUUM (which attaches) are refused.
func (d *database) connect(ctx context.Context) (*sql.Conn, error) {
	connection, err := d.pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := sqlite.Limit(connection, sqlite3.SQLITE_LIMIT_ATTACHED, 0); err != nil {
		return nil, errors.Join(err, connection.Close())
	}
	return connection, nil
}

// rollBack ends the transaction that a request may have left open.
func rollBack(connection *sql.Conn) error {
	// The savepoint begins a transaction if there is none, so there is always one to roll back.
	_, err := connection.ExecContext(context.Background(), "SAVEPOINT request; ROLLBACK")
	return err
}

// query runs an encoded guest.Statement.
func query(ctx context.Context, connection *sql.Conn, encoded []byte) (result guest.Rows, err error) {
	var statement guest.Statement
	if err := json.Unmarshal(encoded, &statement); err != nil {
		return result, fmt.Errorf("the statement is not JSON as described in package guest: %w", err)
	}
	rows, err := connection.QueryContext(ctx, statement.SQL, statement.Args...)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if result.Columns, err = rows.Columns(); err != nil {
		return result, err
	}
	values, into := make([]any, len(result.Columns)), make([]any, len(result.Columns))
	for i := range values {
		into[i] = &values[i]
	}
	for size := 0; rows.Next(); {
		if err := rows.Scan(into...); err != nil {
			return result, err
		}
		row, err := json.Marshal(values)
		if err != nil {
			return result, fmt.Errorf("the columns %q: %w", result.Columns, err)
		}
		if size += len(row); size > maxRows {
			return result, fmt.Errorf("the result is larger than %d bytes: use LIMIT", maxRows)
		}
		result.Values = append(result.Values, row)
	}
	return result, rows.Err()
}
