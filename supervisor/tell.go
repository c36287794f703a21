package supervisor

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"procman/messages"
)

// Observer is told what has happened, after it is done. A nil function is told nothing. They are called by the root, or
// beside it by several goroutines at once, and must not block. When one is called, Status and Lookup know of what it is
// told. One that panics harms nobody: that is logged as a bug, once.
type Observer struct {
	Event      func(messages.Event)      // something worth knowing
	Transition func(messages.Transition) // every change of an instance
	Reconciled func(messages.Reconciled) // a list is in force
}

func (o Observer) hear(told any) {
	switch t := told.(type) {
	case messages.Event:
		if o.Event != nil {
			o.Event(t)
		}
	case messages.Transition:
		if o.Transition != nil {
			o.Transition(t)
		}
	case messages.Reconciled:
		if o.Reconciled != nil {
			o.Reconciled(t)
		}
	}
}

// teller is the one place from which the world is told: first the log, then the observers, then whoever has subscribed
// to the actor system's EventStream.
type teller struct {
	log    *slog.Logger
	logged listener
	stream listener

	mu        sync.Mutex
	observers []*listener // replaced, never changed
}

// listener is somebody who is told.
type listener struct {
	who    string
	hear   func(any)
	faulty sync.Once
}

func newTeller(log *slog.Logger, system *actor.ActorSystem, observers []Observer) *teller {
	t := &teller{log: log}
	t.logged.who, t.logged.hear = "the logger", Observer{Event: func(e messages.Event) { e.Log(log) }}.hear
	t.stream.who, t.stream.hear = "a subscriber of the actor system's event stream", system.EventStream.Publish
	for _, o := range observers {
		t.observe(o)
	}
	return t
}

// observe has o told from now on, until end is called.
func (t *teller) observe(o Observer) (end func()) {
	l := &listener{who: "an observer", hear: o.hear}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.observers = append(slices.Clone(t.observers), l)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.observers = slices.DeleteFunc(slices.Clone(t.observers), func(other *listener) bool { return other == l })
	}
}

// tell tells a messages.Event, Transition or Reconciled. A bug of whoever hears it is not the teller's.
func (t *teller) tell(told any) {
	t.mu.Lock()
	observers := t.observers
	t.mu.Unlock()
	t.one(&t.logged, told)
	for _, l := range observers {
		t.one(l, told)
	}
	t.one(&t.stream, told)
}

func (t *teller) one(l *listener, told any) {
	defer func() {
		if cause := recover(); cause != nil {
			l.faulty.Do(func() { t.complain(l, told, cause) })
		}
	}()
	l.hear(told)
}

func (t *teller) complain(l *listener, told, cause any) {
	defer func() { _ = recover() }() // if it is the logger, there is nobody else to tell
	t.log.Error("bug: who is told of what happens has panicked; nothing else is harmed, and it is not said again",
		"who", l.who, "told", fmt.Sprintf("%T", told), "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
}
