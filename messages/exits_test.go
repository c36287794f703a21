package messages_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestAListOfExitsHoldsCodesAndSignals(t *testing.T) {
	wrong := func(list messages.WordList) string {
		a := messages.AppInstance{InstanceID: "a", WasmPath: "a", DbName: "a"}
		a.Restart.Final = list
		if err := a.WithDefaults().Validate(); err != nil {
			return err.Error()
		}
		return ""
	}
	for _, list := range []messages.WordList{"", "0", "0 1 255", "TERM", "SIGTERM 143", "RTMIN RTMIN+3 RTMAX",
		"SIGRTMIN+30"} {
		require.Empty(t, wrong(list), "%q", list)
	}
	for _, word := range []string{"256", "-1", "01", "TERMINATE", "sigterm", "RTMIN+31", "RTMIN+0", "RTMIN+x", "1.5"} {
		require.Contains(t, wrong(messages.WordList("0 "+word)),
			"\""+word+"\" is neither an exit code, from 0 to 255, nor the name of a signal", word)
	}
}
