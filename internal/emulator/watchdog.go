package emulator

import (
	"errors"
	"io"
	"os/exec"
	"strconv"
	"syscall"
)

// watchdogScript keeps a list of process groups, told on its standard input as
// lines "+ PID" and "- PID". The input ends when the platform's process does, in
// order or by SIGKILL; then it kills what is left on the list, stopped or not,
// and removes the work directory given as its argument.
const watchdogScript = `
trap '' HUP INT TERM
live=' '
while read -r op pid; do
	case $op in
	+) live="$live$pid " ;;
	-) case $live in *" $pid "*) live="${live%% $pid *} ${live#* $pid }" ;; esac ;;
	esac
done
for pid in $live; do
	kill -s KILL -- "-$pid" 2>/dev/null
done
rm -rf -- "$1"
`

// watchdog is a shell that outlives the platform's process just long enough to
// clean up after it. It works on every Unix, needs nothing of the operator's
// binary, and sleeps in a read.
type watchdog struct {
	cmd   *exec.Cmd
	input io.WriteCloser
}

func (w *watchdog) start(dir string) error {
	w.cmd = exec.Command("/bin/sh", "-c", watchdogScript, "infinicache-watchdog", dir)
	w.cmd.Dir = "/"
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // not reached by Ctrl-C
	var err error
	if w.input, err = w.cmd.StdinPipe(); err != nil {
		return err
	}
	return w.cmd.Start()
}

// add and remove tell of a process group. A line is shorter than a pipe writes
// at once, so calls may be concurrent. A watchdog that somebody killed is missed
// only if this process is killed as well.
func (w *watchdog) add(pid int)    { w.tell("+ ", pid) }
func (w *watchdog) remove(pid int) { w.tell("- ", pid) }

func (w *watchdog) tell(op string, pid int) {
	_, _ = io.WriteString(w.input, op+strconv.Itoa(pid)+"\n")
}

// stop ends the watchdog in order and waits for it.
func (w *watchdog) stop() error {
	return errors.Join(w.input.Close(), w.cmd.Wait())
}
