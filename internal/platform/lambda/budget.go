package lambda

import (
	"fmt"
	"sync/atomic"
)

// budgetReason is the reason of an Error of a call that the budget forbade.
const budgetReason = "concurrency budget"

// budget bounds the calls that are in flight at once.
type budget struct {
	most     int64 // zero is no bound
	inFlight atomic.Int64
}

// take allows a call, or tells why it must not be made. A call that was allowed is
// given back when it has ended.
func (b *budget) take() error {
	if n := b.inFlight.Add(1); b.most > 0 && n > b.most {
		b.inFlight.Add(-1)
		return fmt.Errorf("%d sessions run, no more allowed at once", b.most)
	}
	return nil
}

func (b *budget) giveBack() { b.inFlight.Add(-1) }
