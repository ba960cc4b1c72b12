package spend

import "time"

const (
	slot = time.Minute
	// slots are those of a whole hour and the one under way, so that nothing
	// leaves the window before it is an hour old.
	slots = int64(time.Hour/slot) + 1
)

// window sums what was added in the last hour, and up to a minute more. The zero
// window is empty. Its times never fall.
type window struct {
	sums   [slots]float64 // slot k, counted from the origin of time, is at k % slots
	newest int64
}

// slide makes now's slot the newest.
func (w *window) slide(now time.Duration) {
	next := int64(now / slot)
	for k := max(w.newest+1, next-slots+1); k <= next; k++ {
		w.sums[k%slots] = 0
	}
	w.newest = max(w.newest, next)
}

func (w *window) add(now time.Duration, x float64) {
	w.slide(now)
	w.sums[w.newest%slots] += x
}

func (w *window) sum(now time.Duration) float64 {
	w.slide(now)
	var sum float64
	for age := range min(slots, w.newest+1) {
		sum += w.sums[(w.newest-age)%slots]
	}
	return sum
}

// until is after what time base and the window's sum together fit, if nothing is
// added: 0 if they do now. What fits must fit when it is less. Where base alone
// does not fit, the window cannot tell, and the answer is a minute.
func (w *window) until(now time.Duration, base float64, fits func(float64) bool) time.Duration {
	w.slide(now)
	if !fits(base) {
		return slot
	}
	for age := range min(slots, w.newest+1) {
		if base += w.sums[(w.newest-age)%slots]; !fits(base) {
			return time.Duration(slots-age)*slot - now%slot
		}
	}
	return 0
}

// covered is how much of the time since start the window reaches back to.
func (w *window) covered(start, now time.Duration) time.Duration {
	oldest := time.Duration(max(0, int64(now/slot)-slots+1)) * slot
	return max(0, now-max(start, oldest))
}
