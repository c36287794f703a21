package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

var (
	// ErrDamaged says that a record is none, or not as it was written.
	ErrDamaged = errors.New("the record is damaged")
	// ErrSchema says that a record is of a schema that is not known here.
	ErrSchema = errors.New("the record was written by another version of procman")
)

// schema is the version of what records hold. A record of another one is reported and left alone.
const schema = 1

// maxRecord is more than any record has: a greater file is none.
const maxRecord = 1 << 20

// envelope is the form of every record on disk, as one line of JSON.
type envelope struct {
	Schema   int             `json:"schema"`
	Checksum string          `json:"checksum"` // of kind, schema and body
	Body     json.RawMessage `json:"body"`
}

// Seal returns the record that holds body. The kind is part of the checksum: no record can be taken for one of another kind.
func Seal(kind string, body any) ([]byte, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return sealRaw(kind, raw), nil
}

// sealRaw puts the envelope around a body as json.Marshal does: that one would read the body once more.
func sealRaw(kind string, raw []byte) []byte {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %d ", kind, schema)
	sum.Write(raw)
	line := make([]byte, 0, len(raw)+96)
	line = fmt.Appendf(line, `{"schema":%d,"checksum":"%x","body":`, schema, sum.Sum(nil)[:16])
	return append(append(line, raw...), "}\n"...)
}

// Unseal fills body with what the record holds. It accepts exactly what Seal wrote, to the bit.
func Unseal(kind string, record []byte, body any) error {
	var e envelope
	if err := json.Unmarshal(record, &e); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if e.Schema != schema {
		return fmt.Errorf("%w: its schema is %d, this one's is %d", ErrSchema, e.Schema, schema)
	}
	// To seal again and compare also finds what the checksum does not cover.
	if !bytes.Equal(sealRaw(kind, e.Body), record) {
		return fmt.Errorf("%w: its checksum is wrong", ErrDamaged)
	}
	if err := json.Unmarshal(e.Body, body); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// Read fills body from the file. The error wraps fs.ErrNotExist if there is no such file, and names the file.
func Read(path, kind string, body any) error {
	record, err := ReadFile(path, maxRecord)
	var other *NotRegularError
	var large *TooLargeError
	if errors.As(err, &other) || errors.As(err, &large) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return err
	}
	if err := Unseal(kind, record, body); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Stage writes the record beside the file; Commit makes it the file. Writers of one path take turns.
func Stage(path, kind string, body any, sync bool) error {
	record, err := Seal(kind, body)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return StageFile(path, record, sync)
}

// StageFile is Stage for a file that is no record.
func StageFile(path string, content []byte, sync bool) error {
	staged := Staged(path)
	fd, err := create(staged, 0o600)
	if err != nil {
		return err
	}
	err = writeAll(fd, staged, content)
	if err == nil && sync {
		err = pathError("sync", staged, again(func() error { return syscall.Fsync(fd) }))
	}
	if err = errors.Join(err, pathError("close", staged, syscall.Close(fd))); err != nil {
		return errors.Join(err, os.Remove(staged))
	}
	return nil
}

// Commit replaces the file by what was staged. With sync it is on disk when Commit returns.
func Commit(path string, sync bool) error {
	staged := Staged(path)
	if err := again(func() error { return syscall.Rename(staged, path) }); err != nil {
		return &os.LinkError{Op: "rename", Old: staged, New: path, Err: err}
	}
	if sync {
		return SyncDir(filepath.Dir(path))
	}
	return nil
}

// Write replaces the file by the record.
func Write(path, kind string, body any, sync bool) error {
	if err := Stage(path, kind, body, sync); err != nil {
		return err
	}
	return Commit(path, sync)
}

// WriteFile replaces a file that is no record.
func WriteFile(path string, content []byte, sync bool) error {
	if err := StageFile(path, content, sync); err != nil {
		return err
	}
	return Commit(path, sync)
}

// Staged is where Stage writes. It is always the same name: what a killed manager left is replaced and does not pile up.
func Staged(path string) string { return path + ".tmp" }

// SyncDir puts the names in a directory on disk.
func SyncDir(dir string) error {
	d, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
