package health

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestSecretsAreMaskedInWhatAnInstanceAnswers(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		const secret = "Geheimnis-42"
		const ok = "HTTP/1.1 200 OK\r\n"
		masker := messages.NewMasker([]string{secret})
		body := func(s string) func(net.Conn) {
			return say(fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", ok, len(s), s))
		}
		for name, c := range map[string]struct {
			answer      func(net.Conn)
			body, cause string
		}{
			"in the body": {body("token=" + secret + ";"), "token=***;", ""},
			"on the edge": {body(strings.Repeat("x", keptBody-5) + secret + "y"),
				strings.Repeat("x", keptBody-5), ""},
			"right before the edge": {body(strings.Repeat("x", keptBody-len(secret)) + secret),
				strings.Repeat("x", keptBody-len(secret)) + "***", ""},
			"an innocent end": {body("he said Geh"), "he said Geh", ""},
			"never sent to its end": {say(ok + "Content-Length: 99\r\n\r\ntoken=" + secret[:6]), "token=",
				"status 200 came, but the connection was closed within its body"},
			"in a redirect": {say("HTTP/1.1 302 Found\r\nLocation: /?t=" + secret + "\r\nContent-Length: 0\r\n\r\n"),
				"",
				"redirect to /?t=***"},
			"in a redirect, on the edge": {say("HTTP/1.1 302 Found\r\nLocation: /" + strings.Repeat("x", 113) +
				secret + "\r\nContent-Length: 0\r\n\r\n"), "",
				"redirect to /" + strings.Repeat("x", 113) + "***"},
			"in place of HTTP": {say("what " + secret + "\r\n"),
				"", `the answer is not HTTP: malformed HTTP status code "***"`},
			"as a header": {say(ok + secret + "\r\n\r\n"), "",
				`the answer is not HTTP: malformed MIME header: missing colon: "***"`},
		} {
			t.Run(name, func(t *testing.T) {
				checker := New(Options{Mask: func(id messages.InstanceID) *messages.Masker {
					require.Equal(t, messages.InstanceID("a"), id)
					return masker
				}})
				p := ask(checker, messages.Target{ID: "a", Port: serve(t, "127.0.0.1", c.answer),
					Policy: messages.HealthPolicy{Timeout: short}})
				require.Equal(t, c.body, p.Body)
				require.Equal(t, c.cause, p.Error)
			})
		}
	})
}
