package messages

// Deed is what a new desired list does to an instance.
type Deed string

// The deeds.
const (
	DeedStart   Deed = "start"
	DeedStop    Deed = "stop"
	DeedRestart Deed = "restart" // what runs has changed
	DeedApply   Deed = "apply"   // noted, and no process is touched
)

// Change is what a new desired list would do to one instance, and why.
type Change struct {
	ID     InstanceID    `json:"id"`
	Deed   Deed          `json:"do"`
	Why    string        `json:"why"`
	Fields []FieldChange `json:"fields"` // of an instance that is in both lists, in the order of the configuration's keys
}

// FieldChange is one field that differs between two lists. Secrets are masked.
type FieldChange struct {
	Field string `json:"field"` // as the configuration names it: env.LOG_LEVEL, health.interval
	From  string `json:"from"`  // empty: it was not there
	To    string `json:"to"`    // empty: it is not there any more
}
