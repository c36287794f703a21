package messages

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// InstanceID names one application instance. It is also a directory name, an actor name and a URL segment, so its
// alphabet is small: see [InstanceID.Validate].
type InstanceID string

// MaxInstanceID is the greatest length of an [InstanceID] in bytes.
const MaxInstanceID = 128

// Validate reports whether the id is 1 to [MaxInstanceID] ASCII letters, digits, '.', '_' and '-', beginning with a
// letter or a digit.
func (id InstanceID) Validate() error {
	switch {
	case id == "":
		return errors.New("the instance id is empty")
	case len(id) > MaxInstanceID:
		return fmt.Errorf("the instance id %.20q… has %d bytes; at most %d are allowed", string(id), len(id),
			MaxInstanceID)
	}
	for i := range len(id) {
		c := id[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || !strings.ContainsRune("._-", rune(c))) {
			return fmt.Errorf("the instance id %q may hold letters, digits, '.', '_' and '-' only, and begins with a "+
				"letter or a digit", string(id))
		}
	}
	return nil
}

// DefaultExecutable is the program an instance runs when it names none.
const DefaultExecutable = "dist/bin/servicehost"

// DefaultArgs is the command line of the servicehost contract, before its placeholders are filled in.
func DefaultArgs() []string {
	return []string{"-wasm", "{wasm_path}", "-dbPath", "{db_name}", "-port", "{port}"}
}

// AppInstance is one entry of the desired list: what should run, and by which rules.
//
// Executable, Args, WasmPath, DbName, WorkDir and Env say what runs: a change of one of them restarts the instance
// ([AppInstance.SpecHash]). Everything else is policy and is applied to the running process. What is true of a field is
// said in [Fields], once.
type AppInstance struct {
	InstanceID InstanceID
	WasmPath   string // the module to load; relative to WorkDir
	DbName     string // the database of the instance; relative to WorkDir if it is a path
	Executable string // empty: DefaultExecutable; relative to the manager's directory
	// Args is the command line after the executable. Empty: DefaultArgs. {id}, {wasm_path}, {db_name} and {port} are
	// replaced wherever they stand.
	Args    []string
	WorkDir string            // the directory the process starts in; empty: the manager's own
	Env     map[string]string // added to the small environment every instance gets
	Secrets []string          // the names in Env whose values must not appear in any output
	Labels  map[string]string // free for the user; shown in Status

	Disabled bool // listed, but not to be run
	// EnvFault is why Env is not known in full; empty: it is. Such an instance cannot be started, and one that runs is
	// left as it is. It holds no secret.
	EnvFault string

	Health  HealthPolicy
	Restart RestartPolicy
	Start   StartPolicy
	Stop    StopPolicy
	Process ProcessPolicy

	Placement *Placement // nil: nothing is said of it, see Place
	Resources *Resources // nil: none is bounded, see Bounds
}

// stopFields are those of a StopPolicy.
var stopFields = fields.of("stop")

// stopDefaults is the policy of which nothing is said.
var stopDefaults = StopPolicy{}.filled()

