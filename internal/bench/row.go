package bench

import "time"

// Row is the result of one target in one operation of one size and number of
// clients. Names of its JSON fields are kept from release to release; fields may
// be added.
type Row struct {
	Target  string `json:"target"`
	Op      Op     `json:"op"`
	Size    int64  `json:"size"` // bytes
	Clients int    `json:"clients"`

	Ops        uint64  `json:"ops"`
	Errors     uint64  `json:"errors"`
	FirstError string  `json:"first_error,omitempty"`
	Seconds    float64 `json:"seconds"`
	// BytesPerSecond is of all clients together.
	BytesPerSecond float64 `json:"bytes_per_second"`
	P50            float64 `json:"p50_seconds"`
	P99            float64 `json:"p99_seconds"`

	// CPU is in seconds per GiB of values.
	CPU CPU `json:"cpu_seconds_per_gib"`
	// Memory is the most that was seen, in resident bytes.
	Memory Memory `json:"memory_bytes"`
}

// CPU is what the processes spent. Proxy and Nodes are 0 and Known is false where
// that is not known.
type CPU struct {
	Known  bool    `json:"known"`
	Client float64 `json:"client"`
	Proxy  float64 `json:"proxy"`
	Nodes  float64 `json:"nodes"`
	Total  float64 `json:"total"`
}

// Memory is what the processes held; 0 where not known.
type Memory struct {
	Client int64 `json:"client"`
	Proxy  int64 `json:"proxy"`
	Nodes  int64 `json:"nodes"` // together
}

func (m *measure) row(target string, op Op, size int64, clients int) Row {
	r := Row{
		Target: target, Op: op, Size: size, Clients: clients,
		Ops: m.ops, Errors: m.errors, Seconds: m.took.Seconds(),
		P50: m.times.Quantile(0.5).Seconds(), P99: m.times.Quantile(0.99).Seconds(),
		Memory: Memory{Client: m.clientMemory, Proxy: m.proxyMemory, Nodes: m.nodesMemory},
	}
	if m.firstErr != nil {
		r.FirstError = m.firstErr.Error()
	}
	if m.took > 0 {
		r.BytesPerSecond = float64(m.bytes) / m.took.Seconds()
	}
	if m.bytes > 0 {
		perGiB := func(d time.Duration) float64 { return d.Seconds() * (1 << 30) / float64(m.bytes) }
		r.CPU = CPU{
			Known:  !m.noUsage,
			Client: perGiB(m.clientCPU), Proxy: perGiB(m.proxyCPU), Nodes: perGiB(m.nodesCPU),
			Total: perGiB(m.clientCPU + m.proxyCPU + m.nodesCPU),
		}
	}
	return r
}
