package config

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

//go:embed example.yaml
var example []byte

// Example returns a commented configuration that parses, names every key and says the defaults.
func Example() []byte { return slices.Clone(example) }

// Init writes the example to path, and makes its directory if need be. It never overwrites: if something is there, the error wraps fs.ErrExist.
func Init(path string) error {
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err != nil {
		return fmt.Errorf("the example cannot be written: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("the example is not written, %s is there already: %w", path, fs.ErrExist)
	}
	if err != nil {
		return fmt.Errorf("the example cannot be written: %w", err)
	}
	_, err = f.Write(example)
	if err = errors.Join(err, f.Close()); err != nil {
		// Half an example would be in the way of the next attempt.
		return fmt.Errorf("the example cannot be written: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}
