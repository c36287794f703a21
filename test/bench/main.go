package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// binary is a procman that was built before.
type binary struct{ name, path string }

// bench is a run of the program.
type bench struct {
	sizes       []int
	only        []string // measures; none: all
	rounds      int
	kills       int           // instances that are killed in a round
	probe       time.Duration // between two probes of an instance
	settle      time.Duration // for which a manager may put its things in order before it counts as idle
	idleTime    time.Duration
	crashTime   time.Duration
	floodTime   time.Duration
	hanging     int           // instances of which a tenth hangs in its start
	patience    time.Duration // for one life of a manager
	firstPort   int
	lastPort    int
	dir         string // of this run, on a tmpfs
	payload     string
	contestants []contestant
	family      *family
	results     results
	progress    io.Writer
}

// wants says whether -only has chosen the measure.
func (b *bench) wants(measure string) bool {
	return len(b.only) == 0 || slices.Contains(b.only, measure)
}

func main() {
	ctx, end := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	end()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	if runtime.GOOS != "linux" {
		return errors.New("the bench measures on Linux only: it reads /proc")
	}
	b := &bench{family: newFamily(), results: results{}, progress: progress}
	var ports string
	var asJSON bool
	var binaries []binary
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.Func("n", "numbers of instances, `N,N`; default 1000", func(text string) error {
		for each := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(each)
			if err != nil || n < 1 {
				return fmt.Errorf("%q is no number of instances", each)
			}
			b.sizes = append(b.sizes, n)
		}
		return nil
	})
	flags.Func("only", "these measures, `NAME,NAME`: "+strings.Join(measures(), ", ")+"; default all",
		func(text string) error {
			for name := range strings.SplitSeq(text, ",") {
				if !slices.Contains(measures(), name) {
					return fmt.Errorf("there is no measure %q", name)
				}
				b.only = append(b.only, name)
			}
			return nil
		})
	flags.Func("procman", "measure this binary, `[NAME=]PATH`, instead of one built now; several are compared",
		func(text string) error {
			name, path, named := strings.Cut(text, "=")
			if !named {
				name, path = filepath.Base(text), text
			}
			binaries = append(binaries, binary{name, path})
			return nil
		})
	flags.IntVar(&b.rounds, "rounds", 5, "lives of each manager; what is printed is the median")
	flags.IntVar(&b.kills, "kills", 100, "instances that are killed in each life, one after the other")
	flags.DurationVar(&b.probe, "probe", 10*time.Second, "between two probes of an instance")
	flags.DurationVar(&b.settle, "settle", 3*time.Second, "time between a start and what needs a manager at rest")
	flags.DurationVar(&b.idleTime, "idle", 20*time.Second, "how long an idle manager is watched; a multiple of -probe")
	flags.DurationVar(&b.crashTime, "crash", 30*time.Second, "how long a manager is watched whose instances crash")
	flags.DurationVar(&b.floodTime, "flood", 2*time.Second, "how long an instance writes")
	flags.IntVar(&b.hanging, "hang", 1000, "instances of which a tenth hangs in its start")
	flags.DurationVar(&b.patience, "patience", 10*time.Minute, "how long one life may take")
	flags.StringVar(&ports, "ports", "", "`FIRST-LAST`; default from 20000 to what the kernel gives to clients")
	flags.BoolVar(&asJSON, "json", false, "print every measured value as JSON")
	parent := flags.String("dir", tmpfs(), "where the state directories are made")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if b.rounds < 1 || b.kills < 1 || b.hanging < 1 || b.probe <= 0 {
		return errors.New("-rounds, -kills, -hang and -probe must be positive")
	}
	if len(b.sizes) == 0 {
		b.sizes = []int{1000}
	}
	if b.firstPort, b.lastPort, err = portRange(ports); err != nil {
		return err
	}
	return b.run(ctx, *parent, binaries, asJSON, out)
}

func measures() (names []string) {
	for _, w := range table(0, 0, 0) {
		if !slices.Contains(names, w.measure) {
			names = append(names, w.measure)
		}
	}
	return names
}

func (b *bench) run(ctx context.Context, parent string, binaries []binary, asJSON bool, out io.Writer) (err error) {
	said := []string{facts()}
	if b.dir, err = os.MkdirTemp(parent, "procman-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.dir, err = filepath.EvalSymlinks(b.dir); err != nil { // /proc shows programs by such paths
		return err
	}
	missing, err := b.build(ctx, compiler(), binaries)
	if err != nil {
		return err
	}
	end, err := b.family.adoptOrphans()
	if err != nil {
		return err
	}
	defer end()
	if missing != "" {
		said = append(said, missing)
	}
	largest := slices.Max(b.sizes)
	most, why := fits(largest, b.lastPort-b.firstPort+1)
	if most < largest {
		said = append(said, fmt.Sprintf("%d instances do not fit on this host, %d do: %s.", largest, most, why))
	}
	for i := range b.sizes {
		b.sizes[i] = min(b.sizes[i], most)
	}
	slices.Sort(b.sizes)
	b.sizes = slices.Compact(b.sizes)
	if b.firstPort, err = free(b.firstPort, b.lastPort, min(largest, most)+mostAdded); err != nil {
		return err
	}
	if err := b.measure(ctx); err != nil {
		return err
	}
	said = append(said, fmt.Sprintf("Medians of %d lives of each, in turn; state on %s; %d kills in a life.",
		b.rounds, parent, b.kills))
	r := &report{facts: said, sizes: b.sizes, results: b.results}
	for _, w := range table(b.probe, b.crashTime, b.hanging) {
		if b.wants(w.measure) {
			r.rows = append(r.rows, w)
		}
	}
	for _, c := range b.contestants {
		r.whos = append(r.whos, c.name)
	}
	if asJSON {
		return r.json(out)
	}
	r.markdown(out)
	return nil
}

// measure lets the contestants live in turn, so that what else this host does falls on all of them.
func (b *bench) measure(ctx context.Context) error {
	each := func(what string, do func(context.Context, contestant, int) error) error {
		for round := range b.rounds {
			for _, who := range b.contestants {
				fmt.Fprintf(b.progress, "%s, round %d of %d: %s\n", what, round+1, b.rounds, who.name)
				life, end := context.WithTimeoutCause(ctx, b.patience,
					fmt.Errorf("it took more than %s (-patience)", b.patience))
				err := do(life, who, round)
				end()
				if err != nil {
					return fmt.Errorf("%s: %s: %w", what, who.name, err)
				}
			}
		}
		return nil
	}
	for _, n := range b.sizes {
		if len(b.only) > 0 && !slices.ContainsFunc(b.only,
			func(m string) bool { return m != "crash" && m != "hang" && m != "output" }) {
			break
		}
		err := each(fmt.Sprintf("%d instances", n), func(ctx context.Context, who contestant,
			round int) error {
			return b.live(ctx, who, n, round)
		})
		if err != nil {
			return err
		}
	}
	if b.wants("output") {
		if err := each("output", b.output); err != nil {
			return err
		}
	}
	if b.wants("crash") {
		if err := each("crash", b.crash); err != nil {
			return err
		}
	}
	if b.wants("hang") {
		return each("hang", b.hang)
	}
	return nil
}