// fields is the description of an instance, in the order of the configuration's keys. What is added to it needs a field
// of its struct, and nothing else.
var fields = slices.Concat(table{
	{Key: "id", Kind: KindText, Doc: "unique; letters, digits, '.', '_' and '-'", check: wrongID,
		Limits: []Limit{{Schema: map[string]any{"pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$",
			"maxLength": MaxInstanceID}}},
		At: func(a *AppInstance) any { return &a.InstanceID }},
	{Key: "wasm_path", Kind: KindPath, Effect: Respawns, Doc: "the module to load; relative to the file",
		At: func(a *AppInstance) any { return &a.WasmPath }},
	{Key: "db_name", Kind: KindText, Effect: Respawns, Doc: "the database; relative to work_dir if it is a path",
		At: func(a *AppInstance) any { return &a.DbName }},
	{Key: "executable", Kind: KindProgram, Effect: Respawns, Default: DefaultExecutable,
		Doc: "the program to run instead of the file's",
		At:  func(a *AppInstance) any { return &a.Executable }},
	{Key: "args", Kind: KindTexts, Effect: Respawns, Default: DefaultArgs(), check: wrongArgs,
		Doc: "the command line after the executable; {id}, {wasm_path}, {db_name} and {port} are filled in; default: " +
			strings.Join(DefaultArgs(), " "),
		At: func(a *AppInstance) any { return &a.Args }},
	{Key: "work_dir", Kind: KindPath, Effect: Respawns,
		Doc: "where the process starts; default: the directory of the file",
		At:  func(a *AppInstance) any { return &a.WorkDir }},
	{Key: "enabled", Kind: KindBool, Negated: true, Doc: "false: listed, but not to be run; default true",
		At: func(a *AppInstance) any { return &a.Disabled }},
	{Key: "env", Kind: KindNames, Effect: Respawns, Secret: true, check: wrongEnv,
		Doc: "environment variables. From weak to strong: env_file of defaults, env of defaults, env_file of the " +
			"instance, env of the instance",
		At: func(a *AppInstance) any { return &a.Env }},
	{Key: "env_file", Kind: KindPath, Doc: "a file of NAME=VALUE lines, for secrets: the values are shown nowhere; " +
		"env beside it comes before it",
		At: func(a *AppInstance) any { return &a.EnvFault }},
	{Key: "labels", Kind: KindNames, Doc: "free for you; shown in the status",
		At: func(a *AppInstance) any { return &a.Labels }},
	{Key: "movable", Kind: KindBool, check: wrongPlacement,
		Doc: "in a fleet: another host may start it when its own is lost, since its data is there, too; default " +
			"false: it waits for its host",
		At:   func(a *AppInstance) any { return &a.place().Movable },
		Into: func(a *AppInstance) any { return &a.placed().Movable }},
	{Key: "fence", Kind: KindText, check: nothing, Words: words(FenceLeash, FenceNone),
		Doc: "of one that may move: leash ends it when its host's lease is over, so that there are never two, none " +
			"does not; default leash",
		At:   func(a *AppInstance) any { return &a.place().Fence },
		Into: func(a *AppInstance) any { return &a.placed().Fence }},
	{Key: "hosts", Kind: KindNames, check: nothing, Limits: []Limit{HostLabels()},
		Doc: "in a fleet: the labels that its host must have", At: func(a *AppInstance) any { return &a.place().Hosts },
		Into: func(a *AppInstance) any { return &a.placed().Hosts }},

	{Key: "health.kind", Kind: KindText, Effect: Applied, Default: HealthHTTP,
		Words: words(HealthHTTP, HealthTCP, HealthCommand),
		Doc:   "how an instance is asked: by a request, a connection or a program",
		At:    func(a *AppInstance) any { return &a.Health.Kind }},
	{Key: "health.path", Kind: KindText, Effect: Applied, Default: "/api/status", Limits: urlPath,
		Doc: "what is asked for",
		At:  func(a *AppInstance) any { return &a.Health.Path }},
	{Key: "health.interval", Kind: KindDuration, Effect: Applied, Default: 15 * time.Second, Limits: positive,
		Doc: "between two probes of a running instance", At: func(a *AppInstance) any { return &a.Health.Interval }},
	{Key: "health.timeout", Kind: KindDuration, Effect: Applied, Default: 5 * time.Second, Limits: positive,
		Doc: "of one probe", At: func(a *AppInstance) any { return &a.Health.Timeout }},
	{Key: "health.failures", Kind: KindInteger, Effect: Applied, Default: 3, Limits: []Limit{AtLeast(1)},
		Doc: "so many failed probes in a row make it unhealthy",
		At:  func(a *AppInstance) any { return &a.Health.Failures }},
	{Key: "health.owner", Kind: KindText, Effect: Applied, Default: OwnerChild, Words: words(OwnerChild, OwnerAny),
		Doc: "whose process must listen: one of the instance, or any, as of a daemon elsewhere",
		At:  func(a *AppInstance) any { return &a.Health.Owner }},
}, checkFields(), table{
	{Key: "restart.initial", Kind: KindDuration, Effect: Wished, Default: time.Second, Limits: positive,
		Doc: "the first delay", At: func(a *AppInstance) any { return &a.Restart.Initial }},
	{Key: "restart.max", Kind: KindDuration, Effect: Wished, Default: 60 * time.Second, Limits: positive,
		NotBelow: "restart.initial",
		Doc:      "no delay is longer, jitter included", At: func(a *AppInstance) any { return &a.Restart.Max }},
	{Key: "restart.multiplier", Kind: KindNumber, Effect: Wished, Default: 2.0, Limits: []Limit{between(1, 1000)},
		Doc: "each delay is so many times the one before",
		At:  func(a *AppInstance) any { return &a.Restart.Multiplier }},
	{Key: "restart.jitter", Kind: KindNumber, Effect: Wished, Default: 0.2, ZeroCounts: true, Limits: fraction,
		Doc: "a delay is drawn from ± this part of itself", At: func(a *AppInstance) any { return &a.Restart.Jitter }},
	{Key: "restart.stable_after", Kind: KindDuration, Effect: Wished, Default: 60 * time.Second, Limits: positive,
		Doc: "so long healthy forgives every failure before, and the next start is at once",
		At:  func(a *AppInstance) any { return &a.Restart.StableAfter }},
	{Key: "restart.max_attempts", Kind: KindInteger, Effect: Wished, Default: 0, Limits: []Limit{AtLeast(0)},
		Doc: "failures in a row after which an instance stays down; 0: never",
		At:  func(a *AppInstance) any { return &a.Restart.MaxAttempts }},
	{Key: "restart.mode", Kind: KindText, Effect: Wished, Default: RestartAlways,
		Words: words(RestartAlways, RestartOnFailure, RestartNever),
		Doc:   "after which exits an instance is started again",
		At:    func(a *AppInstance) any { return &a.Restart.Mode }},
	{Key: "restart.success", Kind: KindWords, Effect: Wished, Default: WordList("0"),
		Limits: append(someWord, exits...),
		Doc:    "exit codes and signals that count as clean, for on-failure",
		At:     func(a *AppInstance) any { return &a.Restart.Success }},
	{Key: "restart.final", Kind: KindWords, Effect: Wished, Default: WordList(""), Limits: exits,
		Doc: "exit codes and signals after which it is failed at once",
		At:  func(a *AppInstance) any { return &a.Restart.Final }},
	{Key: "restart.on_change", Kind: KindWords, Effect: Applied, Default: WordList(""), Limits: changeable,
		Doc: "changed files that restart it: executable, wasm; env_file does in any case",
		At:  func(a *AppInstance) any { return &a.Restart.OnChange }},

	{Key: "start.deadline", Kind: KindDuration, Effect: Applied, Default: 60 * time.Second, Limits: positive,
		Doc: "from the start of an instance to its first healthy answer",
		At:  func(a *AppInstance) any { return &a.Start.Deadline }},

	{Key: "start.priority", Kind: KindInteger, Effect: Noted, Default: 0, Limits: []Limit{Must(func(n int) string {
		return when(n < -mostPriority || n > mostPriority,
			fmt.Sprintf("it must be from %d to %d", -mostPriority, mostPriority))
	}, map[string]any{"minimum": -mostPriority, "maximum": mostPriority})},
		Doc: "of instances that start together those with more go first, then by id",
		At:  func(a *AppInstance) any { return &a.Start.Priority }},

	{Key: "stop.grace", Kind: KindDuration, Effect: Applied, Default: 10 * time.Second, Limits: positive,
		Doc: "between stop.signal and KILL", At: func(a *AppInstance) any { return &a.Stop.Grace }},
	{Key: "stop.signal", Kind: KindText, Effect: Applied, Default: SignalName("TERM"), Limits: endsWith,
		Doc: "by which an instance is asked to end: TERM, INT, QUIT, HUP, USR1, RTMIN+3 ...",
		At:  func(a *AppInstance) any { return &a.Stop.Signal }},
	{Key: "stop.leftovers", Kind: KindText, Effect: Applied, Default: LeftoversEnd,
		Words: words(LeftoversEnd, LeftoversLeave),
		Doc:   "what becomes of those that outlive the first process in a session of their own",
		At:    func(a *AppInstance) any { return &a.Stop.Leftovers }},

	{Key: "process.user", Kind: KindText, Effect: Respawns, Default: "", Limits: account,
		Doc: "name or number of the user it runs as, with all groups of that; default: the daemon's",
		At:  func(a *AppInstance) any { return &a.Process.User }},
	{Key: "process.group", Kind: KindText, Effect: Respawns, Default: "", Limits: account,
		Doc: "name or number of its group; default: the user's own",
		At:  func(a *AppInstance) any { return &a.Process.Group }},
	{Key: "process.umask", Kind: KindText, Effect: Respawns, Default: "", Limits: octal,
		Doc: "permissions that its new files do not get, octal as 027; default: the daemon's",
		At:  func(a *AppInstance) any { return &a.Process.Umask }},
	{Key: "process.nice", Kind: KindInteger, Effect: Respawns, Default: 0, Limits: niceness,
		Doc: "from -20, before others, to 19, behind them; 0: the daemon's",
		At:  func(a *AppInstance) any { return &a.Process.Nice }},
	{Key: "process.oom_score_adj", Kind: KindInteger, Effect: Respawns, Default: 0, Limits: oomScore,
		Doc: "from -1000, never, to 1000, first, to be killed for want of memory",
		At:  func(a *AppInstance) any { return &a.Process.OOMScoreAdj }},
	{Key: "process.limits", Kind: KindLimits, Effect: Respawns, Default: Limits(""),
		Doc: "resource limits, soft and hard, as in {nofile: 1024, core: 0}; or unlimited",
		At:  func(a *AppInstance) any { return &a.Process.Limits }},

	{Key: "resources.memory", Kind: KindBytes, Effect: Respawns, Default: Bytes(0), Limits: memoryBounds,
		Doc:  "as 512MiB; beyond that the kernel kills one of them",
		At:   func(a *AppInstance) any { return &a.resources().Memory },
		Into: func(a *AppInstance) any { return &a.bounded().Memory }},
	{Key: "resources.cpu", Kind: KindNumber, Effect: Respawns, Default: 0.0, Limits: cpuBounds,
		Doc:  "how many cores they may use, as 0.5; 0: no bound",
		At:   func(a *AppInstance) any { return &a.resources().CPU },
		Into: func(a *AppInstance) any { return &a.bounded().CPU }},
	{Key: "resources.pids", Kind: KindInteger, Effect: Respawns, Default: 0, Limits: pidsBounds,
		Doc:  "how many processes and threads there may be of them; 0: no bound",
		At:   func(a *AppInstance) any { return &a.resources().Pids },
		Into: func(a *AppInstance) any { return &a.bounded().Pids }},
})

