package test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/cmd/procman/cli"
	"procman/supervisor/config"
)

// shownKeys are the keys of how an instance is checked, started and ended, as whom and with what, and of what the
// daemon tells and keeps.
var shownKeys = regexp.MustCompile(
	`^(health\.|restart\.(success|final|on_change)$|start\.priority$|stop\.(signal|leftovers)$|process\.|resources\.|` +
		`output\.|metrics\.(socket|group)$|api\.read_|hooks\[\]\.)`)

// bad are a value for each of them that cannot be, and the test that shows what a good one does.
var bad = []struct{ key, test, text string }{
	{"health.kind", "TestAConnectionThatIsAcceptedIsHealthyIfItIsTheInstancesOwn", "health: {kind: udp}"},
	{"health.path", "TestARequestIsMadeAsThePolicySays", "health: {path: status}"},
	{"health.interval", "TestALaunchIsReportedAndProbedSoon", "health: {interval: 15}"},
	{"health.timeout", "TestByHTTPSAProbeEndsWithinItsTimeoutToo", "health: {timeout: 0s}"},
	{"health.failures", "TestUnhealthyIsReportedOnceAtTheThreshold", "health: {failures: 0}"},
	{"health.owner", "TestAnImpostorsAnswerIsAConflict", "health: {owner: parent}"},
	{"health.method", "TestARequestIsMadeAsThePolicySays", "health: {method: 'G T'}"},
	{"health.status", "TestOnlyAStatusThatIsAcceptedIsHealthy", "health: {status: [20]}"},
	{"health.host", "TestARequestIsMadeAsThePolicySays", "health: {host: 'a b'}"},
	{"health.headers", "TestWhatAHeaderHoldsIsShownNowhere", "health: {headers: {'X Y': z}}"},
	{"health.scheme", "TestByHTTPSTheServerAndTheProbeProveWhoTheyAre", "health: {scheme: ftp}"},
	{"health.tls.ca_file", "TestByHTTPSTheServerAndTheProbeProveWhoTheyAre", "health: {tls: {ca_file: ca.pem}}"},
	{"health.tls.cert_file", "TestACertificateThatHasChangedIsReadAgainAndOneThatIsBeingReplacedIsNot",
		"health: {scheme: https, tls: {cert_file: c.pem}}"},
	{"health.tls.key_file", "TestByHTTPSTheServerAndTheProbeProveWhoTheyAre",
		"health: {scheme: https, tls: {key_file: k.pem}}"},
	{"health.tls.server_name", "TestByHTTPSTheServerAndTheProbeProveWhoTheyAre",
		"health: {scheme: https, tls: {server_name: a/b}}"},
	{"health.command", "TestTheCommandOfACheckRunsAsItsInstanceDoesAndIsNoneOfItsProcesses", "health: {kind: command}"},
	{"health.on_failure", "TestARunWhoseChecksAreOnlyReportedIsProbedOnAndReportedOnce",
		"health: {on_failure: ignore}"},
	{"restart.success", "TestAListOfExitsHoldsCodesAndSignals", "restart: {success: [256]}"},
	{"restart.final", "TestAStopByProcmanIsNoExitThatIsFinal", "restart: {final: [SIGHUB]}"},
	{"restart.on_change", "TestAStatusSaysWhatHasChangedSinceTheProcessWasStarted", "restart: {on_change: [binary]}"},
	{"start.priority", "TestAtTheStartOfAListWhoHasMorePriorityIsStartedFirst", "start: {priority: high}"},
	{"stop.signal", "TestAStopAsksByTheSignalOfThePolicyAndTheExitIsNoFailure", "stop: {signal: TREM}"},
	{"stop.leftovers", "TestAPolicyForLeftoversIsAppliedToTheRunThatLives", "stop: {leftovers: keep}"},
	{"process.user", "TestAProcessOfAnotherUserWritesToTheOutputIsAdoptedAndEndsWithAllOfIts",
		"process: {user: 'a:b'}"},
	{"process.group", "TestSupplementaryGroupsAreThoseOfTheUserAndNotTheDaemons", "process: {group: -wheel}"},
	{"process.umask", "TestEachSettingHoldsFromTheFirstInstructionOn", "process: {umask: 0888}"},
	{"process.nice", "TestEachSettingHoldsFromTheFirstInstructionOn", "process: {nice: 20}"},
	{"process.oom_score_adj", "TestEachSettingHoldsFromTheFirstInstructionOn", "process: {oom_score_adj: 1001}"},
	{"process.limits", "TestEachSettingHoldsFromTheFirstInstructionOn", "process: {limits: {nofiles: 3}}"},
	{"resources.memory", "TestTheCgroupOfARunHasItsBoundsAndNoOtherControllerIsHandedOn", "resources: {memory: 16MB}"},
	{"resources.cpu", "TestTheCgroupOfARunHasItsBoundsAndNoOtherControllerIsHandedOn", "resources: {cpu: half}"},
	{"resources.pids", "TestTheKernelHoldsTheBoundsOfARun", "resources: {pids: -1}"},
	{"output.max_size", "TestNoLineIsLostOrTornWhileTheFileIsTrimmed", "output: {max_size: 16MB}"},
	{"output.total", "TestATotalOfOutputIsChangedWhileAllRunAndKeptByTheNextDaemon", "output: {total: 32KiB}"},
	{"output.keep", "TestAHelperThatARunLeftKeepsItsDirectory", "output: {keep: 0s}"},
	{"output.forward", "TestEveryLineBecomesARecordOfItsRun", "output: {forward: 1}"},
	{"metrics.socket", "TestMetricsAreScrapedFromTheSocketAndFromTheListener",
		"metrics: {socket: /run/" + strings.Repeat("metrics/", 12) + "s}"},
	{"metrics.group", "TestASocketForAGroupIsForThatGroup", "metrics: {group: adm}"},
	{"api.read_token_file", "TestOverTCPOnlyWhoShowsTheTokenIsAnswered", "api: {read_token_file: [r]}"},
	{"api.read_group", "TestWhoIsInTheGroupMayReadOnTheSocketAndChangesNothing",
		"socket: /run/procman.sock\napi: {read_group: nobodies}"},
	{"hooks[].on", "TestAHookHearsOnlyOfWhatItIsToldOf", "hooks: [{on: [dead], url: 'http://[::1]/'}]"},
	{"hooks[].command", "TestACommandReadsThePayloadAndHasNoTagOfARun", "hooks: [{on: [failed]}]"},
	{"hooks[].url", "TestAWebhookIsPostedThePayloadAndOnlyAGoodStatusIsGood",
		"hooks: [{on: [failed], url: 'ftp://a'}]"},
	{"hooks[].every", "TestAHookHearsOnlyOfWhatItIsToldOf", "hooks: [{on: [failed], command: [x], every: often}]"},
	{"hooks[].timeout", "TestAHookThatFailsIsLoggedWithWhatItSaidAndCounted",
		"hooks: [{on: [failed], command: [x], timeout: 0s}]"},
	{"hooks[].attempts", "TestAHookHearsOnlyOfWhatItIsToldOf", "hooks: [{on: [backoff], command: [x], attempts: 0}]"},
}

