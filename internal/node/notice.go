package node

import (
	"context"
	"time"

	"github.com/infinicache/infinicache/internal/lifecycle"
)

// Notice says that the platform ends the instance when so much time is over. The
// proxy is told, if a link leads to it, and may take chunks until then. Without a link
// an instance that holds chunks waits to be invoked by a proxy that comes for them.
// Notice returns when the process may end: at once if there is nobody to tell and
// nothing to tell of, when nothing is left to do, and after the time at the latest. An
// invocation under way returns before that, if there is time.
func (n *Node) Notice(left time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), left)
	defer cancel()
	n.mu.Lock()
	if n.leave == nil {
		n.leave = make(chan struct{})
	}
	leave := n.leave
	n.step(lifecycle.Event{Kind: lifecycle.OnNotice, Number: uint64(max(0, left.Milliseconds()))})
	n.mu.Unlock()
	if !comes(ctx, leave) {
		return
	}
	links, s := n.finishLinks()
	for _, over := range links {
		if !comes(ctx, over) {
			return
		}
	}
	if s != nil {
		comes(ctx, s.over)
	}
}

// comes waits for the end of something, or of ctx, and says whether it came.
func comes(ctx context.Context, end <-chan struct{}) bool {
	select {
	case <-end:
		return true
	case <-ctx.Done():
		return false
	}
}

// mayLeave tells those who wait that the process may end.
func (n *Node) mayLeave() {
	if n.leave != nil {
		close(n.leave)
		n.leave = nil
	}
}

// finishLinks has what links there are close when all that was said on them is
// written, and gives their ends, and the last session.
func (n *Node) finishLinks() (over []<-chan struct{}, last *session) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.links {
		l.conn.Finish(nil)
		over = append(over, l.over)
	}
	return over, n.session
}
