package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"procman/test/chaos"
)

func main() {
	c := &child{signals: make(chan os.Signal, 64), ends: make(chan chaos.End, 1)}
	descent := flag.String("descent", "", "be a grandchild; `how` is for people who read ps")
	var of chaos.Process
	flag.IntVar(&of.PID, "of", 0, "the `PID` of the process that started this grandchild")
	flag.Uint64Var(&of.Start, "began", 0, "its start `TIME`")
	flag.StringVar(&c.control, "wasm", "", "the control `FILE`")
	flag.StringVar(&c.db, "dbPath", "", "a file that is made")
	flag.IntVar(&c.port, "port", 0, "the TCP `PORT` to listen on")
	flag.Parse()
	words := flag.Args()
	if len(words) > 0 && c.port == 0 {
		if port, err := strconv.Atoi(words[0]); err == nil {
			c.port, words = port, words[1:]
		}
	}
	signal.Notify(c.signals) // all; the default for those that cannot be caught
	signal.Reset(syscall.SIGURG, syscall.SIGCHLD, syscall.SIGPIPE)
	if err := c.open(words, *descent == ""); err != nil {
		fmt.Fprintln(os.Stderr, "faultchild:", err)
		os.Exit(3)
	}
	if *descent != "" {
		c.descend(*descent, of)
	}
	c.live()
}

// child is this process.
type child struct {
	control, db string
	port        int
	instance    string
	run         int
	spec, tag   string
	self        chaos.Process
	habits      chaos.Habits
	env         []string // as it was before clearenv
	ledger      *os.File // nil: it was started by hand, for a look
	alive       *os.File // holds the lock of the instance
	signals     chan os.Signal
	ends        chan chaos.End

	lines int // written to stdout
}

// open finds out who it is, and takes on its habits.
func (c *child) open(words []string, first bool) error {
	c.instance = os.Getenv("PROCMAN_INSTANCE_ID")
	c.run, _ = strconv.Atoi(os.Getenv("PROCMAN_RUN")) // a bystander has none
	start, err := startTime()
	if err != nil {
		return err
	}
	c.self = chaos.Process{PID: os.Getpid(), Start: start}
	switch path := os.Getenv(chaos.EnvLedger); {
	case path != "":
		if c.ledger, err = os.OpenFile(strings.Clone(path), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600); err != nil {
			return err
		}
	case c.control != "":
		return fmt.Errorf("%s is not set", chaos.EnvLedger)
	}
	if first {
		words = append(words, c.read().Habits...) // a grandchild is given all of them
	}
	habits, err := chaos.ParseHabits(words)
	if err != nil {
		return err
	}
	c.spec, c.tag = strings.Clone(os.Getenv(chaos.EnvSpec)), strings.Clone(os.Getenv("PROCMAN_RUN_TAG"))
	return c.adopt(habits)
}

// note appends to the ledger. A ledger that cannot be written ends the process: it would be a lie.
func (c *child) note(event chaos.Event, n chaos.Note) {
	if c.ledger == nil {
		return
	}
	e := chaos.Entry{At: monotonic(), Instance: c.instance, Run: c.run, Process: c.self, Port: c.port,
		Event: event, Note: n}
	if _, err := c.ledger.WriteString(e.String()); err != nil {
		fmt.Fprintln(os.Stderr, "faultchild:", err)
		os.Exit(4)
	}
}

// read returns the control file as it is now. One that is broken counts as none, and that is said.
func (c *child) read() chaos.Control {
	if c.control == "" {
		return chaos.Control{}
	}
	control, err := chaos.ReadControl(c.control)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faultchild:", err)
	}
	return control
}

