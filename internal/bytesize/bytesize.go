// Package bytesize reads and writes numbers of bytes as people do: 256MiB, 10MB.
package bytesize

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// units of bytes, by what people write.
var units = map[string]int64{
	"": 1, "B": 1,
	"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40,
	"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
}

// Parse reads bytes as in 4096, 256MiB, 1.5G or 10MB.
func Parse(s string) (int64, bool) {
	digits := strings.TrimRight(s, "BKMGTbkmgti ")
	unit, ok := units[strings.ToUpper(strings.TrimSpace(s[len(digits):]))]
	if !ok || strings.ContainsAny(digits, "eExXpP_+-") {
		return 0, false
	}
	x, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(x*float64(unit) < math.MaxInt64) {
		return 0, false
	}
	return int64(x * float64(unit)), true
}

// Format writes bytes so that Parse reads them back exactly.
func Format(n int64) string {
	for _, u := range []struct {
		bytes int64
		name  string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// Bytes is a number of bytes in a configuration file: a number, or a text for
// Parse.
type Bytes int64

// UnmarshalJSON reads either form.
func (b *Bytes) UnmarshalJSON(text []byte) error {
	var n int64
	if json.Unmarshal(text, &n) == nil {
		*b = Bytes(n)
		return nil
	}
	var s string
	if err := json.Unmarshal(text, &s); err == nil {
		if n, ok := Parse(s); ok {
			*b = Bytes(n)
			return nil
		}
	}
	return fmt.Errorf("%s given, a number of bytes like 256MiB allowed", text)
}

// MarshalJSON writes the text form.
func (b Bytes) MarshalJSON() ([]byte, error) { return json.Marshal(Format(int64(b))) }

// String is the text form.
func (b Bytes) String() string { return Format(int64(b)) }
