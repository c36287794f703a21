package main

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"modernc.org/sqlite"

	"procman/cmd/servicehost/guest"
)

const maxRows = 8 << 20 // bytes of one query's result

// session is the database as one request sees it: one connection, taken when it is first needed.
type session struct {
	pool       *sql.DB
	connection *sql.Conn
}

// query runs a statement; its error is part of the rows.
func (s *session) query(ctx context.Context, encoded []byte) guest.Rows {
	rows, err := s.fetch(ctx, encoded)
	if err != nil {
		return guest.Rows{Error: err.Error()}
	}
	return rows
}

// end gives the connection back without the transaction that may still be open.
func (s *session) end() error {
	if s.connection == nil {
		return nil
	}
	_, err := s.connection.ExecContext(context.Background(), "ROLLBACK")
	if failure := new(sqlite.Error); errors.As(err, &failure) && failure.Code() == 1 {
		err = nil // SQLITE_ERROR: no transaction is active, the normal case
	}
	if err != nil { // in doubt the connection is not used again
		_ = s.connection.Raw(func(any) error { return driver.ErrBadConn })
		s.connection = nil
		return fmt.Errorf("roll back: %w", err)
	}
	err = s.connection.Close()
	s.connection = nil
	return err
}

func (s *session) fetch(ctx context.Context, encoded []byte) (result guest.Rows, err error) {
	statement, err := s.prepare(ctx, encoded)
	if err != nil {
		return guest.Rows{}, err
	}
	rows, err := s.connection.QueryContext(ctx, statement.SQL, statement.Args...)
	if err != nil {
		return guest.Rows{}, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if result.Columns, err = rows.Columns(); err != nil {
		return guest.Rows{}, err
	}
	values := make([]any, len(result.Columns))
	into := make([]any, len(values))
	for i := range values {
		into[i] = &values[i]
	}
	size := 0
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return guest.Rows{}, err
		}
		row := make([]json.RawMessage, len(values))
		for i, value := range values {
			if row[i], err = encode(value); err != nil {
				return guest.Rows{}, fmt.Errorf("column %s: %w", result.Columns[i], err)
			}
			size += len(row[i])
		}
		if size > maxRows {
			return guest.Rows{}, fmt.Errorf("the result is larger than %d bytes: use LIMIT", maxRows)
		}
		result.Values = append(result.Values, row)
	}
	return result, rows.Err()
}

func encode(value any) (json.RawMessage, error) {
	if b, ok := value.([]byte); ok {
		value = guest.Blob{Bytes: b}
	}
	return json.Marshal(value)
}

// prepare decodes a statement and has a connection for it.
func (s *session) prepare(ctx context.Context, encoded []byte) (guest.Statement, error) {
	var statement guest.Statement
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber() // a float64 would lose the last digits of large integers
	if err := decoder.Decode(&statement); err != nil {
		return statement, fmt.Errorf("the statement is not JSON as described in package guest: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return statement, errors.New("the statement is followed by something else")
	}
	for i, arg := range statement.Args {
		var err error
		if statement.Args[i], err = bind(arg); err != nil {
			return statement, fmt.Errorf("argument %d: %w", i+1, err)
		}
	}
	if s.connection == nil {
		var err error
		if s.connection, err = s.pool.Conn(ctx); err != nil {
			return statement, err
		}
	}
	return statement, nil
}

// bind is the SQL value of a decoded JSON value.
func bind(arg any) (any, error) {
	switch v := arg.(type) {
	case nil, bool, string:
		return v, nil
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		return v.Float64()
	case map[string]any:
		if text, ok := v["blob"].(string); ok && len(v) == 1 {
			return base64.StdEncoding.DecodeString(text)
		}
	}
	return nil, errors.New(`not null, a boolean, a number, a string or {"blob": "base64"}`)
}
