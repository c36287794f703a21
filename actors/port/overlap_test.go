package port

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestARangeThatOutgoingConnectionsUseIsWarnedOf(t *testing.T) {
	const ephemeral = "32768\t60999\n"
	for _, c := range []struct {
		name                string
		first, last         int
		ephemeral, reserved string
		overlaps            bool
	}{
		{"below", 30000, 32767, ephemeral, "\n", false},
		{"above", 61000, 65535, ephemeral, "\n", false},
		{"touches the beginning", 30000, 32768, ephemeral, "\n", true},
		{"touches the end", 60999, 61005, ephemeral, "\n", true},
		{"around", 1000, 65000, ephemeral, "", true},
		{"reserved", 40000, 41000, ephemeral, "8080,39000-40500,40501-41000\n", false},
		{"reserved but one", 40000, 41000, ephemeral, "39000-40500,40502-41000\n", true},
		{"reserved within the overlap", 30000, 33000, ephemeral, "32768-33000\n", false},
		{"unreadable", 40000, 41000, "none", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			warning, overlaps := overlap(c.first, c.last, c.ephemeral, c.reserved)
			require.Equal(t, c.overlaps, overlaps)
			require.Equal(t, c.overlaps, warning != "")
		})
	}
}
