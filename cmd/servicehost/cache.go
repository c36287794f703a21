package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/cpu"
)

const (
	entryName = "servicehost-1-"      // begins the name of an entry; 1: its form, and the settings of the runtime
	beingMade = ".new"                // ends its name until it is whole
	alignment = 1 << 16               // bytes: whole pages on every machine
	lookAgain = 50 * time.Millisecond // whether another process has made it
)

// cache keeps compiled modules in a directory, one file each. Any number of processes may use it at once.
type cache struct {
	directory string
	most      int64         // bytes of all files
	patience  time.Duration // with a process that makes the same entry
	log       *slog.Logger
}

// cached is a compiled module: its file in the cache, open and mapped.
type cached struct {
	file *os.File
	data []byte // of the file, mapped
	text []byte // the machine code in it, mapped to where wazero wants it
	header
}

// header begins the file, the module follows. Positions are in the file. It ends with a checksum of all that goes
// before.
type header struct {
	Memory             uint64 // as in outline
	ModuleTo           uint64 // of outline
	ImageFrom, ImageTo uint64 // of outline; aligned
	CodeFrom           uint64 // what wazero wrote: up to the checksum; the machine code in it is aligned
}

const (
	headerSize   = 5 * 8
	checksumSize = 4
)

var errDamaged = errors.New("a compiled module in the cache is damaged")

// keyOf names what is compiled from the module on a machine like this.
func keyOf(module io.Reader) (string, error) {
	h := sha256.New()
	fmt.Fprint(h, runtime.GOARCH, cpu.X86, cpu.ARM64)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/tetratelabs/wazero" {
				fmt.Fprint(h, d.Version, d.Sum)
			}
		}
	}
	_, err := io.Copy(h, module)
	return entryName + hex.EncodeToString(h.Sum(nil)), err
}

// get is the entry of that name. If there is none that can be used, one process makes it and the others wait for that.
func (c cache) get(ctx context.Context, key string, write func(*os.File) error) (*cached, error) {
	if err := os.MkdirAll(c.directory, 0o700); err != nil {
		return nil, err
	}
	for began := time.Now(); ; {
		e, err := c.open(key)
		if err == nil || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errDamaged) {
			return e, err
		}
		file, err := c.claim(key)
		if err != nil {
			return nil, err
		}
		if file != nil {
			e, err := c.fill(key, file, write)
			return e, errors.Join(err, file.Close())
		}
		if time.Since(began) > c.patience {
			return nil, errors.New("another process compiles the module, and does not come to an end")
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// claim opens the file that becomes the entry, for one process only and until it is closed. It is nil if another one
// has it.
func (c cache) claim(key string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(c.directory, key+beingMade), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		var mine, there os.FileInfo
		mine, err = file.Stat()
		if there, _ = os.Stat(file.Name()); err == nil && os.SameFile(mine, there) {
			return file, nil
		} // it has become the entry meanwhile
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = nil
	}
	return nil, errors.Join(err, file.Close())
}

// fill makes the entry, unless that was done before the file was claimed.
func (c cache) fill(key string, file *os.File, write func(*os.File) error) (*cached, error) {
	e, err := c.open(key)
	if err == nil {
		return e, os.Remove(file.Name())
	}
	if errors.Is(err, errDamaged) {
		c.log.Warn("it is compiled again", "error", err)
	}
	if err = file.Truncate(0); err == nil { // what a process left that was killed
		err = write(file)
	}
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(c.directory, key))
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(file.Name()))
	}
	if err := c.trim(); err != nil {
		c.log.Warn("the cache of compiled modules cannot be cleaned up", "cache", c.directory, "error", err)
	}
	return c.open(key)
}

// trim removes what was not used for the longest time. A process that uses it keeps it.
func (c cache) trim() error {
	entries, err := os.ReadDir(c.directory)
	if err != nil {
		return err
	}
	var files []os.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), entryName) { // or it is gone
			files = append(files, info)
		}
	}
	slices.SortFunc(files, func(a, b os.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	size := int64(0)
	for _, info := range files {
		made := !strings.HasSuffix(info.Name(), beingMade) || time.Since(info.ModTime()) > time.Hour
		if size += info.Size(); size > c.most && made {
			err = errors.Join(err, os.Remove(filepath.Join(c.directory, info.Name())))
		}
	}
	return err
}

// open maps the entry. The error is fs.ErrNotExist if there is none, errDamaged if it is not what was written.
func (c cache) open(key string) (*cached, error) {
	file, err := os.Open(filepath.Join(c.directory, key))
	if err != nil {
		return nil, err
	}
	e := &cached{file: file}
	if err := e.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", file.Name(), err), e.close())
	}
	now := time.Now()
	_ = os.Chtimes(file.Name(), now, now) // refused: it is only trimmed earlier
	return e, nil
}

func (e *cached) read() error {
	info, err := e.file.Stat()
	if err != nil {
		return err
	}
	size := info.Size() - checksumSize
	if size < headerSize {
		return errDamaged
	}
	// Read, not mapped: loading each page once costs a multiple of that.
	sum, want := crc32.New(crc32.MakeTable(crc32.Castagnoli)), make([]byte, checksumSize)
	if _, err = io.CopyN(sum, e.file, size); err == nil {
		_, err = io.ReadFull(e.file, want)
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(sum.Sum(nil), want) {
		return errDamaged
	}
	if e.data, err = view(e.file, int(size)); err != nil {
		return err
	}
	_, err = binary.Decode(e.data, binary.LittleEndian, &e.header)
	return err
}

// unload lets go of those parts of the mapped files that may not be needed any more.
func (e *cached) unload() {
	unload(e.text)
	unload(e.data)
}

func (e *cached) close() error {
	var err error
	if e.data != nil {
		err = forget(e.data)
	}
	return errors.Join(err, e.file.Close())
}

// write writes the file of an entry: the outline of a module and its machine code as wazero serializes it.
func (o outline) write(file io.Writer, machine io.Reader) error {
	before, err := beforeText(machine)
	if err != nil {
		return err
	}
	h := header{Memory: o.memory, ModuleTo: headerSize + uint64(len(o.module))}
	h.ImageFrom = aligned(h.ModuleTo)
	h.ImageTo = aligned(h.ImageFrom + uint64(len(o.image)))
	h.CodeFrom = aligned(h.ImageTo+uint64(len(before))) - uint64(len(before))
	front := make([]byte, h.CodeFrom)
	if _, err = binary.Encode(front, binary.LittleEndian, h); err != nil {
		return err
	}
	copy(front[headerSize:], o.module)
	copy(front[h.ImageFrom:], o.image)
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	_, err = io.Copy(io.MultiWriter(file, sum), io.MultiReader(bytes.NewReader(front),
		bytes.NewReader(before), machine))
	if err == nil {
		_, err = file.Write(sum.Sum(nil))
	}
	return err
}

func aligned(position uint64) uint64 { return (position + alignment - 1) &^ (alignment - 1) }
