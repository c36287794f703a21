package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// testCache is a cache and what it logs.
func testCache(t *testing.T) (cache, *bytes.Buffer) {
	var log bytes.Buffer
	c := cacheIn(t.TempDir())
	c.log = slog.New(slog.NewTextHandler(&log, nil))
	return c, &log
}

func cacheIn(directory string) cache {
	return cache{directory, 1 << 30, time.Minute, slog.New(slog.DiscardHandler)}
}

// serialized has the form in which wazero writes machine code.
func serialized(text []byte) io.Reader {
	b := []byte("WAZEVO\x041.12")
	b = binary.LittleEndian.AppendUint32(b, 2)
	b = append(b, make([]byte, 2*8)...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(text)))
	return bytes.NewReader(append(append(b, text...), "after"...))
}

// writer writes an entry and counts how often.
func writer(written *atomic.Int32) func(*os.File) error {
	return func(file *os.File) error {
		written.Add(1)
		o := outline{module: []byte("a module"), memory: wasmPage, image: []byte("an image")}
		return o.write(file, serialized(bytes.Repeat([]byte("text"), alignment)))
	}
}

func requireEntry(t *testing.T, e *cached) {
	t.Helper()
	require.Equal(t, "a module", string(e.data[headerSize:e.ModuleTo]))
	require.Equal(t, "an image", string(e.data[e.ImageFrom:][:8]))
	require.EqualValues(t, wasmPage, e.ImageTo-e.ImageFrom)
	want, err := io.ReadAll(serialized(bytes.Repeat([]byte("text"), alignment)))
	require.NoError(t, err)
	got, err := io.ReadAll(&machineReader{cached: e, at: int(e.CodeFrom)})
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))
	require.NoError(t, e.close())
}

func TestOfManyThatNeedAnEntryAtOnceOneMakesIt(t *testing.T) {
	t.Parallel()
	c, _ := testCache(t)
	var written atomic.Int32
	entries := make([]*cached, 30)
	var starting sync.WaitGroup
	for i := range entries {
		starting.Go(func() { entries[i], _ = c.get(t.Context(), entryName+"x", writer(&written)) })
	}
	starting.Wait()
	require.EqualValues(t, 1, written.Load())
	for _, e := range entries {
		require.NotNil(t, e)
		requireEntry(t, e)
	}
	files, err := os.ReadDir(c.directory)
	require.NoError(t, err)
	require.Len(t, files, 1, "nothing else stays")
}

func TestAnEntryThatIsNotWhatWasWrittenIsMadeAgain(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(entry []byte) []byte{
		"empty":             func(b []byte) []byte { return nil },
		"short":             func(b []byte) []byte { return b[:20] },
		"cut":               func(b []byte) []byte { return b[:len(b)/2] },
		"longer":            func(b []byte) []byte { return append(b, 0) },
		"other positions":   func(b []byte) []byte { b[8] ^= 1; return b },
		"another module":    func(b []byte) []byte { b[headerSize] ^= 1; return b },
		"another image":     func(b []byte) []byte { b[alignment] ^= 1; return b },
		"other code":        func(b []byte) []byte { b[len(b)-1000] ^= 1; return b },
		"another checksum":  func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"nothing but zeros": func(b []byte) []byte { clear(b); return b },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, log := testCache(t)
			var written atomic.Int32
			e, err := c.get(t.Context(), entryName+"x", writer(&written))
			require.NoError(t, err)
			whole, err := os.ReadFile(e.file.Name())
			require.NoError(t, err)
			require.NoError(t, e.close())
			require.NoError(t, os.WriteFile(e.file.Name(), damage(whole), 0o600))

			e, err = c.get(t.Context(), entryName+"x", writer(&written))
			require.NoError(t, err)
			requireEntry(t, e)
			require.EqualValues(t, 2, written.Load())
			require.Contains(t, log.String(), "damaged")
		})
	}
}

func TestWhatAKilledProcessLeftIsWrittenAnew(t *testing.T) {
	t.Parallel()
	c, _ := testCache(t)
	require.NoError(t, os.WriteFile(filepath.Join(c.directory, entryName+"x"+beingMade), make([]byte, 2<<20), 0o600))
	var written atomic.Int32
	e, err := c.get(t.Context(), entryName+"x", writer(&written))
	require.NoError(t, err)
	requireEntry(t, e)
	require.EqualValues(t, 1, written.Load())
}

func TestAnEntryThatCannotBeMadeLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	c, _ := testCache(t)
	full := errors.New("no space left")
	_, err := c.get(t.Context(), entryName+"x", func(file *os.File) error {
		_, err := file.WriteString("a part")
		return errors.Join(err, full)
	})
	require.ErrorIs(t, err, full)
	files, err := os.ReadDir(c.directory)
	require.NoError(t, err)
	require.Empty(t, files)
}

func TestACacheThatCannotBeUsedIsAnError(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	var written atomic.Int32
	_, err := cacheIn(file).get(t.Context(), entryName+"x", writer(&written))
	require.ErrorIs(t, err, syscall.ENOTDIR)
	require.Zero(t, written.Load())
}

func TestTheWaitForAnotherProcessEnds(t *testing.T) {
	t.Parallel()
	c, _ := testCache(t)
	c.patience = 10 * time.Millisecond
	other, err := c.claim(entryName + "x")
	require.NoError(t, err)
	require.NotNil(t, other)
	defer other.Close()
	var written atomic.Int32

	_, err = c.get(t.Context(), entryName+"x", writer(&written))
	require.ErrorContains(t, err, "another process compiles")

	c.patience = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.get(ctx, entryName+"x", writer(&written))
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, written.Load())
}

func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	c, _ := testCache(t)
	var written atomic.Int32
	get := func(name string, ago time.Duration) int64 {
		e, err := c.get(t.Context(), entryName+name, writer(&written))
		require.NoError(t, err)
		info, err := e.file.Stat()
		require.NoError(t, err)
		used := time.Now().Add(-ago)
		require.NoError(t, os.Chtimes(e.file.Name(), used, used))
		require.NoError(t, e.close())
		return info.Size()
	}
	require.NoError(t, os.WriteFile(filepath.Join(c.directory, "of somebody else"), make([]byte, 10<<20), 0o600))
	c.most = 2 * get("a", 3*time.Hour)
	get("b", 2*time.Hour)
	get("a", time.Hour) // it is there, and has been used after b
	get("c", 0)
	require.EqualValues(t, 3, written.Load())
	files, err := os.ReadDir(c.directory)
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		names = append(names, strings.TrimPrefix(file.Name(), entryName))
	}
	require.Equal(t, []string{"of somebody else", "a", "c"}, names)
}

func TestASecondStartCompilesNothing(t *testing.T) {
	first := openHost(t, "counter", nil)
	second := openHost(t, "counter", nil)
	for _, h := range []*host{first, second} {
		require.True(t, h.module.machine.used, "wazero uses the store")
		require.NotNil(t, h.module.machine.load)
		require.Equal(t, 200, ask(h, "POST", "/increment", "").Code)
	}
	a, err := first.module.machine.load.file.Stat()
	require.NoError(t, err)
	b, err := second.module.machine.load.file.Stat()
	require.NoError(t, err)
	require.True(t, os.SameFile(a, b), "compiled again, it would be another file")
}
