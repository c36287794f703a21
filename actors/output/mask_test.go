package output

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

const secret = "Geheimnis-42"

func masking(o Options) Options {
	m := messages.NewMasker([]string{secret})
	o.Mask = func(id messages.InstanceID) *messages.Masker {
		if id != web {
			return nil
		}
		return m
	}
	return o
}

func TestSecretsAreMaskedInTheLogAndInWhatIsRead(t *testing.T) {
	h := newHouse(t, t.TempDir(), masking(Options{Forward: true}))
	h.stdout("password " + secret + "!\nplain\nbroken \xff" + secret + "\n")
	h.out.Follow(web, 1, gonePID(t)).Stop()
	require.Equal(t, []string{"password ***!", "plain", `"broken \xff***"`}, h.rec.texts("stdout"))
	require.Equal(t, []string{"password ***!", "plain", "broken \xff***"}, h.readTexts(messages.OutputQuery{Lines: -1}))
	file, err := os.ReadFile(h.dir.Stdout(web))
	require.NoError(t, err)
	require.Contains(t, string(file), secret, "the file is the instance's own")

	other := messages.InstanceID("other")
	require.NoError(t, os.MkdirAll(h.dir.Instance(other), 0o700))
	h.write(h.dir.Stdout(other), secret+"\n")
	for l, err := range h.out.Read(t.Context(), messages.OutputQuery{ID: other, Lines: -1}) {
		require.NoError(t, err)
		require.Equal(t, secret, l.Text, "it is no secret of this one")
	}
}

func TestASecretOnTheSeamOfTwoPiecesIsMasked(t *testing.T) {
	for _, at := range []int{maxLine - len(secret), maxLine - len(secret) + 1, maxLine - 5, maxLine - 1, maxLine} {
		h := newHouse(t, t.TempDir(), masking(Options{Forward: true}))
		text := strings.Repeat("x", at) + secret + strings.Repeat("y", maxLine)
		h.stdout(text[:at+4]) // the writer is in the middle of it
		f := h.out.Follow(web, 1, gonePID(t))
		h.stdout(text[at+4:] + "\n")
		f.Stop()
		want := strings.ReplaceAll(text, secret, messages.Masked)
		require.Equal(t, want, strings.Join(h.rec.texts("stdout"), ""), at)
		lines := h.read(messages.OutputQuery{Lines: -1})
		var whole strings.Builder
		for i, l := range lines {
			whole.WriteString(l.Text)
			for _, next := range h.read(messages.OutputQuery{After: l.Cursor})[:min(1, len(lines)-1-i)] {
				require.Equal(t, lines[i+1], next)
			}
		}
		require.Equal(t, want, whole.String(), at)
	}
}

func TestASecretThatALivingProcessHasNotWrittenToItsEndIsLeftToTheNextFollower(t *testing.T) {
	h := newHouse(t, t.TempDir(), masking(Options{Forward: true}))
	h.stdout("password " + secret[:5])
	h.out.Follow(web, 1, os.Getpid()).Stop()
	require.Equal(t, []string{"password "}, h.rec.texts("stdout"))
	h.stdout(secret[5:] + "\n")
	h.out.Follow(web, 1, os.Getpid()).Stop()
	require.Equal(t, []string{"password ", "***"}, h.rec.texts("stdout"))
}