// Clone returns a copy that shares no map or slice with a.
func (a AppInstance) Clone() AppInstance {
	a.Args = slices.Clone(a.Args)
	a.Env = maps.Clone(a.Env)
	a.Secrets = slices.Clone(a.Secrets)
	a.Labels = maps.Clone(a.Labels)
	a.Placement = a.Placement.clone()
	a.Resources = a.Resources.clone()
	return a
}

// Same reports whether a and b are the same in every field.
func (a *AppInstance) Same(b *AppInstance) bool {
	return a == b || a.InstanceID == b.InstanceID && a.WasmPath == b.WasmPath && a.DbName == b.DbName &&
		a.Executable == b.Executable &&
		a.WorkDir == b.WorkDir && a.Process == b.Process && a.Disabled == b.Disabled && a.EnvFault == b.EnvFault &&
		a.samePolicy(b) &&
		slices.Equal(a.Args, b.Args) && slices.Equal(a.Secrets, b.Secrets) && maps.Equal(a.Env, b.Env) &&
		maps.Equal(a.Labels, b.Labels) &&
		a.Placement.Same(b.Placement) && a.Bounds() == b.Bounds()
}

// Clones returns clones of the instances of a list.
func Clones(list []*AppInstance) []AppInstance {
	clones := make([]AppInstance, len(list))
	for n, a := range list {
		clones[n] = a.Clone()
	}
	return clones
}

