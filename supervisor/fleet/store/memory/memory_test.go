package memory_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"procman/supervisor/fleet/store"
	"procman/supervisor/fleet/store/memory"
	"procman/supervisor/fleet/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type world struct{ server *memory.Server }

func (w world) Client(t *testing.T) store.Store {
	c := w.server.Client()
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func (w world) Compact(_ *testing.T, before store.Revision) { w.server.Compact(before) }
func (w world) Cut(_ *testing.T, c store.Store)             { c.(*memory.Client).Cut(true) }

func (w world) Deaf(_ *testing.T, c store.Store) {
	c.(*memory.Client).Faults(func(memory.Call) memory.Fault { return memory.Fault{Lose: true} })
}

func (w world) Heal(_ *testing.T, c store.Store) {
	c.(*memory.Client).Cut(false)
	c.(*memory.Client).Faults(nil)
}

// The same clauses hold for etcd, see test/etcd.
func TestTheStoreInMemoryKeepsTheContract(t *testing.T) {
	for _, clause := range storetest.Clauses() {
		t.Run(clause.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { clause.Check(t, world{memory.New(nil)}) })
		})
	}
}
