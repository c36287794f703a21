package messages_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestWhatTwoInstancesSayAlikeIsKeptOnce(t *testing.T) {
	a := messages.AppInstance{InstanceID: "a", Args: []string{"x"}, Env: map[string]string{"A": "a"},
		Labels: map[string]string{"l": "1"}}
	b := messages.AppInstance{InstanceID: "b", Args: []string{"x"}, Env: map[string]string{"A": "b"},
		Labels: map[string]string{"l": "1"}}
	before := b.Clone()
	b.Share(&a)
	require.Equal(t, before, b, "it says what it said")
	require.Same(t, &a.Args[0], &b.Args[0])
	a.Labels["l"], a.Env["A"] = "2", "c"
	require.Equal(t, "2", b.Labels["l"])
	require.Equal(t, "b", b.Env["A"])
}
