package messages_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestASelectorChoosesByLabels(t *testing.T) {
	web := map[string]string{"app": "shop", "tier": "web", "note": ""}
	for text, want := range map[string]bool{
		"app=shop":                   true,
		"app==shop":                  true,
		"app = shop":                 true,
		"app=other":                  false,
		"app!=other":                 true,
		"app!=shop":                  false,
		"zone!=north":                true, // it has none
		"zone=north":                 false,
		"app":                        true,
		"!app":                       false,
		"zone":                       false,
		"!zone":                      true,
		"note=":                      true,
		"note!=":                     false,
		"app=shop,tier=web":          true,
		"app=shop, tier!=web":        false,
		"app in (shop, mail)":        true,
		"app in (mail)":              false,
		"app notin (mail, news)":     true,
		"zone notin (north)":         true,
		"zone in (north)":            false,
		"tier in (web,db),!zone,app": true,
	} {
		s, err := messages.ParseSelector(text)
		require.NoError(t, err, text)
		require.Equal(t, want, s.Matches(web), text)
		require.False(t, s.All(), text)
	}
	require.True(t, messages.Selector{}.All())
	require.True(t, messages.Selector{}.Matches(nil))
}

func TestWhatIsNoSelectorIsRefusedWithExamples(t *testing.T) {
	for _, text := range []string{"", " ", ",", "app=x,", "=x", "!=x", "!", "app=x=y", "app in", "app in x",
		"app in (x", "in (x)", "app within (x)",
		"app in (x) y", "app in ((x))", "two words", "a b=x", "!app=x", "app in (x))"} {
		_, err := messages.ParseSelector(text)
		require.ErrorContains(t, err, "is not a selector", "%q", text)
		require.ErrorContains(t, err, "app in (x, y)", "%q", text)
	}
}
