package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASecretLookingNameUnderEnvIsASecret(t *testing.T) {
	f := good(t, "defaults: {env: {API_KEY: k, LOG_LEVEL: info}}\ninstances: [{id: a, args: [x], env: {DB_PASSWORD: "+
		"p, MODE: m}}, {id: b, args: [x]}]")
	require.Equal(t, []string{"API_KEY", "DB_PASSWORD"}, f.Instances[0].Secrets)
	require.Equal(t, []string{"API_KEY"}, f.Instances[1].Secrets)
	require.Empty(t, good(t, "instances: [{id: a, args: [x], env: {MODE: m}}]").Instances[0].Secrets)
}

func TestATokenIsReadAndNeverShown(t *testing.T) {
	const token = "hunter2-hunter2-hunter2"
	text := "api: {listen: '127.0.0.1:1', token_file: t}\ninstances: []"
	f, err := assembled(text, map[string]string{"/etc/procman/t": " " + token + "\n"})
	require.NoError(t, err)
	require.Equal(t, API{Listen: "127.0.0.1:1", TokenFile: "/etc/procman/t", Token: token}, f.API)
	require.Equal(t, []string{"/etc/procman/t"}, f.EnvFiles, "so that it is watched")
	written, err := json.Marshal(f.API)
	require.NoError(t, err)
	require.NotContains(t, fmt.Sprintf("%v %+v %s %v", f.API, f.API, written, *f), "hunter2")

	const help = "; make one: head -c 32 /dev/urandom | base64 > /etc/procman/t; chmod 600 /etc/procman/t"
	for content, want := range map[string]string{
		"hunter2\n":                    `:1:42: api.token_file "/etc/procman/t": the token has 7 bytes, and must have 16 at least` + help,
		"":                             "the token has 0 bytes" + "",
		token + "\nhunter2":            "the token holds a blank, a second line",
		token + "ü":                    "no HTTP header can carry that" + help,
		strings.Repeat("hunter2", 999): "the token has more than 4096 bytes",
	} {
		_, err := assembled(text, map[string]string{"/etc/procman/t": content})
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hunter2")
	}
	_, err = assembled(text, nil)
	require.ErrorContains(t, err, `api.token_file "/etc/procman/t": file does not exist`+help)
	_, err = assembled("api: {listen: ':1'}\ninstances: []", nil)
	require.ErrorContains(t, err, ":1:15: api.token_file is missing; api.listen needs one: head -c 32 /dev/urandom | "+
		"base64 > FILE; chmod 600 FILE")
	both := "api: {listen: '127.0.0.1:1', token_file: t, read_token_file: r}\ninstances: []"
	f, err = assembled(both, map[string]string{"/etc/procman/t": token, "/etc/procman/r": "hunter3-hunter3-hunter3"})
	require.NoError(t, err)
	require.Equal(t, "hunter3-hunter3-hunter3", f.API.ReadToken)
	require.NotContains(t, fmt.Sprintf("%v %+v", f.API, *f), "hunter")
	_, err = assembled(both, map[string]string{"/etc/procman/t": token, "/etc/procman/r": token})
	require.ErrorContains(t, err, ":1:62: api.read_token_file \"/etc/procman/r\" holds the token of api.token_file")
	require.NotContains(t, err.Error(), "hunter")
	_, err = assembled(both, map[string]string{"/etc/procman/t": token})
	require.ErrorContains(t, err, `:1:62: api.read_token_file "/etc/procman/r": file does not exist`)
	f, err = assembled("api: {token_file: t}\ninstances: []", nil)
	require.NoError(t, err, "without an address it is not needed")
	require.Empty(t, f.API.Token)
}

func TestASecretInTheWrongPlaceIsNotShown(t *testing.T) {
	for _, text := range []string{
		"api: {listen: ':1', token: hunter2}\ninstances: []",
		"api:\n  token: hunter2\ninstances: []",
		"api:\n  token: |\n    hunter2\n  x: [\ninstances: []",
		"metrics: {x-api-key: hunter2}\ninstances: []",
		"health: {\"password\": \"hunter2\", bogus: 1}\ninstances: []",
		"defaults: {env: {A: [hunter2]}, x: 1}\ninstances: []",
		"defaults:\n  env:\n    A: hunter2\n   B: hunter2\ninstances: []",
		"defaults:\n  env: {A: hunter2\ninstances: []",
	} {
		_, err := Parse("f", []byte(text), host(nil))
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), "hunter2", text)
	}
}

// An alias brings a value to where messages quote what they refuse.
func TestASecretThatAnAliasBringsElsewhereIsNotQuoted(t *testing.T) {
	for _, key := range []string{"health: {interval: *s}", "health: {path: *s}", "health: {failures: *s}",
		"restart: {mode: *s}", "restart: {jitter: *s}", "start: {deadline: *s}",
		"enabled: *s", "id: *s", "env_file: *s", "args: [*s]", "restart: *s", "health: {<<: *e}",
		"health: {interval: *n}", "args: [*p]", "id: *long"} {
		text := "instances:\n- {id: first, args: [x], env: &e {A: &s hunter2/!, B: &n 4711, C: &p \"hunter2 {no}\", " +
			"interval: hunter2, D: &long hunter2" + strings.Repeat("x", 200) + "}}\n" +
			"- {args: [x], " + key + "}\n"
		_, err := Parse("/f", []byte(text), host(nil))
		require.Error(t, err, key)
		require.NotContains(t, err.Error(), "hunter2", key)
		require.NotContains(t, err.Error(), "4711", key)
	}
	for _, key := range []string{"output: {max_size: *s}", "ports: {range: *s}", "ports: {range: *n}",
		"ports: {range: *r}", "log: {level: *s}", "include: *s", "include: [*s]", "metrics: {listen: *s}",
		"executable: *n"} {
		text := "instances:\n- {id: first, args: [x], env: {A: &s hunter2/!, B: &n 10-4711, C: &r 60000-4711}}\n" +
			key + "\n"
		if _, err := Parse("/f", []byte(text), host(nil)); err != nil {
			require.NotContains(t, err.Error(), "hunter2", key)
			require.NotContains(t, err.Error(), "4711", key)
		}
	}
}
