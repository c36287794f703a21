package test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor"
	"procman/test/fake"
)

func TestAProviderErrorMeansUnknownNeverNone(t *testing.T) {
	bubble(t, "6 AppInstanceProvider", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		w.Pass(time.Minute)
		w.Provider.Fail(errors.New("the file is gone"))
		w.Pass(time.Hour)
		require.Equal(t, 1, w.Spawns("web"))
		require.Equal(t, messages.Running, w.Of("web").Phase)
		rejected := func() int { return len(w.Log.Records("config rejected", "")) }
		require.Equal(t, 1, rejected(), "it was asked for many times, and is told of once")
		require.Error(t, w.Reload(context.Background()))
		require.Equal(t, 2, rejected(), "who asks is told")
		w.Provider.Fail(errors.New("the file is empty"))
		w.Pass(time.Hour)
		require.Equal(t, 3, rejected(), "another reason is told of")
		w.Want("web", "db")
		require.Equal(t, 1, w.Spawns("db"), "the next good list applies")
		w.Provider.Fail(errors.New("the file is empty"))
		w.Pass(time.Hour)
		require.Equal(t, 4, rejected(), "it is a new mistake")
	})
}

func TestABadListIsRejectedAsAWhole(t *testing.T) {
	bubble(t, "5.1 App instance definition", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		w.Pass(time.Second)
		bad := w.App("../x")
		for name, list := range map[string][]messages.AppInstance{
			"duplicate": {w.App("web"), w.App("new"), w.App("new")},
			"bad id":    {w.App("new"), bad},
			"empty id":  {w.App("new"), w.App("")},
			"long id":   {w.App("new"), w.App(messages.InstanceID(fmt.Sprintf("%0300d", 1)))},
			"no wasm":   {w.App("new"), {InstanceID: "x", DbName: "x"}},
		} {
			w.Provider.Set(list...)
			require.Error(t, w.Reload(context.Background()), name)
			require.Equal(t, 0, w.Spawns("new"), name)
			require.True(t, w.Process("web").Alive(), name)
		}
		w.Want("web", "new")
		require.NoError(t, w.Reload(context.Background()))
		require.Equal(t, 1, w.Spawns("new"))
	})
}

func TestAProviderThatDoesNotNotifyIsAskedAgain(t *testing.T) {
	bubble(t, "4 Reconciler loop", func(t *testing.T) {
		list := &asked{}
		list.apps.Store(&[]messages.AppInstance{})
		w := fake.NewWorld(t, fake.Answering(), fake.With(func(c *supervisor.Config) { c.Provider = list }))
		list.apps.Store(&[]messages.AppInstance{w.App("web")})
		w.Pass(29 * time.Second)
		require.Empty(t, w.Spawner.Live())
		w.Pass(2 * time.Second)
		require.Len(t, w.Spawner.Live(), 1)
	})
}

type asked struct {
	apps atomic.Pointer[[]messages.AppInstance]
}

func (a *asked) AppInstances(context.Context) ([]messages.AppInstance, error) {
	return *a.apps.Load(), nil
}

func TestADisabledInstanceIsKnownAndDown(t *testing.T) {
	bubble(t, "5.1", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		app := w.App("web")
		app.Disabled = true
		w.Set(app)
		w.Pass(time.Second)
		require.Equal(t, messages.Stopped, w.Of("web").Phase)
		require.Contains(t, w.Of("web").Reason, "disabled")
		require.ErrorContains(t, w.Start(context.Background(), "web"), "disabled")
		w.Want("web")
		require.Equal(t, messages.Running, func() messages.Phase { w.Pass(time.Second); return w.Of("web").Phase }())
	})
}
