package supervisor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestOfASharedListTheEntriesAreKeptAndOfAnotherCopies(t *testing.T) {
	whole := messages.AppInstance{InstanceID: "a", WasmPath: "a.wasm", DbName: "a.db"}.WithDefaults()
	part := messages.AppInstance{InstanceID: "b", WasmPath: "b.wasm", DbName: "b.db"}
	list := []*messages.AppInstance{&whole, &part}

	shared, err := accept(list, nil, true)
	require.NoError(t, err)
	require.Same(t, list[0], shared[0].AppInstance)
	require.NotSame(t, list[1], shared[1].AppInstance, "it had to be completed")
	require.Equal(t, part.WithDefaults(), *shared[1].AppInstance)
	require.Equal(t, messages.AppInstance{InstanceID: "b", WasmPath: "b.wasm", DbName: "b.db"}, *list[1],
		"it is not changed")

	copied, err := accept(list, nil, false)
	require.NoError(t, err)
	require.NotSame(t, list[0], copied[0].AppInstance)
	require.True(t, copied[0].Equal(shared[0]))

	again, err := accept(list, shared, false)
	require.NoError(t, err)
	require.Same(t, shared[0], again[0], "what is known is taken as it was")
}
