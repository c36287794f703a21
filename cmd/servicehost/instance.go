package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"procman/cmd/servicehost/guest"
)

const maxLogLine = 8 << 10 // bytes of one record of the module

// instance is one running copy of the module. It is used by one goroutine at a time.
type instance struct {
	module  api.Module
	log     *slog.Logger
	session session
	ctx     context.Context // of the call that runs
	waiting []byte          // what the module may take
	answer  *guest.Response // what the module responded
}

// instanceKey finds the instance in the context of a call into it.
type instanceKey struct{}

// newInstance makes an instance and runs its _initialize.
func newInstance(ctx context.Context, m *module) (*instance, error) {
	i := &instance{log: m.log, session: session{pool: m.database.pool}}
	config := wazero.NewModuleConfig().
		WithName(""). // anonymous: there are several
		WithStartFunctions("_initialize").
		WithStdout(m.stderr).WithStderr(m.stderr).
		WithSysWalltime().WithSysNanotime().WithRandSource(rand.Reader).
		WithNanosleep(i.sleep)
	err := i.call(ctx, func(ctx context.Context) (err error) {
		i.module, err = m.runtime.InstantiateModule(ctx, m.compiled, config)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("no instance of it can be made: %w", err)
	}
	return i, nil
}

// setup calls the module's setup, if it has one.
func (i *instance) setup(ctx context.Context) error {
	setup := i.module.ExportedFunction("setup")
	if setup == nil {
		return nil
	}
	return i.call(ctx, func(ctx context.Context) error {
		_, err := setup.Call(ctx)
		return err
	})
}

// handle gives one request to the module. After an error the instance is of no more use.
func (i *instance) handle(ctx context.Context, request guest.Request) (guest.Response, error) {
	encoded, err := json.Marshal(request)
	if err != nil {
		return guest.Response{}, err
	}
	i.waiting, i.answer = encoded, nil
	err = i.call(ctx, func(ctx context.Context) error {
		_, err := i.module.ExportedFunction("handle").Call(ctx, uint64(len(encoded)))
		return err
	})
	switch {
	case err != nil:
		return guest.Response{}, err
	case i.answer == nil:
		return guest.Response{}, errors.New("the module did not respond")
	}
	return *i.answer, nil
}

// call runs something in the instance and gives back what it used of the database.
func (i *instance) call(ctx context.Context, do func(context.Context) error) error {
	i.ctx = context.WithValue(ctx, instanceKey{}, i)
	defer func() { i.ctx, i.waiting = nil, nil }()
	return errors.Join(do(i.ctx), i.session.end())
}

// sleep is what the module sleeps with: the end of its time ends the sleep too.
func (i *instance) sleep(ns int64) {
	timer := time.NewTimer(time.Duration(ns))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-i.ctx.Done():
	}
}

// size is the size of its memory in bytes.
func (i *instance) size() int { return int(i.module.Memory().Size()) }

func (i *instance) close() error { return i.module.Close(context.Background()) }

// provideImports makes the functions that package guest describes.
func provideImports(ctx context.Context, runtime wazero.Runtime) error {
	_, err := runtime.NewHostModuleBuilder("servicehost").
		NewFunctionBuilder().WithFunc(importTake).Export("take").
		NewFunctionBuilder().WithFunc(importRespond).Export("respond").
		NewFunctionBuilder().WithFunc(importQuery).Export("query").
		NewFunctionBuilder().WithFunc(importLog).Export("log").
		Instantiate(ctx)
	return err
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
	response := new(guest.Response)
	if err := json.Unmarshal(read(m, ptr, size), response); err != nil {
		panic(fmt.Errorf("the module's response is not JSON as described in package guest: %w", err))
	}
	caller(ctx).answer = response
}

func importQuery(ctx context.Context, m api.Module, ptr, size uint32) uint32 {
	i := caller(ctx)
	return i.leave(i.session.query(ctx, read(m, ptr, size)))
}

func importLog(ctx context.Context, m api.Module, level int32, ptr, size uint32) {
	caller(ctx).log.Log(ctx, slog.Level(level), string(read(m, ptr, min(size, maxLogLine))), "source", "module")
}

// leave puts a value where the module can take it.
func (i *instance) leave(value any) uint32 {
	encoded, err := json.Marshal(value)
	if err != nil {
		panic(err) // results and rows hold only strings, numbers and encoded JSON
	}
	i.waiting = encoded
	return uint32(len(encoded))
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
