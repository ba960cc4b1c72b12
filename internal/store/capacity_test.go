package store

import "testing"

func TestCapacityOf(t *testing.T) {
	for _, tc := range []struct{ memory, least, most int64 }{
		{0, 0, 0},
		{-1, 0, 0},
		{24 << 20, 0, 0},
		{128 << 20, 88 << 20, 89 << 20},
		{256 << 20, 197 << 20, 198 << 20},
		{10240 << 20, 8683 << 20, 8684 << 20},
		{1 << 62, MaxCapacity, MaxCapacity},
	} {
		if got := CapacityOf(tc.memory); got < tc.least || got > tc.most {
			t.Errorf("CapacityOf(%d) = %d, want %d to %d", tc.memory, got, tc.least, tc.most)
		}
	}
}
