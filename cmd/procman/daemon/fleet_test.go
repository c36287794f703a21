package daemon

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAHostOfAFleetIsToldWhereOthersReachItsAPI(t *testing.T) {
	store := []string{"https://127.0.0.1:2379"}
	for listen, want := range map[string]string{
		"":                   "",
		"10.1.2.3:9465":      "10.1.2.3:9465",
		"host.example:9465":  "host.example:9465",
		"0.0.0.0:9465":       "127.0.0.1:9465", // by which it reaches the store
		":9465":              "127.0.0.1:9465",
		"[::]:9465":          "127.0.0.1:9465",
		"[2001:db8::1]:9465": "[2001:db8::1]:9465",
	} {
		require.Equal(t, want, reachable(listen, store), listen)
	}
	require.Equal(t, "0.0.0.0:9465", reachable("0.0.0.0:9465", []string{"https://256.0.0.1:1"}),
		"there is no way to the store")
}
