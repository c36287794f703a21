package actors

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatALifetimeGaveEndsWithIt(t *testing.T) {
	var l lifetime
	first, endFirst := l.context()
	second, endSecond := l.context()
	endFirst() // who was late to say so takes nothing from the next
	require.Error(t, first.Err())
	require.NoError(t, second.Err())
	l.end()
	require.Error(t, second.Err())
	endSecond()
	require.True(t, l.ended())
	late, end := l.context()
	defer end()
	require.Error(t, late.Err(), "there is none after it")
}
