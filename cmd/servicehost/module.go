package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"procman/cmd/servicehost/guest"
)

const (
	maxPages = 2048            // 64 KiB each: the memory of one instance
	maxCache = 2 << 30         // bytes of compiled modules that are kept
	patience = 2 * time.Minute // with a process that compiles the same module: all at once would take far longer
)

var errModule = errors.New("cannot run the module")

// module is one compiled wasm file and its instances.
type module struct {
	options
	machine  machineStore
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	database *database
	used     chan struct{}         // holds one for each instance that is
	idle     chan *instance        // those that are made and not used
	broken   atomic.Pointer[error] // what the last attempt to make an instance said

	rest      *time.Timer // shrinks it
	shrinking sync.Mutex
}

// loadModule compiles the file, or takes it from the cache. start comes next, or closeCode.
func loadModule(ctx context.Context, o options, wasm io.Reader) (*module, error) {
	m := &module{options: o, used: make(chan struct{}, o.instances), idle: make(chan *instance, o.instances)}
	prepared := make(chan error, 1)
	go func() { prepared <- m.prepare(ctx) }() // takes as long as reading the module
	key, err := keyOf(wasm)
	if err = errors.Join(err, <-prepared); err != nil {
		return nil, errors.Join(fmt.Errorf("%w %s: %w", errModule, o.wasm, err), m.closeCode(ctx))
	}
	unusable := m.fromCache(ctx, key)
	if unusable != nil { // costs time, never the start
		err = m.compile(ctx, "", nil)
	}
	if err != nil {
		err = fmt.Errorf("%w %s: %w: is it a wasm module, built with GOOS=wasip1 GOARCH=wasm go build "+
			"-buildmode=c-shared?",
			errModule, o.wasm, err)
		return nil, errors.Join(err, m.closeCode(ctx))
	}
	if unusable != nil {
		o.log.Warn("the cache of compiled modules cannot be used: check or delete it", "cache", o.cache,
			"error", unusable)
	}
	return m, nil
}

// prepare makes the runtime and gives it what modules import.
func (m *module) prepare(ctx context.Context) error {
	m.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
		WithCompilationCache(m.machine.cache()).
		WithCloseOnContextDone(true). // the price and the reason stand in the package's doc
		WithMemoryLimitPages(maxPages).
		WithDebugInfoEnabled(false)) // only makes loading slower: a Go module prints its own stack traces
	_, err := wasi_snapshot_preview1.Instantiate(ctx, m.runtime)
	if err == nil {
		// What package guest describes.
		_, err = m.runtime.NewHostModuleBuilder("servicehost").
			NewFunctionBuilder().WithFunc(importTake).Export("take").
			NewFunctionBuilder().WithFunc(importRespond).Export("respond").
			NewFunctionBuilder().WithFunc(importQuery).Export("query").
			Instantiate(ctx)
	}
	return err
}

// fromCache takes the compiled module from the cache, where it is made first if need be.
func (m *module) fromCache(ctx context.Context, key string) error {
	if !m.machine.used {
		return errors.New("this version of wazero has another kind of cache")
	}
	e, err := cache{m.cache, maxCache, patience, m.log}.get(ctx, key, func(file *os.File) error {
		if err := m.compile(ctx, key, file); err != nil {
			return err
		}
		defer debug.FreeOSMemory() // compiling takes a hundred megabytes
		return m.compiled.Close(ctx)
	})
	if err != nil {
		return err
	}
	m.machine.load = e
	if m.compiled, err = m.runtime.CompileModule(ctx, e.data[headerSize:e.ModuleTo]); err != nil {
		m.machine.load = nil
		err = errors.Join(err, e.close(), os.Remove(e.file.Name())) // the next start makes it again
	}
	return err
}

// compile compiles the module, and makes the file of an entry of the cache if there is one.
func (m *module) compile(ctx context.Context, key string, file io.Writer) error {
	binary, err := os.ReadFile(m.wasm)
	if err != nil {
		return err
	}
	if file != nil {
		if now, _ := keyOf(bytes.NewReader(binary)); now != key {
			return errors.New("the module was changed while it was read")
		}
		m.machine.save = func(machine io.Reader) error {
			o, err := outlineOf(binary)
			if err != nil {
				return err
			}
			return o.write(file, machine)
		}
		defer func() { m.machine.save = nil }()
	}
	m.compiled, err = m.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0)), binary)
	return err
}

// start makes the first instance.
func (m *module) start(ctx context.Context, d *database) error {
	m.database = d
	first, err := m.instantiate(ctx)
	if err != nil {
		return fmt.Errorf("%w %s: %w", errModule, m.wasm, err)
	}
	m.idle <- first
	m.rest = time.AfterFunc(m.restAfter, m.shrink)
	return nil
}

// shrink ends all idle instances but one, and gives back what the last requests took, or the start.
func (m *module) shrink() {
	if !m.shrinking.TryLock() {
		return
	}
	defer m.shrinking.Unlock()
	for len(m.idle) > 1 {
		select {
		case i := <-m.idle:
			if err := i.close(); err != nil {
				m.log.Warn("an idle instance did not end properly", "error", err)
			}
		default:
		}
	}
	debug.FreeOSMemory()
	if m.machine.load != nil {
		m.machine.load.unload()
	}
}

// handle lets an instance answer the request. It waits for a free one as long as the context allows.
func (m *module) handle(ctx context.Context, request guest.Request) (response guest.Response, err error) {
	select {
	case m.used <- struct{}{}:
		defer func() {
			m.rest.Reset(m.restAfter)
			<-m.used
		}()
	case <-ctx.Done():
		return response, errors.New("all instances of the application are busy")
	}
	var i *instance
	select {
	case i = <-m.idle:
	default:
		if i, err = m.instantiate(ctx); err != nil {
			return response, err
		}
	}
	if response, err = i.handle(ctx, request); err != nil {
		// After a trap or an exit its memory is in an unknown state.
		return response, errors.Join(err, i.close())
	}
	m.idle <- i
	return response, nil
}