// Each returns the instances of a list themselves.
func Each(list []AppInstance) []*AppInstance {
	each := make([]*AppInstance, len(list))
	for n := range list {
		each[n] = &list[n]
	}
	return each
}

// Share has a use the maps, the slices and the longer texts of b where they say the same: of thousands that differ in
// little most is kept once. Neither may be changed any more.
func (a *AppInstance) Share(b *AppInstance) {
	if slices.Equal(a.Args, b.Args) {
		a.Args = b.Args
	}
	if slices.Equal(a.Secrets, b.Secrets) {
		a.Secrets = b.Secrets
	}
	if maps.Equal(a.Env, b.Env) {
		a.Env = b.Env
	}
	if maps.Equal(a.Labels, b.Labels) {
		a.Labels = b.Labels
	}
	if a.Health.Check != nil && a.Health.Same(&b.Health) {
		a.Health.Check = b.Health.Check
	}
	if a.Placement != nil && b.Placement != nil && a.Placement.Same(b.Placement) {
		a.Placement = b.Placement
	}
	if a.Resources != nil && b.Resources != nil && *a.Resources == *b.Resources {
		a.Resources = b.Resources
	}
	for _, text := range [][2]*string{{&a.WasmPath, &b.WasmPath}, {&a.DbName, &b.DbName},
		{&a.Executable, &b.Executable}, {&a.WorkDir, &b.WorkDir}} {
		if *text[0] == *text[1] {
			*text[0] = *text[1]
		}
	}
}

