package messages

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
)

// AppendJSON appends the status as encoding/json writes it, but for labels, which are never null. It is for those who
// write thousands: a status that is written field by field costs a tenth.
func (s *Status) AppendJSON(b []byte) []byte {
	b = appendText(append(b, `{"id":`...), string(s.ID))
	b = appendText(append(b, `,"phase":`...), string(s.Phase))
	b = appendText(append(b, `,"health":`...), string(s.Health))
	b = appendText(append(b, `,"reason":`...), s.Reason)
	b = strconv.AppendInt(append(b, `,"pid":`...), int64(s.PID), 10)
	b = strconv.AppendInt(append(b, `,"port":`...), int64(s.Port), 10)
	b = strconv.AppendInt(append(b, `,"run":`...), int64(s.Run), 10)
	b = strconv.AppendBool(append(b, `,"adopted":`...), s.Adopted)
	b = strconv.AppendBool(append(b, `,"held":`...), s.Held)
	b = strconv.AppendBool(append(b, `,"disabled":`...), s.Disabled)
	b = appendText(append(b, `,"unsaved":`...), s.Unsaved)
	b = appendText(append(b, `,"outdated":`...), string(s.Outdated))
	b = strconv.AppendInt(append(b, `,"restarts":`...), int64(s.Restarts), 10)
	b = strconv.AppendInt(append(b, `,"consecutive_failures":`...), int64(s.ConsecutiveFailures), 10)
	b = appendMoment(append(b, `,"started_at":`...), s.StartedAt)
	b = appendMoment(append(b, `,"healthy_since":`...), s.HealthySince)
	b = appendMoment(append(b, `,"next_start_at":`...), s.NextStartAt)
	b = appendExit(append(b, `,"last_exit":`...), s.LastExit)
	b = appendProbe(append(b, `,"last_probe":`...), s.LastProbe)
	if s.Use != nil {
		b = appendAny(append(b, `,"use":`...), *s.Use)
	}
	b = appendText(append(b, `,"wasm_path":`...), s.WasmPath)
	b = appendText(append(b, `,"db_name":`...), s.DbName)
	b = append(b, `,"labels":{`...)
	first := true
	put := func(name, value string) {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendText(append(appendText(b, name), ':'), value)
	}
	if len(s.Labels) == 1 {
		for name, value := range s.Labels {
			put(name, value)
		}
	} else {
		for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
			put(name, s.Labels[name])
		}
	}
	b = append(b, '}')
	if s.Placement != nil { // that of few
		b = appendAny(append(b, `,"placement":`...), s.Placement)
	}
	return append(b, '}')
}

// AppendBrief appends what a line of a table shows of the status, without what is empty: a quarter of AppendJSON.
func (s *Status) AppendBrief(b []byte) []byte {
	b = appendText(append(b, `{"id":`...), string(s.ID))
	b = appendText(append(b, `,"phase":`...), string(s.Phase))
	b = appendText(append(b, `,"health":`...), string(s.Health))
	text := func(key, text string) {
		if text != "" {
			b = appendText(append(b, key...), text)
		}
	}
	number := func(key string, n int) {
		if n != 0 {
			b = strconv.AppendInt(append(b, key...), int64(n), 10)
		}
	}
	moment := func(key string, t *time.Time) {
		if t != nil {
			b = appendMoment(append(b, key...), t)
		}
	}
	text(`,"reason":`, s.Reason)
	text(`,"outdated":`, string(s.Outdated))
	number(`,"pid":`, s.PID)
	number(`,"port":`, s.Port)
	number(`,"restarts":`, s.Restarts)
	moment(`,"started_at":`, s.StartedAt)
	moment(`,"next_start_at":`, s.NextStartAt)
	return append(b, '}')
}

func appendExit(b []byte, e *Exit) []byte {
	if e == nil {
		return append(b, `null`...)
	}
	b = strconv.AppendInt(append(b, `{"code":`...), int64(e.Code), 10)
	b = appendText(append(b, `,"signal":`...), e.Signal)
	b = strconv.AppendBool(append(b, `,"known":`...), e.Known)
	b = appendMoment(append(b, `,"at":`...), &e.At)
	b = appendText(append(b, `,"reason":`...), string(e.Reason))
	return append(b, '}')
}

func appendProbe(b []byte, p *Probe) []byte {
	if p == nil {
		return append(b, `null`...)
	}
	b = strconv.AppendBool(append(b, `{"ok":`...), p.OK)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(p.Status), 10)
	b = append(b, `,"latency_seconds":`...)
	if s := p.Latency.Seconds(); s == 0 || s >= 1e-6 {
		b = strconv.AppendFloat(b, s, 'f', -1, 64)
	} else {
		b = appendAny(b, s) // in another form
	}
	b = appendText(append(b, `,"error":`...), p.Error)
	b = appendMoment(append(b, `,"at":`...), &p.At)
	return append(b, '}')
}

func appendMoment(b []byte, t *time.Time) []byte {
	if t == nil {
		return append(b, `null`...)
	}
	if year := t.Year(); year < 0 || year > 9999 { // it has no JSON form
		return append(b, `null`...)
	}
	return append(t.AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}

func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return appendAny(b, text)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}

func appendAny(b []byte, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil { // texts and finite numbers always have a form
		return append(b, `null`...)
	}
	return append(b, text...)
}
