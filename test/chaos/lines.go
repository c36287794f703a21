package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Line is a numbered line that a faultchild wrote.
type Line struct {
	Instance string
	Run      int
	PID      int
	Seq      int // the first of a process is 1
}

// ParseLine reads "instance run pid seq".
func ParseLine(text string) (Line, error) {
	words := strings.Split(text, " ")
	if len(words) != 4 || strings.ContainsFunc(words[0], func(r rune) bool { return r <= ' ' || r > '~' }) {
		return Line{}, fmt.Errorf("%.80q is no numbered line", text)
	}
	l := Line{Instance: words[0]}
	for i, into := range []*int{&l.Run, &l.PID, &l.Seq} {
		n, err := strconv.Atoi(words[i+1])
		if err != nil || n <= 0 {
			return Line{}, fmt.Errorf("%.80q is no numbered line", text)
		}
		*into = n
	}
	return l, nil
}

// ParseFile reads an output file. What follows the last line end is left out: it is being written.
func ParseFile(text []byte) (lines []Line, err error) {
	for {
		line, rest, whole := bytes.Cut(text, []byte{'\n'})
		if !whole {
			return lines, nil
		}
		l, err := ParseLine(string(line))
		if err != nil {
			return lines, err
		}
		lines, text = append(lines, l), rest
	}
}

// Forwarded is a line in the daemon's own log.
type Forwarded struct {
	Line
	Manager int  // counts the daemons of this state directory: it is a record of that one
	Foreign bool // the record says that another run wrote it
}

// ParseForwarded picks the output of one instance's stdout out of the log of one daemon. The last line of a log may be
// cut off: its daemon was killed.
func ParseForwarded(log []byte, manager int, into map[string][]Forwarded) error {
	for {
		line, rest, whole := bytes.Cut(log, []byte{'\n'})
		if !whole {
			return nil
		}
		log = rest
		var r struct {
			Msg, Instance, Stream, Line string
			Run, PID                    int
			Partial, Quoted             bool
		}
		if !bytes.Contains(line, []byte(`"msg":"output"`)) {
			continue
		}
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("the log has the record %.200q: %w", line, err)
		}
		if r.Stream != "stdout" {
			continue
		}
		l, err := ParseLine(r.Line)
		if err != nil || r.Partial || r.Quoted {
			return fmt.Errorf("%s: the forwarded line %.80q is torn", r.Instance, r.Line)
		}
		if l.Instance != r.Instance {
			return fmt.Errorf("%s: the forwarded line %q is another instance's", r.Instance, r.Line)
		}
		into[r.Instance] = append(into[r.Instance], Forwarded{l, manager, l.Run != r.Run || l.PID != r.PID})
	}
}

// FileWhole is I6 for an instance's stdout.log: process after process, each beginning with its first line, none
// missing, none twice, and up to the number that the process said at its end.
func FileWhole(instance string, lines []Line, lives []Life) (v violations) {
	type process struct{ run, pid int } // a pid is used again
	last := map[process]int{}           // the number of its newest line
	for n, l := range lines {
		of := process{l.Run, l.PID}
		if n > 0 && of != (process{lines[n-1].Run, lines[n-1].PID}) && last[of] != 0 {
			v.add("I6", "%s: in the file, line %d of process %d stands behind those of process %d", instance,
				l.Seq, l.PID, lines[n-1].PID)
		}
		if l.Seq != last[of]+1 {
			v.add("I6", "%s: in the file, line %d of process %d follows line %d", instance, l.Seq, l.PID, last[of])
		}
		last[of] = l.Seq
	}
	for _, l := range lives {
		if wrote := last[process{l.Run, l.PID}]; l.Instance == instance && l.Exit != nil && wrote != l.Exit.Lines {
			v.add("I6", "%s: process %d wrote %d lines, the file has %d", instance, l.PID, l.Exit.Lines, wrote)
		}
	}
	return v
}

// ForwardedWhole is I6 for what was forwarded of a file: the lines of the file in their order, without a gap. Only
// where another manager took over may it begin again with lines that were forwarded before. The first so many lines of
// the file must have been forwarded. Which run wrote a line, a record may say wrongly only of the first lines of a
// process that a manager forwards: where it takes over what a dead one left, nothing in the file says where one run
// ends and the next begins.
func ForwardedWhole(instance string, file []Line, forwarded []Forwarded, atLeast int) (v violations) {
	at := make(map[Line]int, len(file))
	for i, l := range file {
		at[l] = i
	}
	next := 0 // in the file
	foreign := false
	for n, f := range forwarded {
		i, known := at[f.Line]
		if !known {
			v.add("I6", "%s: line %d of process %d was forwarded, but is not in the file", instance, f.Seq, f.PID)
			continue
		}
		handover := n == 0 || f.Manager != forwarded[n-1].Manager
		foreign = f.Foreign && (foreign || handover || f.PID != forwarded[n-1].PID)
		if f.Foreign && !foreign {
			v.add("I6", "%s: manager %d forwarded line %d of process %d as another run's", instance, f.Manager,
				f.Seq, f.PID)
		}
		if i > next {
			v.add("I6", "%s: manager %d forwarded line %d of process %d, but %d lines before it were never "+
				"forwarded, from line %d of process %d on",
				instance, f.Manager, f.Seq, f.PID, i-next, file[next].Seq, file[next].PID)
		} else if i < next && !handover {
			v.add("I6", "%s: manager %d forwarded line %d of process %d twice", instance, f.Manager, f.Seq, f.PID)
		}
		next = i + 1
	}
	if next < atLeast {
		v.add("I6", "%s: %d lines were not forwarded to the end, from line %d of process %d on", instance, atLeast-next,
			file[next].Seq, file[next].PID)
	}
	return v
}