// everyTest are the names of all tests that there are.
func everyTest(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	is := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range is.FindAllSubmatch(text, -1) {
			names[string(m[1])] = true
		}
		return err
	}))
	return names
}

// keysSaid is a paragraph for each key: its name, its test, and what `procman validate` says of the bad value.
func keysSaid(t *testing.T) string {
	t.Helper()
	there := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(config.Reference(), -1) {
		if shownKeys.MatchString(m[1]) {
			there[m[1]] = true
		}
	}
	tests := everyTest(t)
	path := filepath.Join(t.TempDir(), "f")
	var b strings.Builder
	b.WriteString("```text\n")
	for _, row := range bad {
		if !there[row.key] {
			continue
		}
		delete(there, row.key)
		require.True(t, row.test == "" || tests[row.test], "%s: there is no test %s", row.key, row.test)
		require.NoError(t, os.WriteFile(path, []byte(row.text+"\ninstances: [{id: a, args: [x]}]\n"), 0o600))
		var out, said bytes.Buffer
		env := func(name string) string { return map[string]string{"HOME": "/nowhere"}[name] }
		require.Equal(t, 1, cli.Main([]string{"validate", "-c", path}, &out, &said, env, nil), "%s: %s%s", row.key,
			out.String(), said.String())
		require.Contains(t, said.String(), "^", row.key)
		fmt.Fprintf(&b, "%s  %s\n%s", row.key, row.test, strings.ReplaceAll(said.String(), path+":", ""))
	}
	require.Empty(t, there, "a key has no row in keys_test.go")
	b.WriteString("```\n")
	return b.String()
}
