package emulator

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strconv"
	"time"
)

// maxPage is how many functions, or log groups, one answer lists.
const maxPage = 50

func (e *Emulator) listFunctions(r request) (any, *fault) {
	q := r.URL.Query()
	size := maxPage
	if s := q.Get("MaxItems"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 10_000 {
			return nil, invalid([]string{between("maxItems", s, 1, 10_000)})
		}
		size = min(n, size)
	}
	after, err := base64.RawURLEncoding.DecodeString(q.Get("Marker"))
	if err != nil {
		return nil, badParameter("Invalid Marker")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	all := slices.SortedFunc(slices.Values(e.functions), func(a, b *function) int { return cmp.Compare(a.name, b.name) })
	page, more := pageAfter(all, string(after), size, func(fn *function) string { return fn.name })
	out := struct {
		Functions  []functionConfiguration
		NextMarker string `json:",omitempty"`
	}{Functions: []functionConfiguration{}}
	for _, fn := range page {
		e.settle(fn, time.Now())
		out.Functions = append(out.Functions, fn.list())
	}
	if more {
		out.NextMarker = base64.RawURLEncoding.EncodeToString([]byte(page[len(page)-1].name))
	}
	return out, nil
}

// pageAfter returns those of all, which is sorted by name, whose names come
// after one, size at most, and whether there are more.
func pageAfter[T any](all []T, after string, size int, name func(T) string) (page []T, more bool) {
	start := slices.IndexFunc(all, func(v T) bool { return name(v) > after })
	if start < 0 {
		return nil, false
	}
	all = all[start:]
	return all[:min(size, len(all))], len(all) > size
}
