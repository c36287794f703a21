package record

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// Managers of other versions read what this one writes, and write what this one reads.
func TestTheFormsOfWhatIsSealedShortAreFixed(t *testing.T) {
	const line = `{"cursor":7,"msg":"x","crc":"2282609b"}` + "\n"
	require.Equal(t, line, string(SealLine([]byte(`{"cursor":7,"msg":"x"}`))))
	const file = `{"crc32":2594498115,"record":{"id":"a"}}`
	require.Equal(t, file, string(SealShort([]byte(`{"id":"a"}`))))
}

func TestWhatIsSealedShortIsReadOnlyAsItWasWritten(t *testing.T) {
	line := SealLine([]byte(`{"cursor":7,"msg":"x"}`))
	line = line[:len(line)-1]
	object, whole := UnsealLine(bytes.Clone(line))
	require.True(t, whole)
	require.Equal(t, `{"cursor":7,"msg":"x"}`, string(object))
	for i := range line {
		if _, whole := UnsealLine(bytes.Clone(line[:i])); whole {
			t.Errorf("cut at %d", i)
		}
		bad := bytes.Clone(line)
		bad[i] ^= 1
		if got, whole := UnsealLine(bad); whole {
			require.Equal(t, object, got, "byte %d", i)
		}
	}

	body, err := json.Marshal(sample{ID: "a"})
	require.NoError(t, err)
	sealed := SealShort(body)
	var back sample
	require.NoError(t, UnsealShort(sealed, &back))
	require.Equal(t, sample{ID: "a"}, back)
	for i := range sealed {
		require.ErrorIs(t, UnsealShort(sealed[:i], &sample{}), ErrDamaged)
	}
	require.ErrorIs(t, UnsealShort(bytes.Replace(sealed, []byte(`"a"`), []byte(`"b"`), 1), &sample{}), ErrDamaged)
}
