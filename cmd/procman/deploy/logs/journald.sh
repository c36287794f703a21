#!/bin/sh
# What the instances write, from the journal: one JSON document a line, as the daemon logs it. The cursor is kept in a file, so that
# the next call goes on where this one ended. Usage: journald.sh [CURSOR_FILE]
exec journalctl --unit=procman.service --output=cat --no-pager --cursor-file="${1:-/var/tmp/procman.cursor}" --grep='"msg":"output"'