// WithDefaults returns a clone in which every field left at its zero value has its default.
func (a AppInstance) WithDefaults() AppInstance {
	a = a.Clone()
	fields.fill(&a)
	a.Args = slices.Clone(a.Args) // the default is not to be shared
	if a.Bounds() == (Resources{}) {
		a.Resources = nil
	}
	if usual := a.Health; usual.Check != nil {
		usual.Check = nil
		if a.Health.Same(&usual) {
			a.Health = usual
		}
	}
	return a
}

var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

// Validate reports every reason why the instance, its defaults filled in, cannot be accepted. It reads no file: whether
// a path exists is found out when the instance is started.
func (a AppInstance) Validate() error {
	errs := fields.wrong(&a)
	for _, f := range a.Health.Faults() {
		errs = append(errs, errors.New(f.Text))
	}
	return errors.Join(errs...)
}

func wrongID(a *AppInstance) []error { return []error{a.InstanceID.Validate()} }

func wrongArgs(a *AppInstance) (errs []error) {
	for _, arg := range a.Args {
		errs = append(errs, noNUL(arg))
		errs = append(errs, unknownPlaceholders("args", arg)...)
		if strings.Contains(arg, "{wasm_path}") && a.WasmPath == "" {
			errs = append(errs, errors.New("wasm_path is empty, but the command line asks for it"))
		}
		if strings.Contains(arg, "{db_name}") && a.DbName == "" {
			errs = append(errs, errors.New("db_name is empty, but the command line asks for it"))
		}
	}
	return errs
}

func unknownPlaceholders(key, arg string) (errs []error) {
	for _, p := range placeholder.FindAllString(arg, -1) {
		switch p {
		case "{id}", "{wasm_path}", "{db_name}", "{port}":
		default:
			errs = append(errs, fmt.Errorf("%s: unknown placeholder %s; there are {id}, {wasm_path}, {db_name} and "+
				"{port}", key, p))
		}
	}
	return errs
}

func wrongEnv(a *AppInstance) (errs []error) {
	for _, name := range slices.Sorted(maps.Keys(a.Env)) {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(a.Env[name], 0) {
			errs = append(errs, fmt.Errorf("env: %q is no name or value an environment can hold", name))
		}
	}
	return errs
}

func noNUL(text string) error {
	if strings.ContainsRune(text, 0) {
		return fmt.Errorf("%q holds a NUL byte, which no command line can carry", text)
	}
	return nil
}

// Module returns the path of the module, as the manager sees it; empty if the command line does not name it. Its
// defaults are filled in.
func (a *AppInstance) Module() string {
	if !a.HasModule() {
		return ""
	}
	if filepath.IsAbs(a.WasmPath) {
		return a.WasmPath
	}
	return filepath.Join(a.WorkDir, a.WasmPath)
}

// HasModule reports whether the command line names a module.
func (a *AppInstance) HasModule() bool {
	return a.WasmPath != "" && slices.ContainsFunc(a.Args,
		func(arg string) bool { return strings.Contains(arg, "{wasm_path}") })
}

// CommandLine returns the arguments of the process, without the executable, for the port it was given.
func (a AppInstance) CommandLine(port int) []string { return a.filled(a.Args, port) }

// CheckCommand returns the program and the arguments that ask a process with that port how it is.
func (a AppInstance) CheckCommand(port int) []string { return a.filled(a.Health.Asks().Command, port) }

func (a AppInstance) filled(line []string, port int) []string {
	fill := strings.NewReplacer(
		"{id}", string(a.InstanceID), "{wasm_path}", a.WasmPath, "{db_name}", a.DbName, "{port}", strconv.Itoa(port))
	args := make([]string, len(line))
	for i, arg := range line {
		args[i] = fill.Replace(arg)
	}
	return args
}

// SpecHash is equal for two instances if, and only if, a process of the one is a process of the other: same executable,
// arguments, module, database, directory and environment. 32 hexadecimal digits; the same in every version of procman
// that runs processes in the same way.
func (a AppInstance) SpecHash() string { return a.specHash(fields.since(Respawns, &a)) }

