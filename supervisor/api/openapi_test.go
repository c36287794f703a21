package api

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"procman/messages"
)

// description is what of openapi.yaml the code can be held to.
type description struct {
	Paths      map[string]map[string]any
	Components struct {
		Schemas map[string]struct {
			Required   []string
			Properties map[string]struct{ Enum []string }
			Enum       []string
		}
	}
}

func TestTheDescriptionIsThatOfTheHandler(t *testing.T) {
	text, err := os.ReadFile("openapi.yaml")
	require.NoError(t, err)
	var d description
	require.NoError(t, yaml.Unmarshal(text, &d))

	var described, served []string
	for path, methods := range d.Paths {
		for method := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	s, err := New(newWorld().options())
	require.NoError(t, err)
	for _, r := range s.routes() {
		served = append(served, r.method+" "+r.path)
	}
	require.ElementsMatch(t, served, described)

	now := time.Now()
	for name, value := range map[string]any{
		"Document": Document{}, "Manager": Manager{Config: "x", Program: "x", ConfigError: "x", UpgradeFailed: "x",
			Waits: "x", Fleet: &FleetReport{}}, "Ending": Ending{}, "Upgrading": Upgrading{Program: "x"},
		"Reloaded": Reloaded{}, "Pruning": Pruning{}, "Pruned": messages.Pruned{Kept: "x"}, "Condition": Condition{},
		"FleetReport": FleetReport{}, "FleetHosts": FleetHosts{}, "FleetHost": messages.FleetHost{},
		"FleetInstances": FleetInstances{},
		"FleetInstance":  messages.FleetInstance{Spec: []byte("{}")}, "FleetList": FleetList{},
		"FleetChanges": FleetChanges{},
		"FleetChange":  messages.FleetChange{}, "FleetDrain": FleetDrain{},
		"Why": Why{Fleet: &messages.FleetInstance{}, Missing: []string{"x"}}, "SeenProbe": SeenProbe{},
		"Event": messages.Event{ID: "x", Command: "x", Phase: "x", Run: 1, PID: 1, Port: 1, Why: "x", Bad: true,
			OldPort: 1, Exit: &messages.Exit{}, Delay: 1, Attempt: 1},
		"Plan": Plan{}, "Proposal": Proposal{}, "ProposedFile": ProposedFile{[]byte("x"), "x", true},
		"ProposedDir": ProposedDir{[]string{"x"}, "x", true}, "Change": messages.Change{},
		"FieldChange": messages.FieldChange{}, "Error": Error{},
		"Exit": messages.Exit{}, "Probe": messages.Probe{},
		"Status":    messages.Status{StartedAt: &now, Placement: &messages.Placement{}, Use: &messages.Use{}},
		"Placement": messages.Placement{Movable: true, Fence: "x", Hosts: map[string]string{"x": "y"}},
		"OutputLine": outputLine{OutputLine: messages.OutputLine{Skipped: 1, Cursor: "x", At: now}, Error: "x",
			Code: CodeFailed},
	} {
		text, err := json.Marshal(value)
		require.NoError(t, err)
		var fields map[string]any
		require.NoError(t, json.Unmarshal(text, &fields))
		schema := d.Components.Schemas[name]
		require.ElementsMatch(t, slices.Collect(maps.Keys(fields)), slices.Collect(maps.Keys(schema.Properties)), name)
		if !slices.Contains([]string{"OutputLine", "Event", "Why", "ProposedFile", "ProposedDir", "Upgrading",
			"Manager", "FleetInstance", "Status", "Placement"}, name) {
			require.ElementsMatch(t, slices.Collect(maps.Keys(fields)), schema.Required, name)
		}
	}

	enum := func(schema, property string) []string { return d.Components.Schemas[schema].Properties[property].Enum }
	var codes, phases []string
	for _, c := range Codes() {
		codes = append(codes, string(c))
	}
	for _, p := range messages.Phases() {
		phases = append(phases, string(p))
	}
	require.Equal(t, codes, enum("Error", "code"))
	require.Equal(t, phases, enum("Status", "phase"))
	var happenings []string
	for _, h := range messages.EventTypes() {
		happenings = append(happenings, string(h))
	}
	require.Equal(t, happenings, enum("Event", "event"))
	require.Equal(t, []string{string(ModeStop), string(ModeLeave)}, d.Components.Schemas["Mode"].Enum)
}