// instantiate makes an instance, lets it set up, and remembers whether that works.
func (m *module) instantiate(ctx context.Context) (i *instance, err error) {
	defer func() {
		if i != nil || ctx.Err() == nil { // out of time says nothing about the module
			m.broken.Store(&err)
		}
	}()
	connection, err := m.database.connect(ctx)
	if err != nil {
		return nil, err
	}
	i = &instance{connection: connection}
	i.ctx = context.WithValue(ctx, instanceKey{}, i)
	start := i.ctx
	if e := m.machine.load; e != nil && e.Memory > 0 && mappable {
		if i.memory, err = e.newMemory(maxPages * wasmPage); err != nil {
			return nil, errors.Join(err, connection.Close())
		}
		start = experimental.WithMemoryAllocator(i.ctx, i.memory)
	}
	i.module, err = m.runtime.InstantiateModule(start, m.compiled, wazero.NewModuleConfig().
		WithName(""). // anonymous: there are several
		WithStartFunctions("_initialize", "setup").
		WithStdout(m.stderr).WithStderr(m.stderr).
		WithSysWalltime().WithSysNanotime().WithRandSource(rand.Reader).
		WithNanosleep(i.sleep))
	if err == nil && i.module.ExportedFunction("handle") == nil {
		err = errors.Join(errors.New("it does not export handle, see package guest"), i.module.Close(ctx))
	}
	if err != nil {
		if i.memory != nil {
			i.memory.Free()
		}
		return nil, errors.Join(fmt.Errorf("no instance of it can be made: %w", err), connection.Close())
	}
	return i, nil
}

// busy is the number of instances in use.
func (m *module) busy() int { return len(m.used) }

// check tells whether instances can be made. It waits for none.
func (m *module) check() error { return *m.broken.Load() }

// close ends all instances, each when its request has ended.
func (m *module) close() error {
	for range cap(m.used) {
		m.used <- struct{}{}
	}
	m.rest.Stop()
	m.shrinking.Lock() // for good
	close(m.idle)
	var err error
	for i := range m.idle {
		err = errors.Join(err, i.close())
	}
	return errors.Join(err, m.closeCode(context.Background()))
}

// closeCode is for a module that has no instances.
func (m *module) closeCode(ctx context.Context) error {
	err := m.runtime.Close(ctx)
	if m.machine.load != nil {
		err = errors.Join(err, m.machine.load.close())
	}
	return err
}

// instance is one running copy of the module with its connection to the database. It is used by one goroutine at a
// time.
type instance struct {
	module     api.Module
	memory     *memory // nil: wazero's
	connection *sql.Conn
	ctx        context.Context // of the call that runs
	waiting    []byte          // what the module may take
	answer     guest.Response  // what the module responded
}

// instanceKey finds the instance in the context of a call into it.
type instanceKey struct{}

// handle gives one request to the module. After an error the instance is of no more use.
func (i *instance) handle(ctx context.Context, request guest.Request) (guest.Response, error) {
	encoded, err := json.Marshal(request)
	if err != nil {
		return guest.Response{}, err
	}
	i.ctx, i.waiting, i.answer = context.WithValue(ctx, instanceKey{}, i), encoded, guest.Response{}
	_, err = i.module.ExportedFunction("handle").Call(i.ctx, uint64(len(encoded)))
	if err == nil && (i.answer.Status < 200 || i.answer.Status > 599) {
		err = fmt.Errorf("the module responded with the status %d, or not at all", i.answer.Status)
	}
	return i.answer, errors.Join(err, rollBack(i.connection))
}

// sleep is what the module sleeps with: the end of its time ends the sleep too.
func (i *instance) sleep(ns int64) {
	select {
	case <-time.After(time.Duration(ns)):
	case <-i.ctx.Done():
	}
}

func (i *instance) close() error {
	return errors.Join(i.module.Close(context.Background()), i.connection.Close())
}

func importTake(ctx context.Context, m api.Module, ptr, size uint32) {
	i := caller(ctx)
	if int(size) != len(i.waiting) || !m.Memory().Write(ptr, i.waiting) {
		// wazero turns a panic of a host function into a trap of the module.
		panic(fmt.Errorf("take(%d, %d): %d bytes are waiting, the memory has %d", ptr, size, len(i.waiting),
			m.Memory().Size()))
	}
	i.waiting = nil
}

func importRespond(ctx context.Context, m api.Module, ptr, size uint32) {
	var response guest.Response
	if err := json.Unmarshal(read(m, ptr, size), &response); err != nil {
		panic(fmt.Errorf("the module's response is not JSON as described in package guest: %w", err))
	}
	caller(ctx).answer = response
}

func importQuery(ctx context.Context, m api.Module, ptr, size uint32) uint32 {
	i := caller(ctx)
	rows, err := query(ctx, i.connection, read(m, ptr, size))
	if err != nil {
		rows = guest.Rows{Error: err.Error()}
	}
	if i.waiting, err = json.Marshal(rows); err != nil {
		panic(err) // rows hold only strings and encoded JSON
	}
	return uint32(len(i.waiting))
}

// read is a view of the module's memory, valid until the module runs again.
func read(m api.Module, ptr, size uint32) []byte {
	b, ok := m.Memory().Read(ptr, size)
	if !ok {
		panic(fmt.Errorf("%d bytes at %d are outside of the module's memory of %d", size, ptr, m.Memory().Size()))
	}
	return b
}

func caller(ctx context.Context) *instance { return ctx.Value(instanceKey{}).(*instance) }
