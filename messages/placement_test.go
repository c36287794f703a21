package messages

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhereAnInstanceMayRunIsNoPartOfWhatRuns(t *testing.T) {
	a := AppInstance{InstanceID: "a", WasmPath: "w", DbName: "d"}.WithDefaults()
	require.Nil(t, a.Placement, "what is not used costs nothing")
	b := a.Clone()
	b.Placement = &Placement{Movable: true, Fence: FenceNone, Hosts: map[string]string{"disk": "ssd"}}
	require.NoError(t, b.Validate())
	require.Equal(t, a.SpecHash(), b.SpecHash())
	require.Equal(t, a.wishHash(fields.since(Wished, &a)), b.wishHash(fields.since(Wished, &b)))
	require.True(t, a.SamePolicy(b))
	require.False(t, a.Same(&b))
	for _, change := range Diff(a, b) {
		require.Equal(t, Noted, change.Effect(), change.Field)
	}
	require.Equal(t, []FieldChange{{"movable", "false", "true"}, {"fence", "", "none"}, {"hosts.disk", "", "ssd"}},
		Diff(a, b))
	require.Nil(t, a.Placement, "who reads it makes none")
}

func TestAPlacementThatSaysNothingIsNone(t *testing.T) {
	a, b := AppInstance{}, AppInstance{Placement: &Placement{}}
	require.True(t, a.Same(&b))
	require.True(t, b.Same(&a))
	require.Equal(t, Placement{}, a.Place())
	require.False(t, a.Place().Fenced())
	require.True(t, Placement{Movable: true}.Fenced(), "it is fenced unless it says otherwise")
	require.False(t, Placement{Movable: true, Fence: FenceNone}.Fenced())
	text, err := json.Marshal(b.Placement)
	require.NoError(t, err)
	require.JSONEq(t, `{}`, string(text))
}

func TestACloneSharesNoPlacement(t *testing.T) {
	a := AppInstance{Placement: &Placement{Hosts: map[string]string{"disk": "ssd"}}}
	b := a.Clone()
	b.Placement.Hosts["disk"] = "hdd"
	require.Equal(t, "ssd", a.Place().Hosts["disk"])
	c := a.Clone()
	c.Share(&a)
	require.Same(t, a.Placement, c.Placement)
}
