package test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/test/fake"
)

func TestAtTheStartOfAListWhoHasMorePriorityIsStartedFirst(t *testing.T) {
	bubble(t, "start.priority", func(t *testing.T) {
		w := fake.NewWorld(t, fake.With(parallel(1)), fake.Answering())
		var mu sync.Mutex
		var order []messages.InstanceID
		w.Spawner.OnSpawn(func(p *fake.Process) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, p.App.InstanceID)
		})
		with := func(id messages.InstanceID, priority int) messages.AppInstance {
			a := w.App(id)
			a.Start.Priority = priority
			return a
		}
		w.Set(with("web2", 0), with("late", -1), with("web1", 0), with("queue", 5), with("cache", 5), with("db", 10))
		w.Pass(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, []messages.InstanceID{"db", "cache", "queue"}, order[:3])
		require.ElementsMatch(t, []messages.InstanceID{"web1", "web2"}, order[3:5])
		require.Equal(t, messages.InstanceID("late"), order[5])
	})
}
