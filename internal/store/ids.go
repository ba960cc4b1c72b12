package store

// ids is the table of chunks: where the head cell of each is. A chunk keeps its
// id while it lives, wherever its cells move. Guarded by Store.mu.
type ids struct {
	words
	top  uint32 // ids from here on were never given
	free uint32 // first of the list of ids given back, plus 1
	live int
}

const (
	idFree    = 1 << 31    // the entry is a link of the free list
	idPending = idFree - 1 // the chunk is being laid out and has no head yet
)

// take gives an unused id, whose head is pending.
func (t *ids) take() (id uint32, ok bool) {
	switch {
	case t.free != 0:
		id = t.free - 1
		t.free = t.at[id] &^ idFree
	case int(t.top) < len(t.at):
		id = t.top
		t.top++
	default:
		return 0, false
	}
	t.at[id] = idPending
	t.live++
	return id, true
}

func (t *ids) put(id uint32) {
	t.at[id] = t.free | idFree
	t.free = id + 1
	t.live--
	if t.live == 0 {
		t.free, t.top = 0, 0
	}
}

func (t *ids) head(id uint32) ref       { return ref(t.at[id]) }
func (t *ids) setHead(id uint32, r ref) { t.at[id] = uint32(r) }
func (t *ids) pending(id uint32) bool   { return t.at[id] == idPending }
func (t *ids) inUse(id uint32) bool     { return t.at[id] < idPending }
