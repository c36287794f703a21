package member

// cell is what one event does in one phase.
type cell struct {
	name string
	do   func(*move, Event)
}

type row map[Phase]cell

var (
	ignore = cell{".", func(*move, Event) {}}
	bug    = cell{"!", func(m *move, e Event) { m.act(Bug{Event: e.name(), Phase: m.Phase}) }}
)

// table has a cell for every event in every phase. It is what the documentation shows; it is never changed.
var table = map[string]row{
	"Loaded": {
		New: {"resume; else end survivors; else join", loaded}, Out: bug, Joining: bug, In: bug, Suspect: bug,
		Yielding: bug, Fenced: bug,
		Leaving: bug, Gone: ignore,
	},
	"LeashUp": {
		New: {"note", leashUp}, Out: {"note, join", leashUp}, Joining: {"note", leashUp}, In: {"note", leashUp},
		Suspect:  {"note", leashUp},
		Yielding: {"note", leashUp}, Fenced: {"note", leashUp}, Leaving: {"note", leashUp}, Gone: ignore,
	},
	"LeashGone": {
		New: {"note", leashGone}, Out: {"start another", leashGone},
		Joining: {"start another, count no answer", leashGone},
		In:      {"start another, count no answer", leashGone}, Suspect: {"start another, count no answer", leashGone},
		Yielding: {"start another, count no answer", leashGone}, Fenced: {"-> out", leashGoneFenced},
		Leaving: {"start another, count no answer", leashGone}, Gone: ignore,
	},
	"Granted": {
		New: bug, Out: ignore, Joining: {"persist", granted}, In: ignore, Suspect: ignore, Yielding: ignore,
		Fenced: ignore, Leaving: ignore,
		Gone: ignore,
	},
	"GrantFailed": {
		New: bug, Out: ignore, Joining: {"-> out, join later", grantFailed}, In: ignore, Suspect: ignore,
		Yielding: ignore, Fenced: ignore,
		Leaving: ignore, Gone: ignore,
	},
	"Renewed": {
		New: bug, Out: ignore, Joining: {"persist", renewed}, In: {"persist", renewed}, Suspect: {"persist", renewed},
		Yielding: {"persist", renewed}, Fenced: {"persist", renewed}, Leaving: {"persist, until all is down", renewed},
		Gone: ignore,
	},
	"RenewFailed": {
		New: bug, Out: ignore, Joining: {"note", renewFailed}, In: {"note", renewFailed},
		Suspect:  {"note", renewFailed},
		Yielding: {"note", renewFailed}, Fenced: {"note", renewFailed}, Leaving: {"note", renewFailed}, Gone: ignore,
	},
	"LeaseLost": {
		New: bug, Out: ignore, Joining: {"-> out", lostJoining}, In: {"void, end now -> yielding", lostNow},
		Suspect: {"void, end now -> yielding", lostNow}, Yielding: {"void, end now", lostNow},
		Fenced:  {"-> out", lostFenced},
		Leaving: {"void, end now", lostLeaving}, Gone: ignore,
	},
	"Persisted": {
		New: bug, Out: {"note", persisted}, Joining: {"count, register", persisted}, In: {"count, register", persisted},
		Suspect: {"count, register -> in", persisted}, Yielding: {"count, admit -> in", persisted},
		Fenced:  {"count, admit -> in", persisted},
		Leaving: {"count; a void one: release", persistedLeaving}, Gone: ignore,
	},
	"PersistFailed": {
		New: bug, Out: {"note", persistFailed}, Joining: {"say", persistFailed}, In: {"say", persistFailed},
		Suspect:  {"say", persistFailed},
		Yielding: {"say", persistFailed}, Fenced: {"-> out, join later", persistFailedFenced},
		Leaving: {"say; a void one: -> gone", persistFailedLeaving}, Gone: ignore,
	},
	"Registered": {
		New: bug, Out: ignore, Joining: {"admit -> in", registered}, In: {"starts are allowed", registered},
		Suspect: {"starts are allowed", registered}, Yielding: {"note", registered}, Fenced: {"note", registered},
		Leaving: ignore, Gone: ignore,
	},
	"RegisterFailed": {
		New: bug, Out: ignore, Joining: {"say, again after a renewal", hindered},
		In:      {"say, again after a renewal", hindered},
		Suspect: {"say, again after a renewal", hindered}, Yielding: ignore, Fenced: ignore, Leaving: ignore,
		Gone: ignore,
	},
	"NameTaken": {
		New: bug, Out: ignore, Joining: {"say, again after a renewal", hindered},
		In:      {"void, end now -> yielding", lostNow},
		Suspect: {"void, end now -> yielding", lostNow}, Yielding: {"void, end now", lostNow},
		Fenced:  {"-> out", lostFenced},
		Leaving: {"void, end now", lostLeaving}, Gone: ignore,
	},
	"Tick": {
		New: ignore, Out: {"start a leash; ask for a lease -> joining", tickOut},
		Joining: {"renew; in vain for too long -> out", tickJoining},
		In:      {"renew; -> suspect; end -> yielding", tickIn}, Suspect: {"renew; end -> yielding", tickIn},
		Yielding: {"renew; say what is overdue", tickYielding},
		Fenced:   {"renew; the disk does not answer -> out", tickFenced},
		Leaving:  {"renew; press on; say what is overdue; go on without an answer", tickLeaving}, Gone: ignore,
	},
	"Down": {
		New: ignore, Out: ignore, Joining: ignore, In: ignore, Suspect: ignore,
		Yielding: {"-> fenced; without a lease -> out", down}, Fenced: ignore,
		Leaving: {"void; without a lease -> gone", downLeaving}, Gone: ignore,
	},
	"Leave": {
		New: {"-> gone", leaveOut}, Out: {"-> gone", leaveOut}, Joining: {"void -> leaving", leaveDown},
		In:      {"end all -> leaving", leave},
		Suspect: {"end all -> leaving", leave}, Yielding: {"end all -> leaving", leave},
		Fenced:  {"end all -> leaving", leave},
		Leaving: ignore, Gone: ignore,
	},
	"Released": {
		New: ignore, Out: ignore, Joining: ignore, In: ignore, Suspect: ignore, Yielding: ignore, Fenced: ignore,
		Leaving: {"revoke", released},
		Gone:    ignore,
	},
	"Revoked": {
		New: ignore, Out: ignore, Joining: ignore, In: ignore, Suspect: ignore, Yielding: ignore, Fenced: ignore,
		Leaving: {"-> gone", revoked},
		Gone:    ignore,
	},
	"Detach": {
		New: {"-> gone", detach}, Out: {"-> gone", detach}, Joining: {"-> gone", detach},
		In:      {"say when the leash kills -> gone", detach},
		Suspect: {"say when the leash kills -> gone", detach}, Yielding: {"say when the leash kills -> gone", detach},
		Fenced:  {"-> gone", detach},
		Leaving: {"say when the leash kills -> gone", detach}, Gone: ignore,
	},
}

// Events lists the names of all events, in the order of the table as it is shown.
func Events() []string {
	return []string{"Loaded", "LeashUp", "LeashGone", "Granted", "GrantFailed", "Renewed", "RenewFailed", "LeaseLost",
		"Persisted", "PersistFailed",
		"Registered", "RegisterFailed", "NameTaken", "Tick", "Down", "Leave", "Released", "Revoked", "Detach"}
}

// Cell returns the name of what the event does in the phase; empty if there is no such cell.
func Cell(event string, phase Phase) string { return table[event][phase].name }