// specHash takes the fields that are not of the first form, and not at their defaults.
func (a AppInstance) specHash(later table) string {
	h := sha256.New()
	put := func(parts ...string) {
		fmt.Fprintf(h, "%d;", len(parts))
		for _, s := range parts {
			fmt.Fprintf(h, "%d:%s", len(s), s)
		}
	}
	put("v1", string(a.InstanceID), a.Executable, a.WasmPath, a.DbName, a.WorkDir)
	put(a.Args...)
	for _, name := range slices.Sorted(maps.Keys(a.Env)) {
		put(name, a.Env[name])
	}
	for _, f := range later {
		put(f.Key, strconv.Quote(f.text(&a)))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// SamePolicy reports whether a and b are run by the same rules.
func (a AppInstance) SamePolicy(b AppInstance) bool { return a.samePolicy(&b) }

func (a *AppInstance) samePolicy(b *AppInstance) bool {
	return a.Health.Same(&b.Health) && a.Restart == b.Restart && a.Start == b.Start && a.Stop == b.Stop
}

// RestartMode says after which exits an instance is started again.
type RestartMode string

// The restart modes. An instance that a failed health check stopped counts as failed.
const (
	RestartAlways    RestartMode = "always"
	RestartOnFailure RestartMode = "on-failure" // not after an exit that counts as clean
	RestartNever     RestartMode = "never"
)

// RestartPolicy says when an instance that ended is started again. The zero value takes every default; in any other, a
// zero Jitter is no jitter and a zero MaxAttempts is no limit.
type RestartPolicy struct {
	Initial     time.Duration // the first delay
	Max         time.Duration // no delay is longer, jitter included
	Multiplier  float64       // each delay is so many times the one before
	Jitter      float64       // a delay is drawn from ±Jitter of itself
	StableAfter time.Duration // this long healthy forgives every failure before
	MaxAttempts int           // failures in a row after which the instance stays down; 0: never
	Mode        RestartMode   // after which exits
	Success     WordList      // exit codes and signals that count as clean
	Final       WordList      // exit codes and signals after which it stays down
	OnChange    WordList      // files of which a change restarts it, as ExecutableFile; an edit of this starts nothing
}

// WithDefaults returns p with its zero fields filled in, as the type says.
func (p RestartPolicy) WithDefaults() RestartPolicy {
	return AppInstance{Restart: p}.WithDefaults().Restart
}

// Hash is equal for two policies if, and only if, they say the same. 16 hexadecimal digits; the same in every version
// of procman, so that an upgrade is not taken for an edit.
func (p RestartPolicy) Hash() string {
	a := AppInstance{Restart: p}
	return a.wishHash(fields.since(Wished, &a))
}

// wishHash takes the fields that are not of the first form, and not at their defaults.
func (a AppInstance) wishHash(later table) string {
	h, p := fnv.New64a(), a.Restart
	fmt.Fprint(h, "v1 ", int64(p.Initial), int64(p.Max), p.Multiplier, p.Jitter, int64(p.StableAfter), p.MaxAttempts,
		" ", p.Mode)
	for _, f := range later {
		fmt.Fprintf(h, " %s=%q", f.Key, f.text(&a))
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

// StartPolicy says how an instance is started.
type StartPolicy struct {
	Deadline time.Duration // from its start to its first 200
	Priority int           `json:",omitempty"` // of those that start together, who has more goes first, then by id
}

// mostPriority is the greatest priority; the least is as far below 0.
const mostPriority = 1000

// StopPolicy says how an instance is ended. It is on record with its run, see [Memory]: the run may have to be ended
// when nobody lists its instance any more.
type StopPolicy struct {
	Grace     time.Duration `json:"grace_ns"`              // between Signal and KILL
	Leftovers Leftovers     `json:"leftovers,omitempty"`   // what becomes of processes that outlive the first one
	Signal    SignalName    `json:"stop_signal,omitempty"` // by which it is asked to end; empty: TERM
}

// Leftovers says what becomes of what a run has started, once its first process has ended. Its session and its process
// group are ended with it in any case.
type Leftovers string

// The policies for leftovers.
const (
	LeftoversEnd   Leftovers = "end"   // it is ended too, whatever session it has begun: it carries the run's tag
	LeftoversLeave Leftovers = "leave" // what has begun a session of its own is not signalled, and lives on
)

// WithDefaults returns p with every field left at its zero value filled in.
func (p StopPolicy) WithDefaults() StopPolicy {
	if p == (StopPolicy{}) {
		return stopDefaults // it is asked at each step of what has not begun
	}
	return p.filled()
}

func (p StopPolicy) filled() StopPolicy {
	a := AppInstance{Stop: p}
	stopFields.fill(&a) // of the others nobody hears, and it is asked at each step of what runs without a list
	return a.Stop
}
