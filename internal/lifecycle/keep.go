package lifecycle

import "time"

// keptStay is for how many milliseconds a node that is kept awake is told to stay
// when it asks to sleep. It then asks again, so that one whose keeper is gone
// costs no more than that.
const keptStay = 100

// maxSaid bounds a time that the other side, or the platform, says.
const maxSaid = time.Hour

// said is a time given in milliseconds.
func said(milliseconds uint64) time.Duration {
	return time.Duration(min(milliseconds, uint64(maxSaid/time.Millisecond))) * time.Millisecond
}
