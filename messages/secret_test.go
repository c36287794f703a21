package messages

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestANameLooksSecretByOneOfItsWords(t *testing.T) {
	for _, name := range []string{"PASSWORD", "DB_PASSWORD", "db_password", "PASSWD", "SMTP_PASS",
		"SECRET", "SECRET_VALUE", "GITHUB_TOKEN", "API_KEY", "KEY", "Apikey", "AWS_CREDENTIALS_FILE",
		"CREDENTIAL", "PRIVATE_X", "SENTRY_DSN", "BASIC_AUTH", "_KEY_"} {
		require.True(t, LooksSecret(name), name)
	}
	for _, name := range []string{"", "_", "LOG_LEVEL", "KEYBOARD", "MONKEY", "PASSENGER", "BYPASS", "AUTHOR",
		"TOKENIZER", "COMPASS_URL", "SECRETARY", "PATH"} {
		require.False(t, LooksSecret(name), name)
	}
}
