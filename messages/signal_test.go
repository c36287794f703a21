package messages

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASignalIsKnownByItsNameWithAndWithoutSIG(t *testing.T) {
	for name, sig := range map[SignalName]syscall.Signal{
		"TERM": syscall.SIGTERM, "SIGHUP": syscall.SIGHUP, "USR2": syscall.SIGUSR2, "WINCH": syscall.SIGWINCH,
		"RTMIN": SIGRTMIN, "SIGRTMIN+3": SIGRTMIN + 3, "RTMAX": SIGRTMIN + 30,
		"": 0, "SIG": 0, "term": 0, "15": 0, "RTMIN+31": 0, "RTMIN+03": 0, "TERM ": 0,
	} {
		require.Equal(t, sig, name.Number(), name)
	}
}

func TestAStopPolicyThatSaysNoSignalAsksByTERM(t *testing.T) {
	require.Equal(t, SignalName("TERM"), StopPolicy{}.Asks())
	require.Equal(t, SignalName("TERM"), StopPolicy{}.WithDefaults().Signal, "as a record of an earlier version has it")
	for _, never := range []SignalName{"STOP", "TSTP", "CONT", "0", "terminate"} {
		a := AppInstance{InstanceID: "a", WasmPath: "w", DbName: "d", Stop: StopPolicy{Signal: never}}.WithDefaults()
		require.ErrorContains(t, a.Validate(), "stop.signal", never)
	}
}
