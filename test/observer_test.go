package test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor"
	"procman/test/fake"
)

// deaf panics once when it is told of such an event.
func deaf(of messages.EventType) func(messages.Event) {
	once := true
	return func(e messages.Event) {
		if e.What == of && once {
			once = false
			panic("an observer with a bug")
		}
	}
}

// An observer that panicked once at "instance exited" or "instance restarting" left the instance in backoff for ever;
// at "instance stopped" Shutdown never ended.
func TestWhoeverIsToldAndPanicsHarmsNobody(t *testing.T) {
	whole := []messages.EventType{messages.InstanceStarted, messages.InstanceReady, messages.InstanceExited,
		messages.InstanceRestarting,
		messages.InstanceStopping, messages.InstanceStopped, messages.ConfigApplied, messages.OperatorActed}
	for how, listen := range map[string]func(*supervisor.Config, messages.EventType){
		"an observer": func(c *supervisor.Config, of messages.EventType) {
			c.Observe = append(c.Observe, supervisor.Observer{Event: deaf(of)})
		},
		"a subscriber of the event stream": func(c *supervisor.Config, of messages.EventType) {
			hear := deaf(of)
			c.System.EventStream.Subscribe(func(told any) {
				if e, is := told.(messages.Event); is {
					hear(e)
				}
			})
		},
		"the logger": func(c *supervisor.Config, of messages.EventType) {
			c.Logger = slog.New(deafHandler{c.Logger.Handler(), deaf(of)})
		},
	} {
		for _, of := range whole {
			t.Run(how+", "+string(of), func(t *testing.T) {
				bubble(t, "7: a listener is not a part of the deed", func(t *testing.T) {
					var heard []messages.EventType
					w := fake.NewWorld(t, fake.Answering(), fake.Backoff(time.Second),
						fake.With(func(c *supervisor.Config) {
							listen(c, of)
							c.Observe = append(c.Observe, supervisor.Observer{
								Event: func(e messages.Event) { heard = append(heard, e.What) }})
						}))
					w.Want("web")
					w.Pass(time.Second)
					w.Process("web").Exit(1)
					w.Pass(3 * time.Second)
					require.Equal(t, messages.Running, w.Of("web").Phase)
					require.Equal(t, 2, w.Spawns("web"))
					require.NoError(t, w.Restart(ctxSecond(t), "web"))
					w.Pass(3 * time.Second)
					require.Equal(t, 3, w.Spawns("web"))
					ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
					defer cancel()
					require.NoError(t, w.Shutdown(ctx))
					require.NoError(t, w.Err())
					require.Empty(t, w.Spawner.Live())
					for _, what := range whole {
						require.Contains(t, heard, what, "the others hear all")
					}
					bugs := w.Log.Bugs()
					require.Len(t, bugs, 1, "said once")
					require.True(t, strings.HasPrefix(bugs[0].Msg, "bug: who is told"), bugs[0].Msg)
				})
			})
		}
	}
}

// deafHandler is a handler with a bug.
type deafHandler struct {
	slog.Handler
	hear func(messages.Event)
}

func (h deafHandler) Handle(ctx context.Context, r slog.Record) error {
	h.hear(messages.Event{What: messages.EventType(r.Message)})
	return h.Handler.Handle(ctx, r)
}

func TestAnObserverThatAlwaysPanicsIsSaidOnce(t *testing.T) {
	bubble(t, "7: a listener is not a part of the deed", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.Backoff(time.Second), fake.With(func(c *supervisor.Config) {
			c.Observe = []supervisor.Observer{{
				Event:      func(messages.Event) { panic("an event") },
				Transition: func(messages.Transition) { panic("a transition") },
				Reconciled: func(messages.Reconciled) { panic("a list") },
			}}
		}))
		w.Want("web", "db")
		w.Pass(time.Second)
		for range 5 {
			w.Process("web").Exit(1)
			w.Pass(time.Minute)
		}
		require.Equal(t, messages.Running, w.Of("web").Phase)
		require.Equal(t, messages.Running, w.Of("db").Phase)
		require.Len(t, w.Log.Bugs(), 1)
	})
}

// Deeds come first: whoever is told of one finds all done that the same cause asked for.
func TestWhoeverIsToldFindsAllOfItDone(t *testing.T) {
	bubble(t, "8", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("a", "b", "c")
		w.Pass(time.Second)
		var phases []messages.Phase
		end := w.Observe(supervisor.Observer{Event: func(e messages.Event) {
			if e.What != messages.InstanceStopping || phases != nil {
				return
			}
			for _, id := range []messages.InstanceID{"a", "b", "c"} {
				s, _ := w.Lookup(id)
				phases = append(phases, s.Phase)
			}
		}})
		w.Set()
		require.Equal(t, []messages.Phase{messages.Stopping, messages.Stopping, messages.Stopping}, phases)
		end()
		phases = nil
		w.Want("a")
		w.Pass(time.Second)
		w.Set()
		w.Pass(time.Second)
		require.Empty(t, phases, "it hears no more")
	})
}
