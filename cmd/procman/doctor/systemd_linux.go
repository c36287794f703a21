package doctor

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// properties asks systemd about a unit. It takes two seconds at most: a service manager that hangs must not hold up
// anybody.
func properties(ctx context.Context, u Unit) (map[string]string, error) {
	program, err := exec.LookPath("systemctl")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	args := []string{"show", "-p",
		"KillMode,OOMPolicy,Type,Restart,FileDescriptorStoreMax,NotifyAccess,LimitNOFILE,LimitNOFILESoft", "--", u.Name}
	if u.User {
		args = append([]string{"--user"}, args...)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	var out, diagnostics bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &diagnostics, 100*time.Millisecond
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("systemctl show: %w: %s", err, strings.Join(strings.Fields(diagnostics.String()), " "))
	}
	return parseProperties(out.String()), nil
}
