package actors

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// thing is a resource that notes what happens to it.
type thing struct {
	name  string
	fails error
	told  *[]string
}

func (f thing) note(what string) { *f.told = append(*f.told, what+" "+f.name) }

func (f thing) Acquire(context.Context, *messages.Launch) error {
	f.note("acquire")
	return f.fails
}

func (f thing) Attach(*messages.Launched) error {
	f.note("attach")
	return f.fails
}

func (f thing) Release(*End) { f.note("release") }

// three are resources that are held for a start, for the run, and until its end was reported.
func three(log *[]string, fails error) holdings {
	return holdings{
		{Resource: thing{"disk", nil, log}, until: told},
		{Resource: thing{"slot", nil, log}, until: ready},
		{Resource: thing{"port", fails, log}, until: over},
	}
}

func TestWhatARunHoldsIsAcquiredInOrderAndReleasedInReverse(t *testing.T) {
	var log []string
	held := three(&log, nil)
	require.NoError(t, held.acquire(t.Context(), &messages.Launch{}))
	held.release(begun, nil)
	held.attach(&messages.Launched{}, func(err error) { t.Error(err) })
	require.Equal(t, []string{"acquire disk", "acquire slot", "acquire port", "attach disk", "attach port"}, log)
	log = nil
	held.release(ready, nil)
	held.release(over, &End{})
	log = append(log, "report")
	held.release(told, &End{})
	held.release(told, &End{})
	require.Equal(t, []string{"release slot", "release port", "report", "release disk"}, log, "each once")
	require.False(t, held.any())
}

func TestAStartThatIsRefusedGivesBackWhatItHad(t *testing.T) {
	var log []string
	refusal := errors.New("none is free")
	held := three(&log, refusal)
	require.ErrorIs(t, held.acquire(t.Context(), &messages.Launch{}), refusal)
	require.Equal(t, []string{"acquire disk", "acquire slot", "acquire port", "release slot", "release disk"}, log)
	require.False(t, held.any())
}

func TestAProcessThatWasFoundHasNothingOfWhatOnlyAStartNeeds(t *testing.T) {
	var log []string
	var missing []error
	held := three(&log, errors.New("another has it"))
	held.attach(&messages.Launched{}, func(err error) { missing = append(missing, err) })
	require.Len(t, missing, 1)
	held.release(told, &End{Left: true})
	require.Equal(t, []string{"attach disk", "attach port", "release disk"}, log, "what could not be taken over is not given back")
}
