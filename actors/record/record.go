package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

var (
	// ErrDamaged says that a record is none, or not as it was written.
	ErrDamaged = errors.New("the record is damaged")
	// ErrSchema says that a record is of a schema that is not known here.
	ErrSchema = errors.New("the record was written by another version of procman")
)

// schema is the version of what records hold, also in head. A record of another one is reported and left alone.
const schema = 1

// maxRecord is more than any record has: a greater file is none.
const maxRecord = 1 << 20

// envelope is the form of every record on disk, as one line of JSON.
type envelope struct {
	Schema   int             `json:"schema"`
	Checksum string          `json:"checksum"` // of kind, schema and body
	Body     json.RawMessage `json:"body"`
}

// Seal returns the record that holds body. The kind is part of the checksum: no record can be taken for one of another
// kind.
func Seal(kind string, body any) ([]byte, error) {
	var line bytes.Buffer
	line.WriteString(head)
	if err := json.NewEncoder(&line).Encode(body); err != nil {
		return nil, err
	}
	return seal(kind, line.Bytes()), nil
}

// head is what stands before a body, with a checksum that is none. json.Marshal of an envelope makes the same of it,
// but would read the body once more.
const (
	headSum = `{"schema":1,"checksum":"`
	head    = headSum + "00000000000000000000000000000000" + `","body":`
)

// seal makes the record of the head, a body and the end of a line.
func seal(kind string, line []byte) []byte {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %d ", kind, schema)
	sum.Write(line[len(head) : len(line)-1])
	hex.Encode(line[len(headSum):], sum.Sum(nil)[:16])
	return append(line[:len(line)-1], "}\n"...)
}

// Unseal fills body with what the record holds. It accepts exactly what Seal wrote, to the bit.
func Unseal(kind string, record []byte, body any) error {
	// To seal again and compare also finds what the checksum does not cover. What is so is read once, without its
	// envelope.
	if n := len(record) - len("}\n"); n > len(head) &&
		bytes.Equal(seal(kind, slices.Concat([]byte(head), record[len(head):n], []byte{'\n'})), record) {
		if err := json.Unmarshal(record[len(head):n], body); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return nil
	}
	var e envelope
	if err := json.Unmarshal(record, &e); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if e.Schema != schema {
		return fmt.Errorf("%w: its schema is %d, this one's is %d", ErrSchema, e.Schema, schema)
	}
	return fmt.Errorf("%w: its checksum is wrong", ErrDamaged)
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

// Staged is where Stage writes. It is always the same name: what a killed manager left is replaced and does not pile
// up.
func Staged(path string) string { return path + ".tmp" }

// SyncDir puts the names in a directory on disk.
func SyncDir(dir string) error {
	d, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
