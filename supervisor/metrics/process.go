package metrics

import (
	"errors"
	"io/fs"
	"log/slog"
	"syscall"

	"github.com/prometheus/procfs"

	"procman/messages"
)

// processes reads what processes use.
type processes struct {
	proc procfs.FS
	log  *slog.Logger
}

// newProcesses returns nil where the kernel does not tell.
func newProcesses(o Options) *processes {
	if o.proc == "" {
		o.proc = procfs.DefaultMountPoint
	}
	proc, err := procfs.NewFS(o.proc)
	if err != nil {
		o.Logger.Info("the CPU time and the memory of instances are not measured", "reason", err.Error())
		return nil
	}
	return &processes{proc, o.Logger}
}

// usage returns CPU seconds and resident bytes of a process; pid 0 has none. It is not known of one that has just gone.
func (p *processes) usage(pid int) (cpu, memory float64, known bool) {
	if p == nil {
		return 0, 0, false
	}
	if pid == 0 {
		return 0, 0, true
	}
	stat, err := p.stat(pid)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH):
		return 0, 0, false
	case err != nil:
		p.log.Warn("what a process uses cannot be read", "pid", pid, "error", err.Error())
		return 0, 0, false
	}
	return stat.CPUTime(), float64(stat.ResidentMemory()), true
}

// Use returns what the process of an instance uses; nil: there is none, or it is not shown.
func (c *Collector) Use(pid int) *messages.Use {
	cpu, memory, known := c.processes.usage(pid)
	if !known || pid == 0 {
		return nil
	}
	return &messages.Use{CPU: cpu, Memory: int64(memory)}
}

func (p *processes) stat(pid int) (procfs.ProcStat, error) {
	proc, err := p.proc.Proc(pid)
	if err != nil {
		return procfs.ProcStat{}, err
	}
	return proc.Stat()
}
