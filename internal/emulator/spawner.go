package emulator

import (
	"runtime"
	"syscall"
)

// spawner starts processes from one operating system thread that lives as long
// as the platform: the kernel's parent-death signal follows the thread that
// started a process, and Go ends threads when it likes.
type spawner struct {
	requests chan spawnRequest
	done     chan struct{} // closed to stop
	ended    chan struct{}
}

type spawnRequest struct {
	binary string
	attr   *syscall.ProcAttr
	reply  chan spawnReply
}

type spawnReply struct {
	pid int
	err error
}

func newSpawner() spawner {
	return spawner{
		requests: make(chan spawnRequest),
		done:     make(chan struct{}),
		ended:    make(chan struct{}),
	}
}

// run serves until stop. Its thread ends with it, because it stays locked.
func (s *spawner) run() {
	runtime.LockOSThread()
	defer close(s.ended)
	for {
		select {
		case r := <-s.requests:
			pid, err := syscall.ForkExec(r.binary, []string{r.binary}, r.attr)
			r.reply <- spawnReply{pid, err}
		case <-s.done:
			return
		}
	}
}

// spawn starts binary and returns its process id, which the caller reaps.
func (s *spawner) spawn(binary string, attr *syscall.ProcAttr) (int, error) {
	reply := make(chan spawnReply, 1)
	select {
	case s.requests <- spawnRequest{binary, attr, reply}:
		r := <-reply
		return r.pid, r.err
	case <-s.done:
		return 0, ErrStopped
	}
}

// stop ends run after every process was reaped: the end of the thread kills
// those that are left.
func (s *spawner) stop() {
	close(s.done)
	<-s.ended
}
