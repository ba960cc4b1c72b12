package node

import (
	"time"

	"github.com/infinicache/infinicache/internal/lifecycle"
)

// Notice says that the platform ends the instance when so much time is over. The
// proxy is told, if a link leads to it, and may take chunks until then. Notice
// returns when the process may end: at once if there is nobody to tell, when
// nothing is left to do, and after the time at the latest. An invocation under way
// returns before that, or not at all.
func (n *Node) Notice(left time.Duration) {
	over := time.NewTimer(left)
	defer over.Stop()
	n.mu.Lock()
	if n.leave == nil {
		n.leave = make(chan struct{})
	}
	leave := n.leave
	n.step(lifecycle.Event{Kind: lifecycle.OnNotice, Number: uint64(max(0, left.Milliseconds()))})
	n.mu.Unlock()
	select {
	case <-leave:
		n.partLinks(over.C)
	case <-over.C:
	}
}

// mayLeave tells those who wait that the process may end.
func (n *Node) mayLeave() {
	if n.leave != nil {
		close(n.leave)
		n.leave = nil
	}
}

// partLinks closes what links there are when all that was said on them is written.
func (n *Node) partLinks(over <-chan time.Time) {
	n.mu.Lock()
	links := make([]*proxyLink, 0, len(n.links))
	for _, l := range n.links {
		links = append(links, l)
		l.conn.Finish(nil)
	}
	n.mu.Unlock()
	for _, l := range links {
		select {
		case <-l.over:
		case <-over:
			return
		}
	}
}
