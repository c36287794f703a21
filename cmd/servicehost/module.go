package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"procman/cmd/servicehost/guest"
)

const (
	maxPages    = 4096     // 64 KiB each: the memory of one instance
	recycleFrom = 64 << 20 // bytes: wasm memory never shrinks, so an instance that has grown this far is replaced
)

var (
	errModule = errors.New("cannot run the module")
	errBusy   = errors.New("all instances of the application are busy")
)

// module is one compiled wasm file and its instances.
type module struct {
	cache    wazero.CompilationCache // nil: none
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	took     time.Duration // to compile, or to load from the cache
	database *database
	log      *slog.Logger
	stderr   io.Writer
	slots    chan struct{}         // holds one element per instance in use
	idle     chan *instance        // never more than there are slots
	broken   atomic.Pointer[error] // why the last attempt to make an instance failed; nil after one that did not
}

// loadModule compiles the file, makes the first instance and lets it set up.
func loadModule(ctx context.Context, o options, d *database, log *slog.Logger) (*module, error) {
	m := &module{database: d, log: log, stderr: o.stderr, slots: make(chan struct{}, o.instances), idle: make(chan *instance, o.instances)}
	if err := m.load(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("%w %s: %w", errModule, o.wasm, err), m.close())
	}
	return m, nil
}

func (m *module) load(ctx context.Context, o options) error {
	binary, err := os.ReadFile(o.wasm)
	if err != nil {
		return err
	}
	if err := m.compile(ctx, binary, o.cache); err != nil {
		return fmt.Errorf("%w: is it a wasm module, built with GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared?", err)
	}
	first, err := m.instantiate(ctx)
	if err != nil {
		return err
	}
	if err := first.setup(ctx); err != nil {
		return fmt.Errorf("its setup failed: %w", err)
	}
	m.idle <- first
	debug.FreeOSMemory() // what compiling took (60 MB) is not needed again
	return nil
}

// compile takes the machine code from the cache or makes it. A cache that cannot be used costs time, never the start.
func (m *module) compile(ctx context.Context, binary []byte, directory string) error {
	began := time.Now()
	defer func() { m.took = time.Since(began) }()
	cache, failure := wazero.NewCompilationCacheWithDir(directory)
	if failure == nil {
		m.cache = cache
		if failure = m.compileWith(ctx, binary); failure == nil {
			return nil
		}
	}
	err := m.close()
	m.cache, m.runtime = nil, nil
	if err := errors.Join(err, m.compileWith(ctx, binary)); err != nil {
		return err
	}
	m.log.Warn("the cache of compiled modules cannot be used: check or delete it", "cache", directory, "error", failure)
	return nil
}

// compileWith makes the runtime, gives it what modules import, and compiles.
func (m *module) compileWith(ctx context.Context, binary []byte) error {
	config := wazero.NewRuntimeConfig().
		WithCloseOnContextDone(true). // the price and the reason stand in the package's doc
		WithMemoryLimitPages(maxPages).
		WithDebugInfoEnabled(false) // only makes loading slower: a Go module prints its own stack traces
	if m.cache != nil {
		config = config.WithCompilationCache(m.cache)
	}
	m.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, m.runtime); err != nil {
		return err
	}
	if err := provideImports(ctx, m.runtime); err != nil {
		return err
	}
	var err error
	m.compiled, err = m.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0)), binary)
	if err != nil {
		return err
	}
	handle := m.compiled.ExportedFunctions()["handle"]
	if handle == nil || len(handle.ParamTypes()) != 1 || handle.ParamTypes()[0] != api.ValueTypeI32 || len(handle.ResultTypes()) != 0 {
		return errors.New("it does not export handle(i32), see package guest")
	}
	if len(m.compiled.ExportedMemories()) == 0 {
		return errors.New("it does not export its memory")
	}
	return nil
}

// handle lets an instance answer the request. It waits for a free one as long as the context allows, then fails with errBusy.
func (m *module) handle(ctx context.Context, request guest.Request) (guest.Response, error) {
	select {
	case m.slots <- struct{}{}:
	case <-ctx.Done():
		return guest.Response{}, errBusy
	}
	defer func() { <-m.slots }()
	var i *instance
	select {
	case i = <-m.idle:
	default:
		var err error
		if i, err = m.instantiate(ctx); err != nil {
			return guest.Response{}, err
		}
	}
	response, err := i.handle(ctx, request)
	if err != nil || i.size() > recycleFrom {
		// After a trap or an exit its memory is in an unknown state.
		return response, errors.Join(err, i.close())
	}
	m.idle <- i
	return response, nil
}

// instantiate makes an instance and remembers whether that still works.
func (m *module) instantiate(ctx context.Context) (*instance, error) {
	i, err := newInstance(ctx, m)
	if ctx.Err() != nil {
		return i, err // out of time, which says nothing about the module
	}
	if err != nil {
		m.broken.Store(&err)
	} else {
		m.broken.Store(nil)
	}
	return i, err
}

// busy is the number of instances in use.
func (m *module) busy() int { return len(m.slots) }

// check tells whether an instance is there or can be made. It waits for none.
func (m *module) check() error {
	if broken := m.broken.Load(); broken != nil {
		return fmt.Errorf("module: %w", *broken)
	}
	return nil
}

// close ends all instances.
func (m *module) close() error {
	var err error
	if m.runtime != nil {
		err = m.runtime.Close(context.Background())
	}
	if m.cache != nil {
		err = errors.Join(err, m.cache.Close(context.Background()))
	}
	return err
}