func (c *child) live() {
	n := chaos.Note{"spec": c.spec, "tag": c.tag}
	if n["spec"] == "" {
		delete(n, "spec")
	}
	if n["tag"] == "" {
		delete(n, "tag")
	}
	rival, err := c.hold()
	if err != nil {
		fmt.Fprintln(os.Stderr, "faultchild:", err)
		os.Exit(3)
	}
	if rival != 0 {
		n["rival"] = strconv.Itoa(rival)
	}
	c.note(chaos.Start, n)
	control := c.read()
	if c.db != "" {
		if err := os.WriteFile(c.db, []byte(c.instance), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, "faultchild:", err)
		}
	}
	for _, d := range control.Grandchildren {
		if err := beget(d); err != nil {
			fmt.Fprintln(os.Stderr, "faultchild: a grandchild:", err)
		}
	}
	if err := c.attend(); err != nil {
		fmt.Fprintln(os.Stderr, "faultchild: a child:", err)
		os.Exit(6)
	}
	if control.Partial != "" {
		_, _ = os.Stdout.WriteString(control.Partial)
	}
	for range control.Flood {
		c.line()
	}
	if e := control.End; e != nil {
		if after, ends := e.Drawn(c.instance, c.run); ends {
			time.AfterFunc(after, func() { c.ends <- *e })
		}
	}
	if after := time.Duration(control.StopSelfAfter); after > 0 {
		time.AfterFunc(after, func() { _ = syscall.Kill(c.self.PID, syscall.SIGSTOP) })
	}
	if control.Bind != chaos.BindNever && !c.habits.Worker() {
		go c.serve(control)
	}
	c.loop(control)
}

func (c *child) serve(control chaos.Control) {
	time.Sleep(time.Duration(control.BindAfter))
	port := c.port
	if control.Bind == chaos.BindWrong {
		port = 0
	}
	l, err := c.listen(port)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faultchild:", err)
		c.ends <- chaos.End{Code: 5}
		return
	}
	c.note(chaos.Listen, chaos.Note{"port": strconv.Itoa(l.Addr().(*net.TCPAddr).Port)})
	for {
		conn, err := l.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, "faultchild:", err)
			return
		}
		go answer(conn, c.read().Health)
	}
}

func (c *child) loop(control chaos.Control) {
	var lines <-chan time.Time
	if control.Rate > 0 {
		ticker := time.NewTicker(time.Second / time.Duration(control.Rate))
		defer ticker.Stop()
		lines = ticker.C
	}
	for {
		select {
		case <-lines:
			c.line()
		case e := <-c.ends:
			c.end(e)
		case s := <-c.signals:
			c.gotSignal(s.(syscall.Signal))
		}
	}
}

func (c *child) gotSignal(s syscall.Signal) {
	switch s {
	case syscall.SIGTERM:
		c.note(chaos.Term, nil)
		control := c.read()
		if control.Term == chaos.TermIgnored {
			return
		}
		time.AfterFunc(time.Duration(control.TermAfter)+c.habits.Slow, func() {
			select {
			case c.ends <- chaos.End{}:
			default: // it ends already
			}
		})
	case syscall.SIGUSR1:
		if cue := c.read().Cue; cue != nil {
			time.AfterFunc(time.Duration(cue.After), func() { c.ends <- *cue })
			return
		}
		fallthrough
	default:
		c.note(chaos.Signal, chaos.Note{"signal": strconv.Itoa(int(s))})
	}
}

// line writes the next numbered line, whole, in one write.
func (c *child) line() {
	c.lines++
	if _, err := fmt.Fprintf(os.Stdout, "%s %d %d %d\n", c.instance, c.run, c.self.PID, c.lines); err != nil {
		fmt.Fprintln(os.Stderr, "faultchild: stdout:", err)
	}
}

func (c *child) end(e chaos.End) {
	c.note(chaos.Exit, chaos.Note{"code": strconv.Itoa(e.Code), "signal": strconv.Itoa(e.Signal),
		"lines": strconv.Itoa(c.lines)})
	if e.Signal != 0 {
		die(syscall.Signal(e.Signal))
	}
	os.Exit(e.Code)
}
