// Package output tails the output files of processes that outlive us: it forwards new lines into a structured log,
// keeps each file bounded, and reads lines back.
//
//	process ── write(2), O_APPEND ──▶ stdout.log, stderr.log            nobody stands in between
//	                                       │
//	      Follow, Stop      inotify: one event, then silence until the watch is armed again
//	            │                          │
//	            ▼                          ▼
//	          the queue of sources that are due
//	                       │ next
//	                       ▼
//	          run, turn: 2 to 4 workers for all instances               worker.go
//	                       │
//	                       ▼
//	          visit, forward: at most 256 KiB from the checkpoint on    forward.go
//	             │                    │                      │
//	             ▼                    ▼                      ▼
//	          emit: a line         the checkpoint         trim: the head of what was forwarded goes
//	             │                 advances               (punch, collapse)
//	             ▼                    │
//	          slog.Handler            └─▶ output.json, about once a second
//
//	          Read: by the reader's own goroutine from the same files; the checkpoint tells where an offset is
//
// A line takes five calls in two files, each in the one before: run, turn (worker.go), visit, forward, emit
// (forward.go), which hands it to slog. What these ask on the way are leaves: tail.go looks at a file, lines.go cuts
// it, checkpoint.go counts.
//
// A [source] is the output of one instance, and has two [tail]s, one a file. There are two locks. Outputs.mu has the
// queue, the followers and the watches, and waits for no disk, but in Close. source.mu has what readers see of the
// checkpoints, and is held for one read or one cut. Everything else of a source belongs to the worker that has its
// turn.
//
// Invariants:
//   - The file is the log. A process writes to a file of its own, opened O_APPEND; we read it, and trim it at its
//     head. Nothing we do, or fail to do, reaches the process: no pipe to fill, none to break.
//   - Offsets are logical: they count from the first byte ever written and never go back, however often the file was
//     trimmed or somebody replaced it. [checkpoint] alone knows where in the file an offset is.
//   - An offset together with its era is the same byte for every manager that will ever use the directory. The era
//     changes when a file is not the one of the checkpoint; it is saved at once, the position about once a second. So a
//     reader's cursor is good over restarts and crashes, without any state of its own here.
//   - The files hold what was written. Secrets are masked on the way out, into the log and to readers, and no line is
//     cut in pieces within one.
//   - A byte is trimmed only after it was forwarded, or after a record "output skipped" has said so.
//   - With a total ([Options.Total]) the account knows what each file keeps, also of instances that nobody follows,
//     which a survey finds. Where that is too much, the largest files give up an eighth of the total more than needed,
//     all down to the same size, each by the worker that has its source. A change of one file costs no look at another;
//     without a total nothing is counted.
//   - In doubt a line is repeated, never skipped. A checkpoint is saved about once a second, so kill -9 repeats about a
//     second of output.
//   - One worker at a time has a source, so lines of a stream keep their order. A turn is bounded, and who is not done
//     goes to the back of the queue, so a flood delays the others by one turn each. After a full turn a source rests
//     half as long as it took: to follow a flood costs two thirds of a processor at the most, and the process that
//     writes it keeps one of two.
//   - A disk that does not answer harms those on it only: a worker that waits for one is replaced, no more than two
//     wait for the same one, and a start or a reader is told of it in place of waiting.
//   - An idle instance costs two inotify watches and some memory: no goroutine, no timer, no open file.
//
// Facts that forced choices:
//   - FALLOC_FL_COLLAPSE_RANGE shifts every offset, and no file system call does that together with saving the new
//     checkpoint. So the head is first punched into a hole, then the intent is saved, then the hole is cut out: after a
//     crash the hole itself tells whether the cut was done. Where nothing tells, the earlier position is taken.
//   - Where the file system cannot collapse (tmpfs), the hole stays: offsets stand still, the blocks are free, and
//     other programs see zeros there.
//   - A plain inotify watch makes an event of every write, and a flooding process floods us. A watch with IN_ONESHOT
//     makes one event, and is armed again only when a turn has found nothing new, or before the first look after a
//     silence: work is proportional to turns. What was looked at behind its watch needs no second look, and is not
//     opened while its watch has told nothing and its size and time are as they were.
//   - ext4 gives a new file the inode number of the one just deleted, so a file is known by its time of birth too, and
//     by its fingerprint, the bytes before the position.
//   - JSON holds no invalid UTF-8, and slog's handler would replace it. Such a line is forwarded as Go quotes it
//     (strconv.Unquote gives back every byte) and the record says quoted=true. Any other line, with NUL, ANSI sequences
//     or a carriage return, is forwarded as it is.
//   - A name is not the file: somebody may move or remove the one that a process writes to. It is found by the
//     descriptor of the process, and followed, read and bounded there until the next run.
//   - A process that floods never waits for its file: it is slowed by whom it shares a processor with. A manager that
//     copied each line, and had it written by itself, took 1.8 of two processors, most of it for garbage, and the
//     process wrote at 0.69 to 0.9 of its speed. Lines that are lent to the log ([Options.Lend]) and are written
//     together take 0.6, and it writes at 0.98.
//
// What cannot be had: of a file that was removed while no manager lived, what its process wrote if it has ended by
// then; output of a run that ends without a line end stands in the file on one line with what the next run writes; only
// at the beginning of the newest run they are told apart.
package output
