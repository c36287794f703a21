package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"procman/cmd/servicehost/guest"
)

const maxPages = 2048 // 64 KiB each: the memory of one instance

var errModule = errors.New("cannot run the module")

// module is one compiled wasm file and its instances.
type module struct {
	options
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	database *database
	pool     chan *instance        // nil: one that is not made yet, or not again
	broken   atomic.Pointer[error] // what the last attempt to make an instance said
}

// loadModule compiles the file and makes the first instance.
func loadModule(ctx context.Context, o options, binary []byte, d *database) (*module, error) {
	m := &module{options: o, database: d, pool: make(chan *instance, o.instances)}
	cache, unusable := wazero.NewCompilationCacheWithDir(o.cache)
	if unusable == nil {
		unusable = m.compile(ctx, binary, cache)
	}
	if unusable != nil { // costs time, never the start
		if err := m.compile(ctx, binary, wazero.NewCompilationCache()); err != nil {
			return nil, fmt.Errorf("%w %s: %w: is it a wasm module, built with GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared?", errModule, o.wasm, err)
		}
		o.log.Warn("the cache of compiled modules cannot be used: check or delete it", "cache", o.cache, "error", unusable)
	}
	first, err := m.instantiate(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w %s: %w", errModule, o.wasm, err), m.runtime.Close(ctx))
	}
	m.pool <- first
	for range o.instances - 1 {
		m.pool <- nil
	}
	return m, nil
}

// compile makes the runtime, gives it what modules import, and compiles.
func (m *module) compile(ctx context.Context, binary []byte, cache wazero.CompilationCache) error {
	m.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
		WithCompilationCache(cache).
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
	if err == nil {
		m.compiled, err = m.runtime.CompileModule(ctx, binary)
	}
	if err == nil && m.compiled.ExportedFunctions()["handle"] == nil {
		err = errors.New("it does not export handle, see package guest")
	}
	if err != nil {
		return errors.Join(err, m.runtime.Close(ctx), cache.Close(ctx))
	}
	return nil
}

// handle lets an instance answer the request. It waits for a free one as long as the context allows.
func (m *module) handle(ctx context.Context, request guest.Request) (response guest.Response, err error) {
	var i *instance
	select {
	case i = <-m.pool:
		defer func() { m.pool <- i }()
	case <-ctx.Done():
		return response, errors.New("all instances of the application are busy")
	}
	if i == nil {
		if i, err = m.instantiate(ctx); err != nil {
			return response, err
		}
	}
	if response, err = i.handle(ctx, request); err != nil {
		// After a trap or an exit its memory is in an unknown state.
		err = errors.Join(err, i.close())
		i = nil
	}
	return response, err
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
	i.module, err = m.runtime.InstantiateModule(i.ctx, m.compiled, wazero.NewModuleConfig().
		WithName(""). // anonymous: there are several
		WithStartFunctions("_initialize", "setup").
		WithStdout(m.stderr).WithStderr(m.stderr).
		WithSysWalltime().WithSysNanotime().WithRandSource(rand.Reader).
		WithNanosleep(i.sleep))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("no instance of it can be made: %w", err), connection.Close())
	}
	return i, nil
}

// busy is the number of instances in use.
func (m *module) busy() int { return cap(m.pool) - len(m.pool) }

// check tells whether instances can be made. It waits for none.
func (m *module) check() error { return *m.broken.Load() }

// close ends all instances, each when its request has ended.
func (m *module) close() error {
	var err error
	for range cap(m.pool) {
		if i := <-m.pool; i != nil {
			err = errors.Join(err, i.close())
		}
	}
	return errors.Join(err, m.runtime.Close(context.Background()))
}

// instance is one running copy of the module with its connection to the database. It is used by one goroutine at a time.
type instance struct {
	module     api.Module
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
		panic(fmt.Errorf("take(%d, %d): %d bytes are waiting, the memory has %d", ptr, size, len(i.waiting), m.Memory().Size()))
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
