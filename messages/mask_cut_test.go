package messages

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestATextThatIsCutWhereItIsWholeIsMaskedAsIfItWereNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.StringOfN(rapid.RuneFrom([]rune("abc")), 5, 12, -1)
		secrets := rapid.SliceOfN(letters, 1, 3).Draw(t, "secrets")
		parts := rapid.SliceOf(rapid.OneOf(rapid.SampledFrom(secrets), rapid.StringOfN(rapid.RuneFrom([]rune("abcx")), 0, 6, -1))).Draw(t, "parts")
		text := strings.Join(parts, "")
		m := NewMasker(secrets)
		at := rapid.IntRange(0, len(text)).Draw(t, "at")
		n := m.Whole([]byte(text[:at]))
		require.LessOrEqual(t, n, at)
		require.Less(t, at-n, 12, "no more is held back than a secret may have")
		require.Equal(t, m.Mask(text), m.Mask(text[:n])+m.Mask(text[n:]))
	})
}

func TestNothingIsHeldBackWhereThereIsNothingToHide(t *testing.T) {
	require.Equal(t, 3, (*Masker)(nil).Whole([]byte("abc")))
	require.Equal(t, 5, NewMasker([]string{"secret"}).Whole([]byte("plain")))
	require.Equal(t, 6, NewMasker([]string{"secret"}).Whole([]byte("plain secr")))
}
