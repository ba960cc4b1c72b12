package lifecycle

import "fmt"

// Cause is what a session is for, and to what its billed time is booked. Of
// several, the one that is named first here counts: a warm-up that was used to
// serve is booked to serving.
type Cause uint8

const (
	Serve  Cause = iota // a request of a client, or freeing for one
	Drain               // moving chunks away from a node that ends
	Repair              // putting lost chunks back
	Backup              // copying chunks to another instance of the node
	WarmUp              // keeping an instance

	causes
)

// Causes is how many causes there are: the length of a table by cause.
const Causes = int(causes)

var causeNames = [causes]string{"serve", "drain", "repair", "backup", "warm-up"}

func (c Cause) String() string {
	if c < causes {
		return causeNames[c]
	}
	return fmt.Sprintf("cause(%d)", uint8(c))
}
