package spawn

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

var (
	errDamaged = errors.New("the record is damaged")
	errSchema  = errors.New("the record was written by another version of procman")
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

// seal returns the record that holds body. The kind is part of the checksum: no record can be taken for one of another kind.
func seal(kind string, body any) ([]byte, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return sealRaw(kind, raw)
}

func sealRaw(kind string, raw json.RawMessage) ([]byte, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %d ", kind, schema)
	sum.Write(raw)
	line, err := json.Marshal(envelope{Schema: schema, Checksum: hex.EncodeToString(sum.Sum(nil)[:16]), Body: raw})
	if err != nil {
		return nil, err
	}
	return append(line, '\n'), nil
}

// unseal fills body with what the record holds. It accepts exactly what seal wrote, to the bit.
func unseal(kind string, record []byte, body any) error {
	var e envelope
	if err := json.Unmarshal(record, &e); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	if e.Schema != schema {
		return fmt.Errorf("%w: its schema is %d, this one's is %d", errSchema, e.Schema, schema)
	}
	// To seal again and compare also finds what the checksum does not cover.
	if again, err := sealRaw(kind, e.Body); err != nil || !bytes.Equal(again, record) {
		return fmt.Errorf("%w: its checksum is wrong", errDamaged)
	}
	if err := json.Unmarshal(e.Body, body); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return nil
}

// readRecord fills body from the file. The error wraps fs.ErrNotExist if there is no such file, and names the file.
func readRecord(path, kind string, body any) error {
	record, err := readRegular(path)
	if err != nil {
		return err
	}
	if err := unseal(kind, record, body); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func readRegular(path string) ([]byte, error) {
	// A record may have been replaced by anything. To open a fifo must not block.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxRecord {
		return nil, fmt.Errorf("%s: %w: it is no file of a record's size", path, errDamaged)
	}
	return io.ReadAll(io.LimitReader(f, maxRecord))
}

// stage writes the record beside the file; commit makes it the file. Writers of one path take turns.
func stage(path, kind string, body any, sync bool) (err error) {
	record, err := seal(kind, body)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	f, err := os.OpenFile(staged(path), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(record)
	if err == nil && sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(staged(path)))
	}
	return nil
}

// commit replaces the file by what was staged. With sync it is on disk when commit returns.
func commit(path string, sync bool) error {
	if err := os.Rename(staged(path), path); err != nil {
		return err
	}
	if sync {
		return syncDir(filepath.Dir(path))
	}
	return nil
}

// staged is always the same name: what a killed manager left is overwritten and does not pile up.
func staged(path string) string { return path + ".tmp" }

// syncDir puts the names in a directory on disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
