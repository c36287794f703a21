package explain

import (
	"cmp"
	"fmt"

	"procman/messages"
)

// Terms are the words of those who read an explanation: how they do what is advised. A field left out has a neutral
// word.
type Terms struct {
	Start, Stop, Restart string // followed by an instance: "procman start"
	Reload               string // confirms a list: "procman reload"
	List                 string // where the entries of instances stand: "the configuration"
	Next                 string // where they stand in a list that is proposed: "the file"
	Watched              string // how an edit of it comes into force: "the file is watched"; empty: that is not said
}

// WithDefaults returns t with every field that has a neutral word filled in.
func (t Terms) WithDefaults() Terms {
	t.Start, t.Stop, t.Restart = cmp.Or(t.Start, "start"), cmp.Or(t.Stop, "stop"), cmp.Or(t.Restart, "restart")
	t.Reload, t.List, t.Next = cmp.Or(t.Reload, "reload"), cmp.Or(t.List, "the list"), cmp.Or(t.Next, "the list")
	return t
}

// of is a command about an instance, as a person types it.
func of(command string, id messages.InstanceID) string { return fmt.Sprintf("`%s %s`", command, id) }

// edited ends a sentence on an edit of the list.
func (t Terms) edited() string {
	if t.Watched == "" {
		return ""
	}
	return "; " + t.Watched
}
