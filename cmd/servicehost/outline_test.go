package main

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
)

// wasm builds a module of sections: an id and a body each.
func wasm(sections ...[]byte) []byte {
	b := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range sections {
		b = append(binary.AppendUvarint(append(b, s[0]), uint64(len(s)-1)), s[1:]...)
	}
	return b
}

// tiny is the smallest application: it answers 200 to everything.
func tiny() []byte {
	const answer = `{"status":200}`
	return wasm(
		[]byte{1, 2, 0x60, 2, 0x7f, 0x7f, 0, 0x60, 1, 0x7f, 0},              // types: (i32, i32) and (i32)
		append(append([]byte{2, 1, 11}, "servicehost\x07respond"...), 0, 0), // import of the first type
		[]byte{3, 1, 1},                // a function of the second
		[]byte{sectionMemory, 1, 0, 1}, // a page
		append(append([]byte{7, 2, 6}, "memory\x02\x00\x06handle"...), 0, 1),          // exports
		[]byte{sectionCode, 1, 8, 0, 0x41, 0, 0x41, byte(len(answer)), 0x10, 0, 0x0b}, // respond(0, len)
		append([]byte{sectionData, 1, 0, 0x41, 0, 0x0b, byte(len(answer))}, answer...),
	)
}

func TestTheImageIsWhatTheMemoryBeginsWith(t *testing.T) {
	memory := []byte{sectionMemory, 1, 0, 2}
	for name, c := range map[string]struct {
		sections [][]byte
		image    string
	}{
		"none": {[][]byte{memory}, ""},
		"one":  {[][]byte{memory, append([]byte{sectionData, 1, 0, 0x41, 3, 0x0b, 2}, "ab"...)}, "\x00\x00\x00ab"},
		"the later wins": {[][]byte{memory, append([]byte{sectionData, 2, 0, 0x41, 0, 0x0b, 3},
			"abc\x00\x41\x01\x0b\x01x"...)}, "axc"},
		"an offset of two bytes": {[][]byte{memory, append([]byte{sectionData, 1, 0, 0x41, 0xc0, 0x00, 0x0b, 1},
			"a"...)},
			string(make([]byte, 64)) + "a"},
	} {
		t.Run(name, func(t *testing.T) {
			module := wasm(c.sections...)
			o, err := outlineOf(module)
			require.NoError(t, err)
			require.EqualValues(t, 2*wasmPage, o.memory)
			require.Equal(t, c.image, string(o.image))
			require.Equal(t, wasm(memory), o.module)
			requireImage(t, module, o)
		})
	}
}

func TestDataThatAreNotSimplyCopiedStayInTheModule(t *testing.T) {
	memory := []byte{sectionMemory, 1, 0, 1}
	plain := []byte{sectionData, 1, 0, 0x41, 3, 0x0b, 1, 'a'}
	for name, sections := range map[string][][]byte{
		"passive":            {memory, {sectionData, 1, 1, 1, 'a'}},
		"of a given memory":  {memory, {sectionData, 1, 2, 0, 0x41, 3, 0x0b, 1, 'a'}},
		"at a global":        {memory, {sectionData, 1, 0, 0x23, 0, 0x0b, 1, 'a'}},
		"used by number":     {memory, {sectionDataCount, 1}, plain},
		"without a memory":   {plain},
		"two memories":       {{sectionMemory, 2, 0, 1, 0, 1}, plain},
		"beyond the memory":  {memory, {sectionData, 1, 0, 0x41, 0xff, 0xff, 3, 0x0b, 2, 'a', 'b'}},
		"a negative offset":  {memory, {sectionData, 1, 0, 0x41, 0x7f, 0x0b, 1, 'a'}},
		"a cut segment":      {memory, {sectionData, 1, 0, 0x41, 3, 0x0b, 9, 'a'}},
		"an offset too long": {memory, {sectionData, 1, 0, 0x41, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x0b, 1, 'a'}},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := outlineOf(wasm(sections...))
			require.NoError(t, err)
			require.Nil(t, o.image)
			require.Equal(t, wasm(sections...), o.module)
		})
	}
}

func TestAnOutlineKeepsTheNamesAndNoCode(t *testing.T) {
	names := append([]byte{sectionCustom, 4}, "name and more"...)
	other := append([]byte{sectionCustom, 5}, "other"...)
	o, err := outlineOf(wasm(other, []byte{sectionCode, 2, 4, 0, 0x41, 7, 0x0b, 2, 0, 0x0b}, names))
	require.NoError(t, err)
	require.Equal(t, wasm([]byte{sectionCode, 2, 3, 0, 0, 0x0b, 3, 0, 0, 0x0b}, names), o.module)
}

func TestAModuleThatIsCutHasNoOutline(t *testing.T) {
	module := wasm([]byte{sectionMemory, 1, 0, 2}, []byte{sectionCode, 1, 2, 0, 0x0b})
	for n := range len(module) {
		if n == wasmHeader || n == wasmHeader+5 { // between sections
			continue
		}
		_, err := outlineOf(module[:n])
		require.ErrorIs(t, err, errOutline, n)
	}
}

// requireImage holds the image to what wazero makes of the module.
func requireImage(t *testing.T, module []byte, o outline) {
	t.Helper()
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter())
	defer r.Close(t.Context())
	i, err := r.Instantiate(t.Context(), module)
	require.NoError(t, err)
	memory := i.Memory()
	all, ok := memory.Read(0, uint32(o.memory))
	require.True(t, ok)
	require.EqualValues(t, o.memory, memory.Size())
	require.True(t, bytes.Equal(all[:len(o.image)], o.image))
	require.Zero(t, bytes.Trim(all[len(o.image):], "\x00"))
}

func FuzzAnyModuleHasAnOutlineOrAnError(f *testing.F) {
	f.Add(wasm([]byte{sectionMemory, 1, 0, 1}, []byte{sectionData, 1, 0, 0x41, 3, 0x0b, 1, 'a'}))
	f.Add(wasm([]byte{sectionCode, 1, 2, 0, 0x0b}, append([]byte{sectionCustom, 4}, "name"...)))
	f.Fuzz(func(t *testing.T, module []byte) {
		if o, err := outlineOf(module); err == nil {
			require.LessOrEqual(t, uint64(len(o.image)), o.memory)
		}
	})
}
