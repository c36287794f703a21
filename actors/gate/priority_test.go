package gate

import (
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestOfThoseThatComeTogetherWhoHasMorePriorityGoesFirstAndThenById(t *testing.T) {
	h := with(1)
	h.Gather(at(20 * ms))
	come := func(p messages.Precedence, priority int, ids ...messages.InstanceID) {
		for _, id := range ids {
			h.starts[string(id)] = &Start{Of: string(id), ID: id}
			h.ArriveWith(h.starts[string(id)], p, priority)
		}
	}
	come(messages.PrecedenceFirst, 0, "plain2", "plain1")
	come(messages.PrecedenceFirst, -5, "late2", "late1")
	come(messages.PrecedenceFirst, 9, "db2", "db1")
	come(messages.PrecedenceFirst, 0, "plain3")
	come(messages.PrecedenceUrgent, -9, "urgent")
	require.Empty(t, h.goOn(19*ms), "they are gathered")
	when, due := h.LookAt()
	require.True(t, due)
	require.Equal(t, at(20*ms), when)
	h.Due(when)
	var order []string
	for range 8 {
		next := h.goOn(20 * ms)
		require.Len(t, next, 1)
		order = append(order, next...)
		h.Leave(h.starts[next[0]])
	}
	require.Equal(t, []string{"urgent", "db1", "db2", "plain2", "plain1", "plain3", "late1", "late2"}, order)
	_, due = h.LookAt()
	require.False(t, due, "nobody has to look any more")
}
