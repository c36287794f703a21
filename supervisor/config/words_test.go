package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestALineOfAnotherFileIsNotQuoted(t *testing.T) {
	for _, text := range []string{
		"state_dir: st\nroot:$6$hunter2hunter2$hunter2:19000:0:99999:7:::\ninstances: []\n",
		"[client]\npassword=hunter2\n",
		"[client]\nuser = root\nDB_PASSWORD = hunter2\n",
		"instances: []\nTOKEN=hunter2: 1\n",
		"stop: {\"hunter2;\": 1}\ninstances: []\n",
	} {
		_, err := assembled(text, nil)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2", text)
		require.Less(t, len(err.Error()), 1000)
	}
	_, err := assembled("instances: []\n"+strings.Repeat("x", 5000)+": 1\n", nil)
	require.ErrorContains(t, err, `unknown key "`+strings.Repeat("x", mostQuoted)+`…"`)
	require.Less(t, len(err.Error()), 1000)
}

func TestTheLineOfAFaultIsShownWhereNoSecretIs(t *testing.T) {
	_, err := assembled("instances:\n  - id: a\n    env: {A: hunter2\n    args: [x]\n", nil)
	require.ErrorContains(t, err, "    args: ***\n    ^")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestATildeIsNotTakenForADirectory(t *testing.T) {
	for _, text := range []string{
		"executable: ~/app\ninstances: []", "state_dir: ~/st\ninstances: []", "socket: ~/s\ninstances: []",
		"include: ~/d\ninstances: []",
		"instances: [{id: a, args: [x], work_dir: ~/app}]", "instances: [{id: a, args: [x], executable: ~/app}]",
		"instances: [{id: a, args: [x], env_file: ~/app}]", "instances: [{id: a, db_name: d, wasm_path: ~/app}]",
		"api: {listen: ':1', token_file: ~/t}\ninstances: []", "instances: [{id: a, args: [x], work_dir: '~'}]",
	} {
		_, err := assembled(text, nil)
		require.ErrorContains(t, err, "~ is not expanded here", text)
	}
	good(t, "instances: [{id: a, args: [~/x], work_dir: ./~/app}]")
}

func TestABlankThatIsNoneForYAMLIsNamed(t *testing.T) {
	for text, at := range map[string]string{
		"instances:\n  -\u00a0id: a\n    args: [x]\n":                        ":2:4: U+00A0",
		"instances:\n  - id: a\n    args:\n    - x\n    -\u00a0y\n":          ":5:6: U+00A0",
		"instances:\n  - id: a\n    args: [x]\n    work_dir:\u00a0/x\n":      ":4:14: U+00A0",
		"instances:\n  - id: a\n\u2003\u2003\u2003\u2003args: [x]\n":         ":3:1: U+2003",
		"instances:\n  - id: a\n    args: [x]\n    enabled:\u200btrue\n":     ":4:13: U+200B",
		"instances:\n  - id: a\n    args: [x]\n  - \u3000id: b\n":            ":4:5: U+3000",
		"instances:\n  - id: a\n    args: [x]\n    labels:\n      x:\u00a0y": ":5:9: U+00A0",
	} {
		_, err := assembled(text, nil)
		require.ErrorContains(t, err, at+" stands here, which looks like a blank", text)
	}
	f := good(t, "\ufeff# a\u00a0comment\ninstances: [{id: a, args: ['x\u00a0y', z\u00a0z], labels: {A: \"\u00a0\"}}]")
	require.Equal(t, []string{"x\u00a0y", "z\u00a0z"}, f.Instances[0].Args)
}
