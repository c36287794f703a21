package fleet

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"procman/messages"
	"procman/supervisor/fleet/place"
	"procman/supervisor/fleet/store"
)

// keys names what a fleet has in its store.
type keys struct{ prefix string }

func keysOf(fleet string) keys { return keys{"/procman/" + fleet + "/"} }

func (k keys) spec(id messages.InstanceID) string   { return k.prefix + "spec/" + string(id) }
func (k keys) assign(id messages.InstanceID) string { return k.prefix + "assign/" + string(id) }
func (k keys) host(name string) string              { return k.prefix + "host/" + name }
func (k keys) drain(name string) string             { return k.prefix + "drain/" + name }
func (k keys) rebalance() string                    { return k.prefix + "rebalance" }

// HostKey is the key of a host in the store of its fleet.
func HostKey(fleet, host string) string { return keysOf(fleet).host(host) }

// split returns what the key is of, and whose it is.
func (k keys) split(key string) (kind, name string) {
	kind, name, _ = strings.Cut(strings.TrimPrefix(key, k.prefix), "/")
	return kind, name
}

// hostValue is what a host says of itself. It goes with the host's lease.
type hostValue struct {
	Incarnation string            `json:"incarnation"`
	Capacity    int               `json:"capacity,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	API         string            `json:"api,omitempty"`
	Version     string            `json:"version,omitempty"`
	Joined      time.Time         `json:"joined_at"`
}

// assignValue says which incarnation of which host an instance is for. It goes with no lease.
type assignValue struct {
	Host        string `json:"host"`
	Incarnation string `json:"incarnation"`
	Bound       bool   `json:"bound,omitempty"`
}

func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of texts and numbers
	}
	return string(text)
}

func decode[V any](e store.Entry) (v V, err error) {
	if err = json.Unmarshal([]byte(e.Value), &v); err != nil {
		err = fmt.Errorf("the store's %s cannot be read, and is passed over: %w", e.Key, err)
	}
	return v, err
}

func assignmentOf(id string, v assignValue, e store.Entry) place.Assignment {
	return place.Assignment{ID: id, Host: v.Host, Incarnation: v.Incarnation, Bound: v.Bound, Epoch: int64(e.Modified)}
}
