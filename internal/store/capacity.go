package store

// runtimeShare is what a function's process needs beside its chunks, in bytes:
// the binary's pages, the Go heap and the buffers of its sockets.
const runtimeShare = 24 << 20

// CapacityOf is the capacity for New that a function with so many bytes of
// memory can afford: 85 % of what its process leaves, so that page tables and
// moments of more garbage do not end it. 0 if nothing is left.
func CapacityOf(memory int64) int64 {
	free := max(0, memory-runtimeShare)
	return min(free/100*85, MaxCapacity)
}
