package messages

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestATextThatIsCutWhereItIsWholeIsMaskedAsIfItWereNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.StringOfN(rapid.RuneFrom([]rune("abc")), 5, 12, -1)
		secrets := rapid.SliceOfN(letters, 1, 3).Draw(t, "secrets")
		parts := rapid.SliceOf(rapid.OneOf(rapid.SampledFrom(secrets),
			rapid.StringOfN(rapid.RuneFrom([]rune("abcx")), 0, 6, -1))).Draw(t, "parts")
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

// naive masks by the definition: from the left, at each place the longest secret that begins there.
func naive(secrets []string, text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		n := 0
		for _, s := range secrets {
			if strings.HasPrefix(text[i:], s) {
				n = max(n, len(s))
			}
		}
		if n > 0 {
			b.WriteString(Masked)
			i += n
			continue
		}
		b.WriteByte(text[i])
		i++
	}
	return b.String()
}

func drawnSecrets(t *rapid.T) (secrets []string, text string) {
	word := rapid.Custom(func(t *rapid.T) string {
		part := rapid.StringOfN(rapid.RuneFrom([]rune("ab")), 1, 9, -1).Draw(t, "part")
		return (strings.Repeat(part, 100) + "c")[:rapid.IntRange(leastMasked, 99).Draw(t, "length")] // some are long
	})
	secrets = rapid.SliceOfN(word, 1, 4).Draw(t, "secrets")
	parts := rapid.SliceOf(rapid.OneOf(rapid.SampledFrom(secrets),
		rapid.StringOfN(rapid.RuneFrom([]rune("abx")), 0, 6, -1))).Draw(t, "parts")
	return secrets, strings.Join(parts, "")
}

func TestTheLongestOfTheSecretsThatBeginAtOnePlaceIsMasked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secrets, text := drawnSecrets(t)
		require.Equal(t, naive(secrets, text), NewMasker(secrets).Mask(text))
	})
}

func TestATraceMasksAsTheSecretItIsOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secrets, text := drawnSecrets(t)
		seed := rapid.Uint64Min(1<<40).Draw(t, "seed")
		of := rapid.IntRange(0, len(secrets)).Draw(t, "known by value")
		m := NewTraceMasker(secrets[:of], seed, TracesOf(secrets, seed))
		require.Equal(t, naive(secrets, text), m.Mask(text))
		at := rapid.IntRange(0, len(text)).Draw(t, "at")
		n := m.Whole([]byte(text[:at]))
		require.Equal(t, m.Mask(text), m.Mask(text[:n])+m.Mask(text[n:]))
	})
}

func TestASecretOfAnyLengthLeavesTracesAndNothingElse(t *testing.T) {
	const seed = 1<<60 + 98765
	long, lines := strings.Repeat("0123456789abcdef", 300)+"the-end", "first-line\nsecond-line\nxyz"
	traces := TracesOf([]string{long, lines, "tiny"}, seed)
	m := NewTraceMasker(nil, seed, traces)
	require.Equal(t, "a *** b", strings.ReplaceAll(m.Mask("a "+long+" b"), strings.Repeat(Masked, 5), Masked))
	require.Equal(t, "*** and *** tiny", m.Mask("first-line and second-line tiny"))
	require.Equal(t, NewMasker(nil), NewTraceMasker(nil, 1, nil))
	require.Empty(t, NewTraceMasker([]string{long}, seed, TracesOf([]string{long}, seed)).trails,
		"what is known by its value needs none")
}

// F143: a secret of 120 000 equal characters cost seconds for each text. No time is measured against a tight bound: the
// quadratic way takes minutes for these texts.
func TestMaskingIsLinearWhateverTheSecretIs(t *testing.T) {
	const seed = 1<<60 + 98765
	begin := time.Now()
	same := strings.Repeat("a", 120_000)
	for _, m := range []*Masker{NewMasker([]string{same, same[:70], same[:60]}),
		NewTraceMasker(nil, seed, TracesOf([]string{same + "b"}, seed))} {
		for _, text := range []string{strings.Repeat("a", 1<<17), strings.Repeat("a", 119_999) + "b",
			strings.Repeat(same[:119_999]+"b", 2)} {
			m.Mask(text)
			m.Whole([]byte(text))
		}
	}
	require.Equal(t, "x***y", NewMasker([]string{same}).Mask("x"+same+"y"))
	require.Less(t, time.Since(begin), 30*time.Second)
}

func BenchmarkMask(b *testing.B) {
	same, line := strings.Repeat("a", 120_000), strings.Repeat("an ordinary line of output, of 64 characters, with "+
		"no secret .. ", 1024)
	for name, c := range map[string]struct {
		m    *Masker
		text string
	}{
		"ordinary":  {NewMasker([]string{"correct-horse-battery", "another-secret"}), line},
		"equal":     {NewMasker([]string{same}), same[:64<<10]},
		"equal-end": {NewMasker([]string{same}), same[:64<<10] + "b"},
		"traces":    {NewTraceMasker(nil, 99, TracesOf([]string{"correct-horse-battery", "another-secret"}, 99)), line},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(c.text)))
			for b.Loop() {
				c.m.Mask(c.text)
			}
		})
	}
}
